/** One at a time, in the order of asking. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` once all that was asked for before is over; answers and throws what it does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Resolves when everything that was asked for until now is over. */
  async idle(): Promise<void> {
    await this.#last
  }
}
