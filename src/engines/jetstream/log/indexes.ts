import type { NatsConnection } from "@nats-io/nats-core"
import type { Address } from "../../../core/address.ts"
import type { Clock } from "../../../core/clock.ts"
import type { Logger } from "../../../core/logger.ts"
import type { RetentionLimits } from "../../../core/resources.ts"
import { SerialByKey } from "../../../core/serial.ts"
import { hashOfKey } from "../../parts/index/block-filters.ts"
import { type Hash, hashInto, hashKey } from "../../parts/index/hash.ts"
import { trimPoint } from "../../parts/index/kept.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import { type Names, partitionOf } from "../names.ts"
import { dropEvents } from "./drops.ts"
import type { Link } from "./link.ts"
import { PartitionIndex } from "./partition-index.ts"
import type { Messages } from "./stored-message.ts"
import type { LogStream } from "./stream.ts"
import { Trims } from "./trims.ts"

export interface IndexesOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly link: Link
  readonly clock: Clock
  readonly log: Logger
  readonly streams: readonly LogStream[]
  readonly replicas: number
  readonly readOnly?: boolean
  readonly messages: Messages
  readonly directory: string
}

/** The partitions' indexes, each begun when it is asked for the first time, and what is told by them. */
export class Indexes {
  readonly #options: IndexesOptions
  readonly #open = new Map<number, Promise<PartitionIndex>>()
  #trims: Promise<Trims> | undefined
  /** By topic: at once, they would be conflicts. */
  readonly #drops = new SerialByKey()

  constructor(options: IndexesOptions) {
    this.#options = options
  }

  /** What the address's topic holds, up to what the stream has now. */
  async topic({ tenant, topic }: Address): Promise<TopicIndex> {
    const index = await this.#index(partitionOf({ tenant, topic }, this.#options.streams.length))
    await index.current()
    return index.topic(tenant, topic)
  }

  /** Where events of the topic may be that have this identity, newest first. */
  async *withIdentity(
    address: Address,
    identity: { readonly source: string; readonly id: string },
  ): AsyncIterable<number> {
    const index = await this.topic(address)
    const hash: Hash = { low: 0, high: 0 }
    hashInto(hash, address.tenant, address.topic, identity.source, identity.id)
    for (const block of index.holding(hash)) {
      for (let i = block.count - 1; i >= 0; i--) {
        if (block.lows[i] !== hash.low || block.highs[i] !== hash.high) continue
        if (!index.isDropped(block.positions[i]!)) yield block.positions[i]!
      }
    }
  }

  /** Where events of the address may be, after a sequence; its key is known by its hash only. */
  async *keyed(address: Address, after: number): AsyncIterable<number> {
    const index = await this.topic(address)
    const key = hashKey(address.key!)
    const from = Math.max(after + 1, index.trimmedTo)
    for (const block of index.blocks(from)) {
      for (let i = block.lowerBound(from); i < block.count; i++) if (block.keys[i] === key) yield block.positions[i]!
    }
  }

  async lastOf(address: Address): Promise<number | undefined> {
    const index = await this.topic(address)
    const key = hashKey(address.key!)
    for (const block of index.holding(hashOfKey(key))) {
      for (let i = block.count - 1; i >= 0; i--) {
        if (block.keys[i] === key && !index.isDropped(block.positions[i]!)) return block.positions[i]!
      }
    }
    return undefined
  }

  /** What the topic had before this sequence retention has dropped. */
  async trimmedTo({ tenant, topic }: Pick<Address, "tenant" | "topic">): Promise<number> {
    const partition = partitionOf({ tenant, topic }, this.#options.streams.length)
    return (await (await this.#openTrims()).fetch(partition, tenant, topic))?.sequence ?? 0
  }

  /** See EventLog.trim. It is told before it is done, so that an audit never finds missing what it was not told of. */
  async trim(address: Address, keep: RetentionLimits, neededFrom: number): Promise<number> {
    const { tenant, topic } = address
    const { streams, names } = this.#options
    const partition = partitionOf(address, streams.length)
    const { index, over } = await this.over(address, keep, neededFrom)
    const { position, events } = over
    const trims = await this.#openTrims()
    const before = trims.get(partition, tenant, topic)
    if (events === 0 && before?.open === undefined) return 0
    const sequence = Math.max(position, before?.sequence ?? 0)
    const dropped = before?.events ?? 0
    const begun = events + (before?.open ?? 0)
    await trims.put(partition, { tenant, topic, sequence, events: dropped, open: begun })
    let purged = 0
    for (const subject of names.subjectsOf({ tenant, topic })) {
      purged += await streams[partition]!.purge(subject, sequence)
    }
    // Of what was begun before and not ended, nobody knows how much was done.
    const gone = before?.open === undefined ? purged : Math.max(purged, begun)
    await trims.put(partition, { tenant, topic, sequence, events: dropped + gone })
    await index.trim(sequence)
    await trims.forgetGone(partition, tenant, topic, sequence)
    return events
  }

  /** See EventLog.drop. */
  async drop({ tenant, topic }: Address, sequences: readonly number[]): Promise<number> {
    const partition = partitionOf({ tenant, topic }, this.#options.streams.length)
    const [trims, stream] = [await this.#openTrims(), this.#options.streams[partition]!]
    const options = { tenant, topic, partition, stream, trims, index: () => this.topic({ tenant, topic }) }
    return this.#drops.run(`${tenant}/${topic}`, () => dropEvents(options, sequences))
  }

  /** Whether retention has dropped what the topic had at a sequence, if it had something there. */
  async isDropped({ tenant, topic }: Pick<Address, "tenant" | "topic">, sequence: number): Promise<boolean> {
    if (sequence < (await this.trimmedTo({ tenant, topic }))) return true
    const partition = partitionOf({ tenant, topic }, this.#options.streams.length)
    return (await this.#openTrims()).isGone(partition, tenant, topic, sequence)
  }

  /** What of the address's topic is not kept. */
  async over(address: Address, keep: RetentionLimits, neededFrom: number) {
    const index = await this.topic(address)
    const { end } = await this.#index(partitionOf(address, this.#options.streams.length))
    return { index, over: trimPoint(index, keep, this.#options.clock.now(), Math.min(end, neededFrom)) }
  }

  async close(): Promise<void> {
    for (const index of this.#open.values()) await (await index.catch(() => undefined))?.close()
    await (await this.#trims?.catch(() => undefined))?.close()
  }

  #openTrims(): Promise<Trims> {
    this.#trims ??= Trims.open(this.#options).catch((error: unknown) => {
      this.#trims = undefined
      throw error
    })
    return this.#trims
  }

  #index(partition: number): Promise<PartitionIndex> {
    let index = this.#open.get(partition)
    if (index === undefined) {
      index = this.#openIndex(partition)
      this.#open.set(partition, index)
      index.catch(() => this.#open.delete(partition))
    }
    return index
  }

  async #openIndex(partition: number): Promise<PartitionIndex> {
    const trims = await this.#openTrims()
    return PartitionIndex.open({ ...this.#options, stream: this.#options.streams[partition]!, partition, trims })
  }
}
