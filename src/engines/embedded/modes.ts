import { chmod, lstat, readdir } from "node:fs/promises"
import { join } from "node:path"

const others = 0o077

/** Takes a directory, and what is in it, from everybody but its owner: secrets are in it. Links are left as they are. */
export async function closeToOthers(path: string): Promise<void> {
  const found = await lstat(path)
  if (found.isSymbolicLink()) return
  if ((found.mode & others) !== 0) await chmod(path, found.mode & ~others & 0o7777)
  if (!found.isDirectory()) return
  for (const name of await readdir(path)) await closeToOthers(join(path, name))
}
