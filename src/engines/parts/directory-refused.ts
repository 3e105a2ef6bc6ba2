import { statSync } from "node:fs"
import { dirname } from "node:path"
import { StartRefusedError, StorageError, StorageFullError } from "../../core/errors.ts"

/** The system does not let this process use a directory; the message says why, in one sentence. */
export class DirectoryRefusedError extends StartRefusedError {
  override readonly name = "DirectoryRefusedError"
  constructor(directory: string, cause: Error) {
    const { why, next } = refusalOf(directory, cause)
    super(`the data directory ${directory} cannot be used: ${why}`, [next], { cause })
  }
}

const refusals: readonly unknown[] = [
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOTDIR",
  "EISDIR",
  "EEXIST",
  "ENOENT",
  "ELOOP",
  "ENAMETOOLONG",
  "EINVAL",
  "ENOSPC",
  "EDQUOT",
]

/** What the system refused as a reason to say so, and not as a bug. */
export function refusedOr(directory: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  const isExpected = error instanceof StorageFullError || error instanceof StorageError || refusals.includes(code)
  return error instanceof Error && isExpected ? new DirectoryRefusedError(directory, error) : error
}

interface Refusal {
  readonly why: string
  readonly next: string
}

const another = "or choose another one: --data <directory>"

function refusalOf(directory: string, cause: Error): Refusal {
  const { code, path = directory } = cause as NodeJS.ErrnoException
  if (cause instanceof StorageFullError || code === "ENOSPC" || code === "EDQUOT") {
    const why = cause instanceof StorageFullError ? cause.message : "its disk is full"
    return { why, next: "Make room on its disk, and start again." }
  }
  if (code === "EROFS") {
    return { why: "its file system is mounted read-only", next: `Mount it for writing, ${another}` }
  }
  if (code === "EACCES" || code === "EPERM") return forbidden(directory, path)
  if (code === "ENOTDIR" || code === "EEXIST" || code === "EISDIR") return inTheWay(directory, path)
  if (code === "ENOENT") {
    return { why: `the system does not let ${path} be made`, next: "Choose another one: --data <directory>" }
  }
  return { why: cause.message, next: `See that it is a directory in which ${self()} may write, ${another}` }
}

/** What is there already, and is not what has to be there. */
function inTheWay(directory: string, path: string): Refusal {
  const file = firstFile(path)
  if (file === undefined) {
    return { why: `${path} is a directory, and has to be a file`, next: `Move that away, ${another}` }
  }
  if (file === directory) return { why: "it is a file", next: "Name a directory: --data <directory>" }
  return { why: `${file} is a file, and has to be a directory`, next: `Move that file away, ${another}` }
}

/** The part of a path that is a file; undefined where all of it is directories. */
function firstFile(path: string): string | undefined {
  let file: string | undefined
  // Ends: at the root or the working directory, which are their own parents.
  for (let each = path; ; each = dirname(each)) {
    if (statOf(each)?.isDirectory() === false) file = each
    if (dirname(each) === each) return file
  }
}

function forbidden(directory: string, path: string): Refusal {
  const found = [path, directory, dirname(directory)].find((each) => statOf(each) !== undefined) ?? directory
  const stats = statOf(found)
  const uid = process.getuid?.()
  if (stats !== undefined && uid !== undefined && uid !== 0 && stats.uid !== uid) {
    return {
      why: `${found} belongs to user ${stats.uid}, and this is ${self()}`,
      next: `Start it as that user, let this one have it (chown -R ${uid} ${directory}), ${another}`,
    }
  }
  return { why: `${self()} may not write to ${found}`, next: `Let it (chmod -R u+rwX ${directory}), ${another}` }
}

function self(): string {
  return process.getuid === undefined ? "this process" : `user ${process.getuid()}`
}

function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    // Below what may not be looked into, or below a file.
    return undefined
  }
}
