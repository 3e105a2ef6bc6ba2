import type { Cursor } from "../core/cursor.ts"

/** A stretch of a topic, and what was counted in it. */
export interface Part {
  readonly after: Cursor
  upTo: Cursor
  /** All events that were in it. It is as it was for as long as there are as many. */
  all: number
  /** Those that match, and their bytes. */
  events: number
  bytes: number
}

const partsMax = 64

/**
 * What was counted of a topic, stretch by stretch, oldest first: where some of it goes, only that stretch is counted anew. As
 * many at most, however long the topic is.
 */
export class Parts {
  readonly list: Part[] = []
  /** Events after which the next part begins. */
  readonly partEvents = 20_000
  /** Whether all of them are known to be right. */
  isSure = true

  get all(): number {
    return this.list.reduce((sum, { all }) => sum + all, 0)
  }

  /** What matches in a part and behind it. */
  after(part: Part): { readonly events: number; readonly bytes: number } {
    const from = this.list.slice(this.list.indexOf(part))
    return {
      events: from.reduce((sum, { events }) => sum + events, 0),
      bytes: from.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  /** The next one; the two neighbours that hold least become one where there are too many. */
  add(part: Part): void {
    this.list.push(part)
    if (this.list.length <= partsMax) return
    let least = 0
    const together = (i: number) => this.list[i]!.all + this.list[i + 1]!.all
    for (let i = 1; i < this.list.length - 1; i++) if (together(i) < together(least)) least = i
    const [one, other] = [this.list[least]!, this.list[least + 1]!]
    const { after } = one
    const { upTo } = other
    const joined = { all: one.all + other.all, events: one.events + other.events, bytes: one.bytes + other.bytes }
    this.list.splice(least, 2, { after, upTo, ...joined })
  }
}
