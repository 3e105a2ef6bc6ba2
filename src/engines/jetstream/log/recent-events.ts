import type { Cursor } from "../../../core/cursor.ts"
import type { StoredEvent } from "../../../core/log.ts"

/** Bytes of events in each half. */
const halfBytesMax = 8 << 20
/** What an event takes beside its bytes, about. */
const eventOverhead = 400

/**
 * The events that were read last, as whoever follows the log read them: those that are delivered at once need not be asked for
 * again. In two halves, of which the older one goes when the newer one is full.
 */
export class RecentEvents {
  #newer = new Map<Cursor, StoredEvent>()
  #older: ReadonlyMap<Cursor, StoredEvent> = new Map()
  #bytes = 0

  add(events: readonly StoredEvent[]): void {
    for (const stored of events) {
      const { attributesJson, data } = stored.event
      this.#bytes += attributesJson.length + (data?.length ?? 0) + eventOverhead
      this.#newer.set(stored.cursor, stored)
    }
    if (this.#bytes < halfBytesMax) return
    this.#older = this.#newer
    this.#newer = new Map()
    this.#bytes = 0
  }

  get(cursor: Cursor): StoredEvent | undefined {
    return this.#newer.get(cursor) ?? this.#older.get(cursor)
  }
}
