import type { Cursor } from "../core/cursor.ts"

/** What is asked of the log that is read. */
export interface LagSource {
  compare(a: Cursor, b: Cursor): number
  /** Whether there is an event behind `from`, up to `until`; undefined where that cannot be told now. */
  holdsEvent(from: Cursor, until: Cursor): Promise<boolean | undefined>
}

/**
 * Whether a reader of the log is behind: it has not come to where the log ended so long ago, and there is an event in between.
 * Once it is, it has caught up when it comes to a place that was the end less than so long ago.
 */
export class Lag {
  readonly #lagMsMax: number
  readonly #source: LagSource
  /** Where the log ended then, which the reader had not come to yet. */
  #mark: { readonly end: Cursor; readonly at: number } | undefined
  /** From where the reader was up to here there is no event. */
  #clear: Cursor | undefined
  isBehind = false

  constructor(lagMsMax: number, source: LagSource) {
    this.#lagMsMax = lagMsMax
    this.#source = source
  }

  /** The reader is at `here`, the log ends at `end`, and `now` is the clock's steady time. */
  async look(here: Cursor, end: Cursor, now: number): Promise<void> {
    const mark = this.#mark
    const isLate = mark !== undefined && now - mark.at > this.#lagMsMax
    if (mark !== undefined && !this.#isAt(here, mark.end)) {
      if (!isLate) return
      const holds = await this.#source.holdsEvent(here, mark.end)
      if (holds) this.isBehind = true
      if (holds !== false) return
      this.#clear = mark.end
    }
    const isAtEnd = this.#isAt(here, end)
    if (isAtEnd || !isLate) this.isBehind = false
    this.#mark = isAtEnd ? undefined : { end, at: now }
  }

  #isAt(here: Cursor, place: Cursor): boolean {
    const { compare } = this.#source
    return compare(here, place) >= 0 || (this.#clear !== undefined && compare(this.#clear, place) >= 0)
  }
}
