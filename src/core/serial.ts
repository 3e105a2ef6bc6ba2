/** Work that must not overlap: each begins when all that was given before is over, however it ended. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve()

  /** Answers and throws what `work` does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Resolves when everything that was given until now is over. */
  async idle(): Promise<void> {
    await this.#last
  }
}

/** Work that must not overlap with other work of the same key; keys without work are not kept. */
export class SerialByKey {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Whether something of this key is under way or waits. */
  isBusy(key: string): boolean {
    return this.#last.size > 0 && this.#last.has(key)
  }

  /** Begins at once where nothing of this key is under way; answers and throws what `work` does. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const result = before === undefined ? work() : before.then(work)
    const over: Promise<void> = result
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#last.get(key) === over) this.#last.delete(key)
      })
    this.#last.set(key, over)
    return result
  }
}
