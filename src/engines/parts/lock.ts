import { type FileHandle, open } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { tryLock } from "fs-native-extensions"
import { StartRefusedError } from "../../core/errors.ts"

const name = "lock"

/** Another process has the directory open. */
export class DirectoryLockedError extends StartRefusedError {
  override readonly name = "DirectoryLockedError"
  readonly directory: string
  /** What the lock's file tells of who it is. */
  readonly owner: string
  constructor(directory: string, owner: string) {
    const who = owner === "" ? "another hub" : `another hub (${owner})`
    super(`${who} has ${directory} open`, ["Stop that one, or choose another data directory: --data <directory>"])
    this.directory = directory
    this.owner = owner
  }
}

/**
 * Holds a directory for this process until it closes or dies: by a lock of the system on a file in it, which every process of
 * this machine respects, whatever container it is in, and which ends with its process. The file tells who has it, for people.
 * Other machines that share the directory are seen where its file system carries locks between them.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const file = await open(join(directory, name), "a+", 0o600)
  let log: FileHandle | undefined
  const owner = `process ${process.pid} on ${hostname()}, since ${new Date().toISOString()}`
  try {
    if (!tryLock(file.fd)) throw new DirectoryLockedError(directory, await ownerOf(file))
    await file.truncate(0)
    await file.write(`${owner}\n`)
    log = await lockLog(directory, log)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    owner,
    async lockLog() {
      log = await lockLog(directory, log)
    },
    async release() {
      await log?.close()
      await file.truncate(0)
      await file.close()
    },
  }
}

/** A directory that this process holds. */
export interface DirectoryLock {
  /** What the file tells: the process, its machine, and since when. */
  readonly owner: string
  /** Locks the log's own file as well, which a start may have made or replaced. */
  readonly lockLog: () => Promise<void>
  readonly release: () => Promise<void>
}

/** A lock's file may be removed by hand, and then keeps nobody out; the log's own file is there for as long as there is a log. */
async function lockLog(directory: string, held: FileHandle | undefined): Promise<FileHandle | undefined> {
  const file = await open(join(directory, "log", "identity"), "r+").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (file === undefined) return held
  if (held !== undefined && (await held.stat()).ino === (await file.stat()).ino) {
    await file.close()
    return held
  }
  if (tryLock(file.fd)) {
    await held?.close()
    return file
  }
  await file.close()
  throw new DirectoryLockedError(directory, "its lock file was removed")
}

/** Keeps hubs from opening a directory that is only read, without writing to it. */
export async function lockForReading(directory: string): Promise<() => Promise<void>> {
  const file = await open(join(directory, name), "r").catch((error: NodeJS.ErrnoException) => {
    // No hub has ever been there.
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (file === undefined) return async () => {}
  if (tryLock(file.fd, { shared: true })) return () => file.close()
  const owner = await ownerOf(file)
  await file.close()
  throw new DirectoryLockedError(directory, owner)
}

async function ownerOf(file: FileHandle): Promise<string> {
  const bytes = Buffer.alloc(200)
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
  return bytes.toString("utf8", 0, bytesRead).trim()
}
