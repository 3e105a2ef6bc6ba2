import { constants, fstatSync, write } from "node:fs"
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import { DamagedError, StorageError, StorageFullError, UnavailableError } from "../../core/errors.ts"
import type { Disk, DiskFile } from "./disk.ts"

/** Zeros are written and made durable in steps of this many bytes, so that commits on the same disk wait little. */
const zeroStepBytes = 1 << 20

/** In which the system counts what a file takes. */
const statBlockBytes = 512

/** A {@link Disk} on a real directory, which is made where it is missing. */
export async function openNodeDisk(directory: string): Promise<Disk> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = (name: string) => join(directory, name)
  return {
    async list() {
      const names = await readdir(directory)
      return Promise.all(
        names.map(async (name) => {
          const { size, blocks } = await stat(path(name))
          return { name, bytes: size, bytesTaken: blocks * statBlockBytes }
        }),
      )
    },
    async create(name, bytes) {
      await fill(path(name), (file) => writeZeros(file, bytes))
      await syncDirectory(directory)
      return openFile(path(name), name)
    },
    async createSparse(name, bytes, parts) {
      await fill(path(name), async (file) => {
        await file.truncate(bytes)
        for await (const part of parts) await writeAll(file, part.data, part.at)
      })
      await syncDirectory(directory)
    },
    open: (name) => openFile(path(name), name),
    async rename(from, to) {
      await rename(path(from), path(to))
      await syncDirectory(directory)
    },
    async remove(name) {
      await rm(path(name), { force: true })
      await syncDirectory(directory)
    },
    isGone: (name) =>
      stat(path(name)).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === "ENOENT",
      ),
    async freeBytes() {
      const { bavail, bsize } = await statfs(directory)
      return bavail * bsize
    },
  }
}

/** Makes a file whole or not at all. */
async function fill(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, "w", 0o600)
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

async function writeZeros(file: FileHandle, bytes: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(zeroStepBytes, bytes))
  for (let at = 0; at < bytes; at += zeros.length) {
    await writeAll(file, zeros.subarray(0, Math.min(zeros.length, bytes - at)), at)
    await file.datasync()
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

async function openFile(path: string, name: string): Promise<DiskFile> {
  const file = await open(path, constants.O_RDWR | constants.O_DSYNC)
  const { size } = await file.stat()
  return {
    name,
    bytes: size,
    async read(into, at) {
      let done = 0
      while (done < into.length) {
        const { bytesRead } = await file.read(into, done, into.length - done, at + done).catch((cause) => {
          throw new DamagedError(`${name} at ${at + done}: ${(cause as Error).message}`)
        })
        if (bytesRead === 0) break
        done += bytesRead
      }
      return done
    },
    async write(data, at) {
      try {
        await writeOnce(file.fd, data, at)
      } catch (cause) {
        throw storageError(path, cause)
      }
      // What is in a removed file ends with the process. 1 us.
      if (fstatSync(file.fd).nlink === 0) throw new UnavailableError(`${path} was removed`)
    },
    close: () => file.close(),
  }
}

function storageError(path: string, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") return new StorageFullError(`no room for ${path}`, { cause })
  return new StorageError(`cannot write ${path}`, { cause })
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
