import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { Logger } from "../../../core/logger.ts"
import type { Carried } from "../../../core/transfer.ts"
import { openQueue, type StoredQueue } from "../../parts/queue.ts"
import type { Store } from "../../parts/store.ts"
import { type Names, stableHash } from "../names.ts"
import { Journal } from "./journal.ts"
import { replayJournal } from "./takeover.ts"

export interface QueueReadingOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly shards: number
  /** For the rows; what is there is removed. */
  readonly directory: string
  readonly clock: Clock
  readonly log: Logger
}

/** The queue as its journals tell it when each is first asked for, with nobody's assignment taken and nothing written. */
export class QueueReading {
  readonly #options: QueueReadingOptions
  readonly #shards = new Map<number, Promise<{ readonly queue: StoredQueue; readonly rows: Store }>>()

  constructor(options: QueueReadingOptions) {
    this.#options = options
  }

  async position(reader: string): Promise<Cursor | undefined> {
    return (await this.#shard(stableHash(reader) % this.#options.shards)).queue.position(reader)
  }

  async *carried(): AsyncIterable<readonly Carried[]> {
    for (let number = 0; number < this.#options.shards; number++) yield* (await this.#shard(number)).queue.carried()
  }

  async close(): Promise<void> {
    for (const opening of this.#shards.values()) {
      const opened = await opening.catch(() => undefined)
      await opened?.queue.close()
      await opened?.rows.close()
    }
    await rm(this.#options.directory, { recursive: true, force: true })
  }

  #shard(number: number) {
    const known = this.#shards.get(number)
    if (known !== undefined) return known
    const opening = this.#open(number)
    this.#shards.set(number, opening)
    return opening
  }

  async #open(number: number) {
    const { nats, names, clock } = this.#options
    const stream = names.queueStream(number)
    const journal = new Journal({ nats, clock, stream, subject: names.queueSubject(number) })
    const directory = join(this.#options.directory, `queue-${number}`)
    const rows = await replayJournal({ journal, clock, directory, stream }, (await journal.state()).last)
    return { rows, queue: await openQueue({ store: rows, clock }) }
  }
}
