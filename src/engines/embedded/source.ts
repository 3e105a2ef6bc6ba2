import { cp, mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Engine } from "../../core/engine.ts"
import { refusedOr } from "../parts/directory-refused.ts"
import { lockForReading } from "../parts/lock.ts"
import { openNodeDisk } from "./disk-node.ts"
import { type EmbeddedOptions, openEmbeddedEngine } from "./engine.ts"
import { openOverlayDisk } from "./overlay-disk.ts"
import { openState } from "./state-directory.ts"

/** What opening may write into the log: what a crash has left is cut off, for instance. */
const writtenBytesMax = 256 << 20

/**
 * Opens what a hub has in a directory, to be read: no byte there changes, whatever state it was left in. `work` is a
 * directory that holds a copy of the small state beside the log meanwhile. Throws DirectoryLockedError while a hub runs there,
 * and DirectoryRefusedError.
 */
export async function openEmbeddedSource(
  directory: string,
  work: string,
  options: Omit<EmbeddedOptions, "disk" | "store">,
): Promise<Engine> {
  const unlock = await lockForReading(directory).catch((error: unknown) => {
    throw refusedOr(directory, error)
  })
  try {
    const disk = await openOverlayDisk(await openNodeDisk(join(directory, "log")), writtenBytesMax)
    const state = join(work, "state")
    await rm(state, { recursive: true, force: true })
    await mkdir(work, { recursive: true, mode: 0o700 })
    // Where there is none it is made from the log.
    await cp(join(directory, "state"), state, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error
    })
    const { store, discarded } = await openState(work, options)
    if (discarded !== undefined)
      options.onNotice?.(`state/ cannot be used (${discarded}); a start makes it anew from the log`)
    const engine = await openEmbeddedEngine({ ...options, reserveBytes: 0, disk, store })
    const close = async () => {
      await engine.close()
      await rm(state, { recursive: true, force: true })
      await rm(`${state}.damaged`, { recursive: true, force: true })
      await unlock()
    }
    return { ...engine, close }
  } catch (error) {
    await unlock()
    throw refusedOr(directory, error)
  }
}
