/** Readers at the end of the log, or of a topic, waiting for more. */
export class Waiters {
  #waiting = new Set<() => void>()
  readonly #closing = new Set<() => void>()
  #closed = false

  get any(): boolean {
    return this.#waiting.size > 0
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Calls `wake` at the end; the answer takes it back. */
  onClose(wake: () => void): () => void {
    this.#closing.add(wake)
    return () => this.#closing.delete(wake)
  }

  /** Calls `wake` once, at the next commit or at the end; the answer takes it back. */
  add(wake: () => void): () => void {
    this.#waiting.add(wake)
    return () => this.#waiting.delete(wake)
  }

  wake(): void {
    if (this.#waiting.size === 0) return
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const wake of waiting) wake()
  }

  close(): void {
    this.#closed = true
    for (const wake of [...this.#closing]) wake()
  }
}
