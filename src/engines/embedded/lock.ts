import { createHash } from "node:crypto"
import { realpath, rm } from "node:fs/promises"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { StartRefusedError } from "../../core/errors.ts"

/** Another process of this machine has the directory open. */
export class DirectoryLockedError extends StartRefusedError {
  override readonly name = "DirectoryLockedError"
  readonly directory: string
  constructor(directory: string) {
    super(`another hub has ${directory} open`, ["Stop that one, or choose another data directory: --data <directory>"])
    this.directory = directory
  }
}

/**
 * Holds a directory for this process until it closes or dies. The hold is a local socket, which the system takes back from
 * a process however it ends; there is no file that could go stale. Other machines that share the directory are not seen.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const name = `redcar-${createHash("sha256")
    .update(await realpath(directory))
    .digest("hex")
    .slice(0, 32)}`
  const abstract = process.platform === "linux"
  const path = abstract ? `\0${name}` : join(tmpdir(), `${name}.sock`)
  if (!abstract && !(await answers(path))) await rm(path, { force: true })
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? new DirectoryLockedError(directory) : error)
    })
    server.listen(path, resolve)
  })
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("close", () => socket.destroy())
    socket.unref()
  })
}
