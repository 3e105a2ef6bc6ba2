import type { Cursor } from "../src/core/cursor.ts"
import type { Batch, EventLog } from "../src/core/log.ts"
import { InvariantError } from "./record.ts"
import type { World } from "./world.ts"

/** Notes the events that were dropped one by one: whoever begins to read after that never sees them again, whatever happens. */
export function watchDrops(world: World, log: EventLog, alive: () => boolean): void {
  const { record, violate } = world
  // What is lost of the journal may be that something was dropped.
  if (world.damagesLog) return
  const [drop, read] = [log.drop.bind(log), log.read.bind(log)]
  log.drop = async (address, cursors) => {
    const dropped = await drop(address, cursors)
    if (!alive()) return dropped
    for (const cursor of cursors) if (!record.dropped.has(cursor)) record.dropped.set(cursor, record.dropped.size)
    record.count("dropped by rules", dropped)
    return dropped
  }
  log.read = (options) =>
    checked(read(options), record.dropped, (cursor) => {
      violate(new InvariantError(1, `${cursor} was dropped, and is read again`))
    })
}

async function* checked(
  batches: AsyncIterable<Batch>,
  dropped: ReadonlyMap<Cursor, number>,
  onSeen: (cursor: Cursor) => void,
): AsyncIterable<Batch> {
  const before = dropped.size
  for await (const batch of batches) {
    for (const { cursor } of batch.events) {
      if ((dropped.get(cursor) ?? Number.POSITIVE_INFINITY) < before) onSeen(cursor)
    }
    yield batch
  }
}
