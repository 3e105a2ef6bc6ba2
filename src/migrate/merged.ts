import type { Cursor } from "../core/cursor.ts"
import type { Batch, EventLog, StoredEvent } from "../core/log.ts"

/** An event, and what partition it was in. */
export interface Read {
  readonly partition: number
  readonly stored: StoredEvent
}

interface Head {
  readonly batches: AsyncIterator<Batch>
  events: readonly StoredEvent[]
  at: number
  ended: boolean
}

/** All partitions of a log as one: each in log order, all together in the order of their being stored. */
export class MergedReader {
  readonly #log: EventLog
  readonly #heads: readonly Head[]
  readonly #positions: (Cursor | undefined)[]

  /** Begins after these events, by partition; where none is named, at the oldest. */
  constructor(log: EventLog, positions: Readonly<Record<number, Cursor>>) {
    this.#log = log
    this.#positions = Array.from({ length: log.partitions }, (_, partition) => positions[partition])
    this.#heads = this.#positions.map((position, partition) => ({
      batches: log.read({ partition, from: position ?? "oldest" })[Symbol.asyncIterator](),
      events: [],
      at: 0,
      ended: false,
    }))
  }

  /** The last event that was given, by partition. */
  get positions(): Readonly<Record<number, Cursor>> {
    const entries = this.#positions.flatMap((cursor, partition) => (cursor === undefined ? [] : [[partition, cursor]]))
    return Object.fromEntries(entries) as Record<number, Cursor>
  }

  /** Whether an event at this place, or one before it, is still to come. */
  async isAhead(cursor: Cursor, partition: number): Promise<boolean> {
    const next = await peek(this.#heads[partition]!)
    return next !== undefined && this.#log.compare(next.cursor, cursor) <= 0
  }

  /** The next event, of all partitions or of `only` one; undefined at the end. */
  async next(only?: number): Promise<Read | undefined> {
    let found: Read | undefined
    for (const [partition, head] of this.#heads.entries()) {
      if (only !== undefined && partition !== only) continue
      const stored = await peek(head)
      if (stored !== undefined && (found === undefined || stored.storedAt < found.stored.storedAt)) {
        found = { partition, stored }
      }
    }
    if (found === undefined) return undefined
    this.#heads[found.partition]!.at++
    this.#positions[found.partition] = found.stored.cursor
    return found
  }

  async close(): Promise<void> {
    for (const head of this.#heads) await head.batches.return?.()
  }
}

async function peek(head: Head): Promise<StoredEvent | undefined> {
  // Ends: a batch comes that has events, or the partition ends.
  while (head.at === head.events.length && !head.ended) await fill(head)
  return head.events[head.at]
}

async function fill(head: Head): Promise<void> {
  const next = await head.batches.next()
  head.at = 0
  head.events = next.done ? [] : next.value.events
  head.ended = next.done === true
}
