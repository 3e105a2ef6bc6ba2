import type { NatsConnection } from "@nats-io/nats-core"
import type { Assignments } from "../../../core/assignments.ts"
import { type Clock, sleep } from "../../../core/clock.ts"
import type { Figures, LaneBacklog } from "../../../core/figures.ts"
import type { LaneReport } from "../../../core/lane-status.ts"
import type { Logger } from "../../../core/logger.ts"
import { type Names, stableHash } from "../names.ts"
import { Answering } from "./answering.ts"
import type { Listeners } from "./listeners.ts"
import { RemoteShard } from "./remote.ts"
import type { Shard, ShardCalls, ShardFigures } from "./shard.ts"
import { ShardHolder } from "./shard-holder.ts"

export interface ShardDirectoryOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly shards: number
  readonly assignments: Assignments
  readonly serve: boolean
  readonly directory: string
  readonly pendingBytesMax: number
  readonly compactBytesMin?: number
  readonly clock: Clock
  readonly log: Logger
  readonly listeners: Listeners
  /** How a lane fares, as whoever delivers in this process tells; undefined: nobody does. */
  report(lane: string): LaneReport | undefined
}

interface Held {
  readonly shard: Shard
  readonly answering: Answering
  leasing: boolean
}

/** Of one message, whatever it is for; less where the server takes less. */
const messageBytesMax = 512 << 10
/** What a message has around its content. */
const messageBytesMore = 4_096
const compactBytesMin = 16 << 20
/** How often a shard that is not here is looked for. */
const lookMs = 5_000
const lookSoonMs = 200

/** Where each shard is: here, or with another process. */
export class ShardDirectory {
  readonly #options: ShardDirectoryOptions
  readonly #held = new Map<number, Held>()
  readonly #remote: readonly RemoteShard[]
  readonly #holder: ShardHolder | undefined
  /** Why a shard could not be asked when it was last tried. */
  readonly #failures = new Map<number, string>()
  readonly #stop = new AbortController()
  readonly #looking: Promise<void>
  readonly #bytesMax: number
  /** Aborts when a shard has come or gone. */
  #changed = new AbortController()

  constructor(options: ShardDirectoryOptions) {
    const { nats, names, shards, serve } = options
    this.#options = options
    this.#bytesMax = Math.min(messageBytesMax, (nats.info?.max_payload ?? messageBytesMax) - messageBytesMore)
    const heard = (number: number, failure: string | undefined) => {
      if (failure === undefined) this.#failures.delete(number)
      else this.#failures.set(number, failure)
    }
    this.#remote = Array.from({ length: shards }, (_, number) => {
      const subject = names.queueRequests(number)
      return new RemoteShard({ nats, number, subject, requestBytesMax: this.#bytesMax, heard })
    })
    this.#holder = serve ? this.#holdShards() : undefined
    this.#looking = this.#look()
  }

  at(number: number): ShardCalls {
    return this.#held.get(number)?.shard ?? this.#remote[number]!
  }

  /** The shard, where it is here: its leases can be ended. */
  here(number: number): Shard | undefined {
    return this.#held.get(number)?.shard
  }

  /** The shard, where it is here to stay: leases may be given. */
  leasing(number: number): Shard | undefined {
    const held = this.#held.get(number)
    return held?.leasing ? held.shard : undefined
  }

  /** Resolves when every shard is held by somebody, or after `msMax`. */
  async ready(msMax: number): Promise<void> {
    const { clock } = this.#options
    const until = clock.steady() + msMax
    while (clock.steady() < until && !this.#stop.signal.aborted) {
      const changed = this.#changed.signal
      const missing = this.#remote.filter((_, number) => !this.#held.has(number))
      const pings = await Promise.allSettled(missing.map((shard) => shard.ping()))
      if (pings.every(({ status }) => status === "fulfilled")) return
      await sleep(clock, lookSoonMs, AbortSignal.any([changed, this.#stop.signal]))
    }
  }

  health(): readonly string[] {
    const missing = [...this.#failures].filter(([number]) => !this.#held.has(number)).sort(([a], [b]) => a - b)
    const lines = [...(this.#holder?.health() ?? [])]
    const { shards } = this.#options
    if (missing.length === shards && missing.every(([, why]) => why === missing[0]![1])) {
      lines.push(
        `no shard of the delivery queue can be asked (${missing[0]![1]}): deliveries wait; a process with the role deliver is needed`,
      )
    } else {
      for (const [number, why] of missing)
        lines.push(`queue shard ${number} cannot be asked (${why}): its deliveries wait`)
    }
    return lines
  }

  figures(): Figures {
    const total: Record<keyof ShardFigures, number> = {
      lanes: 0,
      deliveries_open: 0,
      deliveries_in_memory: 0,
      leases: 0,
      queue_pending_bytes: 0,
      journal_bytes: 0,
    }
    for (const { shard } of this.#held.values()) {
      const figures = shard.figures()
      for (const name of Object.keys(total) as (keyof ShardFigures)[]) total[name] += figures[name]
    }
    return { ...total, queue_shards: this.#held.size }
  }

  backlog(): readonly LaneBacklog[] {
    return [...this.#held.values()].flatMap(({ shard }) => shard.queue.backlog())
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#holder?.close()
    await this.#looking
  }

  #holdShards(): ShardHolder {
    const { nats, clock, log, names, listeners } = this.#options
    return new ShardHolder({
      ...this.#options,
      recordBytesMax: this.#bytesMax,
      compactBytesMin: this.#options.compactBytesMin ?? compactBytesMin,
      shardOf: (number, lane) => {
        const other = stableHash(lane) % this.#options.shards
        return other === number ? undefined : this.at(other)
      },
      taken: (number, shard) => {
        const subject = names.queueRequests(number)
        const answering = new Answering({ nats, clock, log, subject, shard, answerBytesMax: this.#bytesMax })
        this.#held.get(number)?.answering.close()
        this.#held.set(number, { shard, answering, leasing: true })
        this.#failures.delete(number)
        shard.queue.reportBy((lane) => this.#options.report(lane))
        listeners.add(shard)
        this.#tell()
      },
      leaving: (number) => {
        const held = this.#held.get(number)
        if (held) held.leasing = false
        held?.shard.leave()
      },
      left: (number, shard) => {
        listeners.remove(shard)
        const held = this.#held.get(number)
        if (held?.shard !== shard) return
        held.answering.close()
        this.#held.delete(number)
        this.#tell()
      },
    })
  }

  #tell(): void {
    const before = this.#changed
    this.#changed = new AbortController()
    before.abort()
  }

  /** Finds out which of the shards that are not here can be asked, for who wants to know how the hub is. */
  async #look(): Promise<void> {
    const { clock, nats } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted && !nats.isClosed()) {
      const missing = this.#remote.filter((_, number) => !this.#held.has(number))
      await Promise.allSettled(missing.map((shard) => shard.ping()))
      await sleep(clock, lookMs, signal)
    }
  }
}
