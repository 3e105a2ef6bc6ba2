import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../../core/clock.ts"
import { UnavailableError } from "../../../core/errors.ts"
import { percentDecode } from "../../../formats/percent.ts"
import { type Hash, hashInto, hashKey } from "../../parts/index/hash.ts"
import { LogIndex } from "../../parts/index/log-index.ts"
import { RecentIds } from "../../parts/index/recent-ids.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import type { Store } from "../../parts/store.ts"
import { openLmdbStore } from "../../parts/store-lmdb.ts"
import type { Link } from "./link.ts"
import { DamagedMessage } from "./message.ts"
import { Puller } from "./puller.ts"
import { asciiOf, headerOf } from "./raw-message.ts"
import { type Delivered, type Messages, storedAtOf } from "./stored-message.ts"
import type { LogStream } from "./stream.ts"
import { goneWindow, type Trims } from "./trims.ts"

export interface IndexOptions {
  readonly nats: NatsConnection
  readonly link: Link
  readonly clock: Clock
  readonly stream: LogStream
  readonly partition: number
  readonly replicas: number
  readonly messages: Messages
  readonly trims: Trims
  /** For what can be made again at any time. */
  readonly directory: string
}

const stepMessages = 2_000
const stalledMsMax = 15_000
const recheckMs = 10

/**
 * What each topic of a partition holds, found by following the stream's headers: sequences, times, sizes, hashes of
 * identities and keys. Kept in a local store between runs, which may be deleted at any time.
 */
export class PartitionIndex {
  readonly #options: IndexOptions
  readonly #store: Store
  readonly #index: LogIndex
  readonly #puller: Puller
  readonly #hash: Hash = { low: 0, high: 0 }
  readonly #following: Promise<void>
  #position: number
  #newestAt: number
  #progressAt: number
  #failure: unknown
  #closed = false
  #progress = Promise.withResolvers<void>()

  private constructor(options: IndexOptions, store: Store, index: LogIndex, position: { durable: number }) {
    const { nats, link, clock, stream, replicas } = options
    this.#options = options
    this.#store = store
    this.#index = index
    this.#position = Math.max(0, position.durable - 1)
    this.#newestAt = index.newestAt()
    this.#progressAt = clock.steady()
    const after = this.#position
    this.#puller = new Puller({
      nats,
      link,
      clock,
      stream,
      replicas,
      subjects: [],
      after,
      headersOnly: true,
      pullMax: stepMessages,
    })
    this.#following = this.#follow(position)
  }

  /** Opens the index where it was left, or makes it anew where the stream is another one now. */
  static async open(options: IndexOptions): Promise<PartitionIndex> {
    const { stream, directory, partition, clock } = options
    const { created, state } = await stream.ask<{ created: string; state: { last_seq: number } }>(
      `STREAM.INFO.${stream.name}`,
    )
    const name = `index-${partition}-${Date.parse(created)}`
    mkdirSync(directory, { recursive: true })
    for (const other of readdirSync(directory)) {
      if (other.startsWith(`index-${partition}-`) && other !== name) {
        rmSync(join(directory, other), { recursive: true, force: true })
      }
    }
    const path = join(directory, name)
    const position = { durable: 0, eventsEnd: 0 }
    const openIndex = () => {
      const store = openLmdbStore(path)
      const ids = new RecentIds(store, () => 0)
      return { store, index: new LogIndex(store, clock, ids, position, goneWindow) }
    }
    let { store, index } = openIndex()
    if (index.watermark > state.last_seq + 1) {
      await store.close()
      rmSync(path, { recursive: true, force: true })
      ;({ store, index } = openIndex())
    }
    position.durable = index.watermark
    return new PartitionIndex(options, store, index, position)
  }

  /** The sequence after the last one that is indexed. */
  get end(): number {
    return this.#position + 1
  }

  /** Resolves when it knows all that the stream has now. Throws StorageError where NATS does not answer. */
  async current(): Promise<void> {
    const { stream, clock } = this.#options
    const { last_seq } = await stream.state()
    const begunAt = clock.steady()
    while (this.#position < last_seq) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#closed || clock.steady() - Math.max(begunAt, this.#progressAt) > stalledMsMax) {
        throw new UnavailableError(`the stream ${stream.name} cannot be followed at present`)
      }
      const { promise } = this.#progress
      await Promise.race([promise, sleep(clock, recheckMs)])
      if (this.#position < last_seq && this.#puller.caughtUp) await this.#puller.reached(last_seq, true)
    }
  }

  /** A topic's index, without what retention has dropped since. */
  async topic(tenant: string, topic: string): Promise<TopicIndex> {
    const index = this.#index.topic(tenant, topic)
    const trim = this.#options.trims.get(this.#options.partition, tenant, topic)
    if (trim !== undefined && trim.sequence > index.trimmedTo) await index.trim(trim.sequence)
    await this.#takeGone(index)
    return index
  }

  /** Takes out what was dropped event by event, here or elsewhere. */
  async #takeGone(index: TopicIndex): Promise<void> {
    const { trims, partition } = this.#options
    const { tenant, topic } = index
    const version = trims.gone(partition, tenant, topic)?.version ?? 0
    if (version > index.gone.version) {
      const rows = Array.from(
        trims.goneSince(partition, tenant, topic, index.gone.version),
        ({ window, ranges }) => [window, ranges] as const,
      )
      await index.takeGone(new Map(rows), version)
    } else if (index.isToMend) await index.mendGone()
    else return
    this.#index.flushLater()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#puller.close()
    await this.#following
    await this.#index.close()
    await this.#store.close()
  }

  async #follow(position: { durable: number }): Promise<void> {
    const puller = this.#puller
    try {
      // Ends: with the index, or by what the puller throws; in between it waits for what is new.
      while (!this.#closed) {
        const taken = puller.take(stepMessages)
        for (const message of taken) await this.#add(message)
        if (taken.length > 0 || puller.position > this.#position) {
          this.#position = taken.at(-1)?.sequence ?? puller.position
          position.durable = this.#position + 1
          this.#progressAt = this.#options.clock.steady()
          this.#progress.resolve()
          this.#progress = Promise.withResolvers()
        } else await puller.more()
      }
    } catch (error) {
      this.#failure = error
    }
  }

  async #add(message: Delivered): Promise<void> {
    const { subject, sequence, header } = message
    const address = this.#options.messages.addressOf(subject as Uint8Array)
    if (address === undefined || header === undefined) return
    const text = asciiOf(header)
    const identity = identityOf(text) ?? (await this.#wholeIdentity(sequence))
    if (identity === undefined) return
    const { tenant, topic } = address
    hashInto(this.#hash, tenant, topic, identity.source, identity.id)
    const key = address.key ?? decoded(headerOf(text, "redcar-key"))
    this.#newestAt = Math.max(this.#newestAt, storedAtOf(message))
    this.#index.add(this.#index.topic(tenant, topic), {
      position: sequence,
      storedAt: this.#newestAt,
      hashLow: this.#hash.low,
      hashHigh: this.#hash.high,
      key: key === undefined ? 0 : hashKey(key),
      bytes: bytesOf(subject, text),
    })
  }

  /** Of an event whose attributes are not in the headers. */
  async #wholeIdentity(sequence: number): Promise<Identity | undefined> {
    const { stream, messages, partition } = this.#options
    const message = await stream.message({ seq: sequence })
    const stored = message === undefined ? undefined : messages.read(partition, message)
    return stored === undefined || stored instanceof DamagedMessage ? undefined : stored.event
  }
}

/** What the event takes, without what the writer and the server add, which differs from one event to the next. */
function bytesOf(subject: Delivered["subject"], header: string): number {
  return subject.length + header.indexOf("\r\nredcar-crc:") + Number(headerOf(header, "Nats-Msg-Size") ?? 0)
}

interface Identity {
  readonly source: string
  readonly id: string
}

function identityOf(header: string): Identity | undefined {
  const [source, id] = [decoded(headerOf(header, "ce-source")), decoded(headerOf(header, "ce-id"))]
  return source === undefined || id === undefined ? undefined : { source, id }
}

function decoded(value: string | undefined): string | undefined {
  return value === undefined ? undefined : (percentDecode(value) ?? value)
}
