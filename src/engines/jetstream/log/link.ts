import type { NatsConnection } from "@nats-io/nats-core"

/** What wants to know of the connection. */
export interface LinkListener {
  /** What was sent and is not answered may never be. */
  cut(): void
  restored(): void
}

/** Whether the connection stands. The client keeps what is sent in between, or drops it, and says nothing. */
export class Link {
  readonly #listeners = new Set<LinkListener>()
  readonly #statuses: AsyncIterable<{ readonly type: string }> & { stop?(): void }
  #up = true

  constructor(nats: NatsConnection) {
    this.#statuses = nats.status() as AsyncIterable<{ readonly type: string }> & { stop?(): void }
    void this.#watch()
  }

  get up(): boolean {
    return this.#up
  }

  /** Tells `listener` of changes; the answer ends it. */
  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#statuses.stop?.()
    this.#listeners.clear()
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#statuses) {
      if (type === "disconnect" || type === "close") {
        this.#up = false
        for (const listener of [...this.#listeners]) listener.cut()
      } else if (type === "reconnect") {
        this.#up = true
        for (const listener of [...this.#listeners]) listener.restored()
      }
    }
  }
}
