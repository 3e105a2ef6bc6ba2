import { join } from "node:path"
import { engineConformance } from "../conformance.ts"
import { directoryHarness } from "../parts/directory-harness.fixture.ts"
import { openLmdbStore } from "../parts/store-lmdb.ts"
import type { Disk, DiskFile } from "./disk.ts"
import { openNodeDisk } from "./disk-node.ts"
import { openEmbeddedEngine } from "./engine.ts"

/** A disk whose open files can be let go of by who did not open them, as the system does with those of a dead process. */
function mortalDisk(disk: Disk) {
  const files = new Set<DiskFile>()
  const track = (file: DiskFile): DiskFile => {
    const tracked: DiskFile = {
      name: file.name,
      bytes: file.bytes,
      read: (into, at) => file.read(into, at),
      write: (data, at) => file.write(data, at),
      isGone: () => file.isGone(),
      close() {
        files.delete(tracked)
        return file.close()
      },
    }
    files.add(tracked)
    return tracked
  }
  return {
    disk: {
      ...disk,
      create: async (name: string, bytes: number) => track(await disk.create(name, bytes)),
      open: async (name: string) => track(await disk.open(name)),
    },
    async letGo() {
      for (const file of [...files]) await file.close()
    },
  }
}

engineConformance("embedded", () =>
  directoryHarness(async (directory, clock) => {
    const store = openLmdbStore(join(directory, "state"))
    const { disk, letGo } = mortalDisk(await openNodeDisk(join(directory, "log")))
    // Small segments, so that the suite crosses from one to the next.
    const engine = await openEmbeddedEngine({ store, disk, clock, segmentBytes: 1 << 20 })
    return {
      opened: engine,
      written: () => store.write([]),
      close: () => engine.close(),
      async abandon() {
        await letGo()
        await store.close()
      },
    }
  }),
)
