/** Work that goes one after another, by name; different names do not wait for each other. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>()

  /** Whether something of this name is under way or waits. */
  busy(name: string): boolean {
    return this.#last.size > 0 && this.#last.has(name)
  }

  /** Does `work` when all that was taken under this name before is over, however it ended. */
  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const turn = before.then(work)
    const over: Promise<void> = turn
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#last.get(name) === over) this.#last.delete(name)
      })
    this.#last.set(name, over)
    return turn
  }
}
