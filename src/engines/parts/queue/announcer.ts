/**
 * Tells listeners which lanes have come to have due work. What a slow listener has not heard yet is a set, so it never
 * holds more than there are lanes.
 */
export class Announcer {
  readonly #listeners = new Set<Listener>()
  #closed = false

  tell(lane: string): void {
    for (const listener of this.#listeners) {
      listener.lanes.add(lane)
      listener.wake()
    }
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
  }
}

interface Listener {
  readonly lanes: Set<string>
  wake: () => void
}
