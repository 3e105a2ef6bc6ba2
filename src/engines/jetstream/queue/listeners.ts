import { Announcer } from "../../parts/queue/announcer.ts"
import type { Shard } from "./shard.ts"

interface Listener {
  readonly announcer: Announcer
  readonly stop: AbortSignal
}

/** Who listens for lanes with due work, across shards that come and go. */
export class Listeners {
  readonly #listeners = new Set<Listener>()
  readonly #shards = new Map<Shard, AbortController>()
  #closed = false

  /** Its lanes are told from now on, those first that have due work already. */
  add(shard: Shard): void {
    this.#shards.set(shard, new AbortController())
    for (const listener of this.#listeners) void this.#follow(shard, listener)
  }

  remove(shard: Shard): void {
    this.#shards.get(shard)?.abort()
    this.#shards.delete(shard)
  }

  /** Yields lanes until `stop` aborts, or with `close`. */
  async *listen(stop: AbortSignal): AsyncGenerator<string> {
    if (this.#closed) return
    const over = new AbortController()
    const listener = { announcer: new Announcer(), stop: AbortSignal.any([stop, over.signal]) }
    const heard = listener.announcer.listen(() => [], stop)
    this.#listeners.add(listener)
    // The announcer hears from the first call of `next` on, which is made before anything is told here.
    let next = heard.next()
    for (const shard of this.#shards.keys()) void this.#follow(shard, listener)
    try {
      // Ends: with `stop`, as the announcer does.
      for (let { done, value } = await next; !done; { done, value } = await next) {
        yield value as string
        next = heard.next()
      }
    } finally {
      this.#listeners.delete(listener)
      over.abort()
      await heard.return(undefined)
    }
  }

  close(): void {
    this.#closed = true
    for (const { announcer } of this.#listeners) announcer.close()
  }

  async #follow(shard: Shard, { announcer, stop }: Listener): Promise<void> {
    const left = this.#shards.get(shard)!.signal
    for await (const lane of shard.queue.lanes(AbortSignal.any([left, stop]))) announcer.tell(lane)
  }
}
