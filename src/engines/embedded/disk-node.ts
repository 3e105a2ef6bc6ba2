import { constants, statSync, write } from "node:fs"
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { DamagedError, StorageError, StorageFullError, UnavailableError } from "../../core/errors.ts"
import type { Disk, DiskFile } from "./disk.ts"

/** Zeros are written and made durable in steps of this many bytes. */
const zeroStepBytes = 256 << 10
/** So many times as long as a step took the disk is left to others, where nobody waits for the file. */
const restPerStep = 2

/** In which the system counts what a file takes. */
const statBlockBytes = 512

/** A {@link Disk} on a real directory, which is made where it is missing. */
export async function openNodeDisk(directory: string): Promise<Disk> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = (name: string) => join(directory, name)
  return {
    async list() {
      const names = await readdir(directory)
      const found = await Promise.all(names.map(async (name) => ({ name, stats: await stat(path(name)) })))
      // Of a pipe or a device nothing is read.
      return found
        .filter(({ stats }) => stats.isFile() || stats.isDirectory())
        .map(({ name, stats: { size, blocks } }) => ({ name, bytes: size, bytesTaken: blocks * statBlockBytes }))
    },
    async create(name, bytes, ahead = false) {
      await durably(directory, () => fill(path(name), (file) => writeZeros(file, bytes, ahead)))
      return openFile(path(name), name)
    },
    createSparse: (name, bytes, parts) =>
      durably(directory, () =>
        fill(path(name), async (file) => {
          await file.truncate(bytes)
          for await (const part of parts) await writeAll(file, part.data, part.at)
        }),
      ),
    open: (name) => openFile(path(name), name),
    rename: (from, to) => durably(directory, () => rename(path(from), path(to))),
    remove: (name) => durably(directory, () => rm(path(name), { force: true })),
    async freeBytes() {
      const { bavail, bsize } = await statfs(directory)
      return bavail * bsize
    },
  }
}

/** Makes a file whole or not at all. */
async function fill(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await opened(path, "w", 0o600)
  try {
    await write(file)
    await file.sync()
  } catch (cause) {
    await file.close()
    await rm(path, { force: true })
    throw storageError(path, cause)
  }
  await file.close()
}

async function writeZeros(file: FileHandle, bytes: number, ahead: boolean): Promise<void> {
  const zeros = Buffer.alloc(Math.min(zeroStepBytes, bytes))
  for (let at = 0; at < bytes; at += zeros.length) {
    const begunAt = performance.now()
    await writeAll(file, zeros.subarray(0, Math.min(zeros.length, bytes - at)), at)
    await file.datasync()
    if (ahead) await sleep((performance.now() - begunAt) * restPerStep)
  }
}

async function writeAll(file: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, at + done)
    done += bytesWritten
  }
}

/** As {@link writeAll}; the callback form costs half of what a file handle's does, once for each commit. */
function writeOnce(fd: number, data: Uint8Array, at: number): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, data, 0, data.length, at, (error, bytesWritten) => {
      if (error !== null) return reject(error)
      if (bytesWritten === data.length) return resolve()
      writeOnce(fd, data.subarray(bytesWritten), at + bytesWritten).then(resolve, reject)
    })
  })
}

/** A file that must not be written to can be read all the same. */
async function openHandle(path: string): Promise<FileHandle> {
  try {
    return await opened(path, constants.O_RDWR | constants.O_DSYNC)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EROFS") throw error
    return opened(path, constants.O_RDONLY)
  }
}

/** What a disk gives back or does not, as a whole. */
const sectorBytes = 4_096
/** Stands for bytes that the disk does not give back: nothing that the log holds checks with them. */
const unreadable = 0xff

/**
 * Reads what can be read; sectors that cannot are filled up. Reading goes on behind them, as behind all that does not check.
 * Answers how many bytes there were up to the file's end.
 */
export async function readAround(into: Uint8Array, at: number, read: ReadSome): Promise<number> {
  let done = 0
  while (done < into.length) {
    const left = into.length - done
    const toSector = Math.min(left, sectorBytes - ((at + done) % sectorBytes))
    // As much as can be had at once; where that fails, sector by sector.
    const bytesRead = await read(done, left).catch(() =>
      read(done, toSector).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EIO") throw error
        into.fill(unreadable, done, done + toSector)
        return toSector
      }),
    )
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** Reads up to `bytes` to `offset`; answers how many. */
export type ReadSome = (offset: number, bytes: number) => Promise<number>

async function openFile(path: string, name: string): Promise<DiskFile> {
  const file = await openHandle(path)
  const { size, ...own } = await file.stat()
  return {
    name,
    bytes: size,
    async read(into, at) {
      const read: ReadSome = (offset, bytes) => file.read(into, offset, bytes, at + offset).then((got) => got.bytesRead)
      try {
        return await readAround(into, at, read)
      } catch (cause) {
        throw new DamagedError(`${name} at ${at}: ${(cause as Error).message}`)
      }
    },
    async write(data, at) {
      try {
        await writeOnce(file.fd, data, at)
      } catch (cause) {
        throw storageError(path, cause)
      }
      // No later start would find what is in it. 2 us.
      if (isAnother(path, own)) throw new UnavailableError(`${path} was removed or replaced`)
    },
    isGone: async () => isAnother(path, own),
    close: () => file.close(),
  }
}

/** Whether no file, or another one, has the name now; where the system does not tell, it is taken for the same. */
function isAnother(path: string, { ino, dev }: { readonly ino: number; readonly dev: number }): boolean {
  try {
    const named = statSync(path)
    return named.ino !== ino || named.dev !== dev
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === "ENOENT" || code === "ENOTDIR"
  }
}

function storageError(path: string, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") return new StorageFullError(`no room for ${path}`, { cause })
  return new StorageError(`cannot write ${path}`, { cause })
}

/** Changes what is in a directory. It is opened before: where that is not possible nothing is changed. */
async function durably(directory: string, change: () => Promise<void>): Promise<void> {
  const handle = await opened(directory, constants.O_RDONLY)
  try {
    await change()
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** As `open`, but that no more files can be open at once is something that passes: throws UnavailableError then. */
async function opened(path: string, flags: string | number, mode?: number): Promise<FileHandle> {
  try {
    return await open(path, flags, mode)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== "EMFILE" && code !== "ENFILE") throw cause
    throw new UnavailableError("too many files and connections are open at once", { cause })
  }
}
