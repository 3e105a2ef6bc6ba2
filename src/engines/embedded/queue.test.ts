import { queueConformance } from "../conformance/queue.ts"
import { directoryHarness } from "./bed.fixture.ts"
import { formatCursor } from "./log/cursor.ts"
import { openQueue, type QueueOptions } from "./queue.ts"
import { openLmdbStore } from "./store-lmdb.ts"

function harness(options: Partial<QueueOptions> = {}) {
  let last = 1_000
  const cursors = async (count: number) => {
    const first = last
    last += count * 8
    return Array.from({ length: count }, (_, i) => formatCursor(first + i * 8))
  }
  return directoryHarness(async (directory, clock) => {
    const store = openLmdbStore(directory)
    const queue = await openQueue({ ...options, store, clock })
    const abandon = () => store.close()
    return {
      opened: { queue, cursors },
      abandon,
      written: () => store.write([]),
      close: async () => {
        await queue.close()
        await abandon()
      },
    }
  })
}

queueConformance("embedded", () => harness())
queueConformance("embedded, with next to no memory", () => harness({ laneReadyMax: 2, readyMax: 2 }))
