import { readEventsEnd, readWatermark } from "../../parts/index/log-index.ts"
import type { Growth } from "../../parts/journal/journal-store.ts"
import type { Store, Write } from "../../parts/store.ts"
import { tables } from "../../parts/store.ts"
import type { Missing } from "./chain.ts"
import type { LogIdentity } from "./head.ts"

const key = "journal"
const stepRows = 5_000

/**
 * How far the store has followed the log; in the store, and written in one step with what it speaks of.
 *
 * In order of places: `start` ≤ `applied` (or the tables are empty) < where the log is durable. What the index knows ends at
 * its watermark, beyond which, or beyond `applied`, whichever is less, the log is read again. Records go to `floor` or behind it.
 */
export interface Bookkeeping extends Growth {
  readonly identity: LogIdentity
  /** The place of the newest record of the journal that is in the tables. */
  readonly applied: number
  /** From this place on the journal tells everything. */
  readonly start: number
  /** The number of the newest record. */
  readonly number: number
  /** Places before this one were left out, and are no loss. */
  readonly floor: number
  /** What of them had been used when they were left out the last time, and is not there. */
  readonly lost?: Missing
  /** Whether the journal tells everything from `start` on; where not, the rows are written to it anew. */
  readonly isWhole: boolean
  /** What was made anew is not all there yet, or what was found to be lost is not told yet. */
  readonly isOpening?: true
}

/** Undefined where the store was never brought up to a log whole. */
export function readBookkeeping(store: Store): Bookkeeping | undefined {
  const stored = store.get("index", key)
  const bookkeeping = stored && (JSON.parse(Buffer.from(stored).toString("utf8")) as Bookkeeping)
  return bookkeeping?.isOpening ? undefined : bookkeeping
}

export function bookkeepingWrite(bookkeeping: Bookkeeping): Write {
  return { table: "index", key, value: Buffer.from(JSON.stringify(bookkeeping)) }
}

/** What the state knew of the log when it was left. */
export interface Before extends Pick<Bookkeeping, "floor" | "lost" | "isWhole"> {
  /** The highest place that was used; 0 where it lies before those that were left out. */
  readonly known: number
  /** Where its last event ended. */
  readonly eventsEnd: number
}

/** Where the state knew nothing. */
export const nothingBefore: Before = { known: 0, floor: 0, eventsEnd: 0, isWhole: true }

export function beforeStart(store: Store, { applied, floor, lost, isWhole }: Bookkeeping): Before {
  const known = Math.max(readWatermark(store), applied + 8)
  // What a start has left out, or found to be lost, is accounted for.
  const eventsEnd = readEventsEnd(store)
  return { known: known > floor ? known : 0, floor, eventsEnd, isWhole, ...(lost && { lost }) }
}

/** Empties tables. */
export async function wipe(store: Store, which: typeof tables = tables): Promise<void> {
  for (const table of which) {
    let rows = stepRows
    // Ends: each turn takes rows away.
    while (rows === stepRows) {
      const writes: Write[] = []
      for (const { key } of store.range(table, { limit: stepRows })) writes.push({ table, key, value: undefined })
      rows = writes.length
      if (rows > 0) await store.write(writes)
    }
  }
}
