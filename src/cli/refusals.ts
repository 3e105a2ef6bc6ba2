import { StartRefusedError, StorageFullError } from "../core/errors.ts"
import { FailedError } from "./failures.ts"

/**
 * What cannot be done as things are, as the command line tells it: what the hub refuses by itself, and what the operating
 * system does. Undefined for everything else, which is a bug and keeps its stack.
 */
export function refusalOf(error: unknown): FailedError | undefined {
  if (error instanceof StartRefusedError) return new FailedError(error.message, error.next, { cause: error })
  if (!(error instanceof Error)) return undefined
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (error instanceof StorageFullError || code === "ENOSPC" || code === "EDQUOT") {
    return new FailedError(`the disk is full: ${error.message}`, ["Make room on it, and try again."], { cause: error })
  }
  if (code === undefined || syscall === undefined) return undefined
  const what = `cannot ${verbs[syscall] ?? syscall}${path === undefined ? "" : ` ${path}`}`
  return new FailedError(`${what}: ${meanings[code] ?? error.message}`, [nextOf(code)], { cause: error })
}

const verbs: Readonly<Record<string, string>> = {
  scandir: "read",
  open: "open",
  mkdir: "make",
  unlink: "remove",
  rmdir: "remove",
  rm: "remove",
  rename: "rename",
  stat: "look at",
  lstat: "look at",
  copyfile: "copy",
}

const meanings: Readonly<Record<string, string>> = {
  EACCES: "this user may not",
  EPERM: "this user may not",
  EROFS: "its file system is mounted read-only",
  ENOENT: "there is no such file or directory",
  ENOTDIR: "part of the path is a file, and has to be a directory",
  EISDIR: "it is a directory",
  EEXIST: "there is something else of this name",
  EMFILE: "too many files are open",
  EIO: "the disk fails",
}

function nextOf(code: string): string {
  if (code === "EMFILE" || code === "ENFILE") return "Let this process have more: ulimit -n 65536"
  if (code === "EIO") return "Look at the system's log for the disk."
  return "Check the path, and that this user may use it."
}
