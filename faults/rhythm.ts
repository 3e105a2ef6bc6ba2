/** Notes when something happens, and knows the longest pause between two times of it. */
export class Rhythm {
  #lastAt: number | undefined
  #longestMs = 0

  /** `at` in milliseconds of a clock that never goes back. */
  note(at: number): void {
    this.#longestMs = this.longestMs(at)
    this.#lastAt = at
  }

  /** Up to `until`, so that one that goes on still counts. */
  longestMs(until: number = this.#lastAt ?? 0): number {
    return this.#lastAt === undefined ? 0 : Math.max(this.#longestMs, until - this.#lastAt)
  }
}
