import type { Cursor } from "../core/cursor.ts"

/**
 * Whether a reader of the log is behind: it has not come to where the log ended so long ago. Once it is, it has caught up when
 * it comes to a place that was the end less than so long ago.
 */
export class Lag {
  readonly #lagMsMax: number
  /** Where the log ended then, which the reader had not come to yet. */
  #mark: { readonly end: Cursor; readonly at: number } | undefined
  isBehind = false

  constructor(lagMsMax: number) {
    this.#lagMsMax = lagMsMax
  }

  /** The reader is at `here`, the log ends at `end`, and `now` is the clock's steady time. */
  look(here: Cursor, end: Cursor, now: number, compare: (a: Cursor, b: Cursor) => number): void {
    const mark = this.#mark
    const isReached = mark === undefined || compare(here, mark.end) >= 0
    const isLate = mark !== undefined && now - mark.at > this.#lagMsMax
    if (!isReached) {
      this.isBehind ||= isLate
      return
    }
    const isAtEnd = compare(here, end) >= 0
    if (isAtEnd || !isLate) this.isBehind = false
    this.#mark = isAtEnd ? undefined : { end, at: now }
  }
}
