/** Notes when something happens, each kind of it by its name, and knows the longest pause between two times of one kind. */
export class Rhythm {
  readonly #lastAt = new Map<string, number>()
  #longestMs = 0

  /** `at` in milliseconds of a clock that never goes back. */
  note(kind: string, at: number): void {
    const lastAt = this.#lastAt.get(kind)
    if (lastAt !== undefined) this.#longestMs = Math.max(this.#longestMs, at - lastAt)
    this.#lastAt.set(kind, at)
  }

  /** Pauses that go on at `until` count as well. */
  longestMs(until: number): number {
    return Math.max(this.#longestMs, ...[...this.#lastAt.values()].map((at) => until - at))
  }
}
