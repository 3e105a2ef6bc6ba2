/**
 * Tells listeners which lanes have come to have due work. What a slow listener has not heard yet is a set, so it never
 * holds more than there are lanes.
 */
export class Announcer {
  readonly #listeners = new Set<Listener>()
  readonly #waiting = new Map<string, Set<() => void>>()
  #closed = false

  tell(lane: string): void {
    for (const listener of this.#listeners) {
      listener.lanes.add(lane)
      listener.wake()
    }
    for (const resolve of this.#waiting.get(lane) ?? []) resolve()
  }

  /** Resolves when this lane is told, when `stop` aborts, or with `close`. */
  next(lane: string, stop: AbortSignal): Promise<void> {
    if (stop.aborted || this.#closed) return Promise.resolve()
    const waiting = this.#waiting.get(lane) ?? new Set()
    this.#waiting.set(lane, waiting)
    return new Promise((resolve) => {
      const done = () => {
        stop.removeEventListener("abort", done)
        waiting.delete(done)
        if (waiting.size === 0 && this.#waiting.get(lane) === waiting) this.#waiting.delete(lane)
        resolve()
      }
      waiting.add(done)
      stop.addEventListener("abort", done)
    })
  }

  /** Yields the lanes of `first`, then each that is told; ends when `stop` aborts, or with `close`. */
  async *listen(first: () => Iterable<string>, stop: AbortSignal): AsyncGenerator<string> {
    const listener: Listener = { lanes: new Set(first()), wake: () => {} }
    const wake = () => listener.wake()
    this.#listeners.add(listener)
    stop.addEventListener("abort", wake)
    try {
      while (!stop.aborted && !this.#closed) {
        const [lane] = listener.lanes
        if (lane === undefined) {
          await new Promise<void>((resolve) => {
            listener.wake = resolve
          })
          continue
        }
        listener.lanes.delete(lane)
        yield lane
      }
    } finally {
      stop.removeEventListener("abort", wake)
      this.#listeners.delete(listener)
    }
  }

  close(): void {
    this.#closed = true
    for (const listener of this.#listeners) listener.wake()
    for (const waiting of this.#waiting.values()) for (const resolve of waiting) resolve()
  }
}

interface Listener {
  readonly lanes: Set<string>
  wake: () => void
}
