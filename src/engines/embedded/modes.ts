import { chmod, lstat, mkdir, readdir } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"

const others = 0o077
/** What a hub makes in its directory. */
const own = /^(log|state(\.damaged)?|lock)$/

/**
 * Makes a directory, for its owner alone, and those above it that are missing. Throws what the system says. Not with Node's own
 * `recursive`, which never ends where a folder that is there takes no other one, as in /proc.
 */
export async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = []
  // Ends: at the root, which is always there.
  for (let at = resolve(path); !(await isThere(at)); at = dirname(at)) missing.push(at)
  for (const each of missing.reverse()) await mkdir(each, { mode: 0o700 })
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" && dirname(path) !== path) return false
      throw error
    },
  )
}

/**
 * Takes what a hub has in a directory from everybody but its owner, and the directory itself where that may be done: a volume
 * may belong to somebody else, or hold other things. Links are left as they are. Answers whether the directory is closed.
 */
export async function closeToOthers(directory: string): Promise<boolean> {
  for (const name of await readdir(directory)) if (own.test(name)) await close(join(directory, name))
  const { mode } = await lstat(directory)
  if ((mode & others) === 0) return true
  return chmod(directory, mode & ~others & 0o7777).then(
    () => true,
    () => false,
  )
}

async function close(path: string): Promise<void> {
  const found = await lstat(path)
  if (found.isSymbolicLink()) return
  if ((found.mode & others) !== 0) await chmod(path, found.mode & ~others & 0o7777)
  if (!found.isDirectory()) return
  for (const name of await readdir(path)) await close(join(path, name))
}
