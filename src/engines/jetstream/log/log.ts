import type { NatsConnection } from "@nats-io/nats-core"
import { type Address, isReservedTopic } from "../../../core/address.ts"
import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import { DamagedError, InvalidCursorError, UnavailableError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { Figures } from "../../../core/figures.ts"
import type {
  Appended,
  AppendOptions,
  Batch,
  EventLog,
  GetOptions,
  Needed,
  ReadOptions,
  StoredEvent,
  TopicStats,
  Trimmable,
} from "../../../core/log.ts"
import type { Logger } from "../../../core/logger.ts"
import type { RetentionLimits } from "../../../core/resources.ts"
import type { Condition } from "../../../core/troubles.ts"
import { neededFrom, statsOf, trimmableOf } from "../../parts/index/kept.ts"
import { type Names, partitionOf } from "../names.ts"
import { Appender } from "./appender.ts"
import { Conditions } from "./condition.ts"
import { formatCursor, type Place, parseCursor } from "./cursor.ts"
import { Damages } from "./damages.ts"
import { Indexes } from "./indexes.ts"
import { Link } from "./link.ts"
import { DamagedMessage } from "./message.ts"
import { Publisher } from "./publisher.ts"
import { beforeTime, type ReadState, readLog } from "./read.ts"
import { RecentEvents } from "./recent-events.ts"
import { Sizes } from "./sizes.ts"
import { type Delivered, Messages } from "./stored-message.ts"
import { ensureLogStream, LogStream } from "./stream.ts"

export interface JetStreamLogOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly partitions: number
  readonly replicas: number
  /** Its streams are there, and nothing is written; appends and trims are not asked for. */
  readonly readOnly?: boolean
  readonly dedupeWindowMsMax: number
  /** For what can be made again at any time: the indexes. */
  readonly directory: string
  /** Memory for events that wait for an answer; more is refused. */
  readonly pendingBytesMax: number
  readonly clock: Clock
  readonly log: Logger
}

/** The event log in JetStream, with what an operator wants to know of it. */
export interface JetStreamLog extends EventLog {
  health(): readonly string[]
  /** What of that comes and goes, and the log was not told of. */
  troubles(): readonly Condition[]
  figures(): Figures
  close(): Promise<void>
}

/** Opens the log, and makes its streams where they are missing. The connection stays the caller's. */
export async function openJetStreamLog(options: JetStreamLogOptions): Promise<JetStreamLog> {
  const toMake = options.readOnly ? 0 : options.partitions
  for (let partition = 0; partition < toMake; partition++) await ensureLogStream(options, partition)
  return new StreamLog(options)
}

class StreamLog implements JetStreamLog {
  readonly partitions: number
  readonly #names: Names
  readonly #streams: readonly LogStream[]
  readonly #link: Link
  readonly #publisher: Publisher
  readonly #appender: Appender
  readonly #conditions: Conditions
  readonly #indexes: Indexes
  readonly #messages: Messages
  readonly #damages: Damages
  readonly #reading: ReadState
  readonly #sizes: Sizes
  readonly #recent = new RecentEvents()

  constructor(options: JetStreamLogOptions) {
    const { nats, names, partitions, clock, pendingBytesMax } = options
    this.partitions = partitions
    this.#names = names
    this.#streams = Array.from(
      { length: partitions },
      (_, i) => new LogStream({ nats, clock, name: names.logStream(i), replicas: options.replicas }),
    )
    this.#link = new Link(nats)
    this.#sizes = new Sizes(this.#streams, clock)
    this.#messages = new Messages(names)
    this.#damages = new Damages(options.log)
    const streams = this.#streams
    const shared = { ...options, link: this.#link, streams, messages: this.#messages }
    this.#publisher = new Publisher(shared)
    this.#appender = new Appender({
      names,
      clock,
      publisher: this.#publisher,
      streams,
      pendingBytesMax,
      payloadBytesMax: () => nats.info?.max_payload ?? Number.POSITIVE_INFINITY,
    })
    this.#indexes = new Indexes(shared)
    this.#conditions = new Conditions({
      ...shared,
      appender: this.#appender,
      last: (address) => this.last(address),
      earlier: (address, event) => this.#earlier(address, event),
    })
    this.#reading = {
      ...shared,
      recent: this.#recent,
      keyed: (address, after) => this.#indexes.keyed(address, after),
      onDamage: (partition, sequence, reason) => this.#damages.add(streams[partition]!.name, sequence, reason),
    }
  }

  partitionOf(address: { readonly tenant: string; readonly topic: string }): number {
    return partitionOf(address, this.partitions)
  }

  append(address: Address, events: readonly Event[], options: AppendOptions = {}): Promise<readonly Appended[]> {
    if (events.length === 0) return Promise.resolve([])
    const appends = options.expectedLast === undefined ? this.#appender : this.#conditions
    return appends.append(address, events, options)
  }

  read(options: ReadOptions): AsyncIterable<Batch> {
    return readLog(this.#reading, options)
  }

  async get(cursor: Cursor, { of, recent = false }: GetOptions = {}): Promise<StoredEvent | undefined> {
    const known = recent ? this.#recent.get(cursor) : undefined
    if (known !== undefined) return known
    const { partition, sequence } = parseCursor(cursor, this.partitions)
    if (sequence === 0) return undefined
    const found = this.#event(partition, await this.#streams[partition]!.message({ seq: sequence }))
    if (found === undefined && of !== undefined) await this.#checkDropped({ partition, sequence }, of)
    return found
  }

  /** Throws where retention is not why the topic has nothing at this place. */
  async #checkDropped({ partition, sequence }: Place, { tenant, topic }: Address): Promise<void> {
    const stream = this.#streams[partition]!
    const { name } = stream
    if (await this.#indexes.isDropped({ tenant, topic }, sequence)) return
    if ((await stream.state()).last_seq < sequence) throw new UnavailableError(`${name} ends before ${sequence}`)
    const reason = `no message is there, and retention has not dropped it from ${tenant}/${topic}`
    this.#damages.add(name, sequence, reason)
    throw new DamagedError(`${name}, sequence ${sequence}: ${reason}`)
  }

  #event(partition: number, message: Delivered | undefined): StoredEvent | undefined {
    if (message === undefined) return undefined
    const event = this.#messages.read(partition, message)
    if (!(event instanceof DamagedMessage)) return event
    const { name } = this.#streams[partition]!
    this.#damages.add(name, message.sequence, event.reason)
    throw new DamagedError(`${name}, sequence ${message.sequence}: ${event.reason}`)
  }

  async find(
    address: Address,
    identity: { readonly source: string; readonly id: string },
  ): Promise<StoredEvent | undefined> {
    const partition = this.partitionOf(address)
    for await (const sequence of this.#indexes.withIdentity(address, identity)) {
      const message = await this.#streams[partition]!.message({ seq: sequence })
      const stored = message && this.#messages.read(partition, message)
      if (stored === undefined || stored instanceof DamagedMessage) continue
      const { event } = stored
      if (event.id === identity.id && event.source === identity.source) return stored
    }
    return undefined
  }

  async #earlier(address: Address, event: Event) {
    const found = await this.find(address, event)
    if (found === undefined) return undefined
    return { sequence: parseCursor(found.cursor, this.partitions).sequence, storedAt: found.storedAt }
  }

  async head(partition = 0): Promise<Cursor> {
    const { last_seq } = await this.#streams[partition]!.state()
    return formatCursor(partition, last_seq)
  }

  oldest(partition = 0): Cursor {
    return formatCursor(partition, 0)
  }

  async at(time: number, partition = 0): Promise<Cursor> {
    return formatCursor(partition, await beforeTime(this.#streams[partition]!, time))
  }

  async last(address: Address): Promise<Cursor | undefined> {
    const partition = this.partitionOf(address)
    const hidden = address.key !== undefined && isReservedTopic(address.topic)
    const sequence = hidden ? await this.#indexes.lastOf(address) : await this.#lastOf(partition, address)
    return sequence === undefined ? undefined : formatCursor(partition, sequence)
  }

  async #lastOf(partition: number, address: Address): Promise<number | undefined> {
    const subjects = this.#names.subjectsOf(address)
    const found = await Promise.all(
      subjects.map((subject) => this.#streams[partition]!.message({ last_by_subj: subject })),
    )
    const sequences = found.flatMap((message) => (message === undefined ? [] : [message.sequence]))
    return sequences.length === 0 ? undefined : Math.max(...sequences)
  }

  compare(a: Cursor, b: Cursor): number {
    const [left, right] = [parseCursor(a, this.partitions), parseCursor(b, this.partitions)]
    if (left.partition !== right.partition) throw new InvalidCursorError(b)
    return left.sequence - right.sequence
  }

  async stats(address: Address, after?: Cursor, until?: Cursor): Promise<TopicStats> {
    const from = after === undefined ? 0 : parseCursor(after, this.partitions).sequence + 1
    const end = until === undefined ? undefined : parseCursor(until, this.partitions).sequence + 1
    return statsOf(await this.#indexes.topic(address), from, end)
  }

  async dropped(address: Address): Promise<Cursor | undefined> {
    const sequence = await this.#indexes.trimmedTo(address)
    return sequence === 0 ? undefined : formatCursor(this.partitionOf(address), sequence - 1)
  }

  trim(address: Address, keep: RetentionLimits, needed: Needed = {}): Promise<number> {
    return this.#indexes.trim(address, keep, this.#neededFrom(needed))
  }

  async trimmable(address: Address, keep: RetentionLimits, needed: Needed = {}): Promise<Trimmable> {
    const partition = this.partitionOf(address)
    const { index, over } = await this.#indexes.over(address, keep, this.#neededFrom(needed))
    return trimmableOf(index, over, (sequence) => formatCursor(partition, sequence))
  }

  async drop(address: Address, cursors: readonly Cursor[]): Promise<number> {
    const partition = this.partitionOf(address)
    const places = cursors.map((cursor) => parseCursor(cursor, this.partitions))
    const own = places.filter((place) => place.partition === partition)
    return this.#indexes.drop(
      address,
      own.map(({ sequence }) => sequence),
    )
  }

  #neededFrom(needed: Needed): number {
    return neededFrom(needed, (cursor) => parseCursor(cursor, this.partitions).sequence)
  }

  health(): readonly string[] {
    const lines = [...this.#damages.lines]
    if (!this.#link.up) lines.push("the connection to NATS is cut: publishing is refused")
    return [...lines, ...this.troubles().map(({ line }) => line)]
  }

  troubles(): readonly Condition[] {
    if (!this.#link.up || !this.#publisher.pipelines.some((pipeline) => pipeline.refusing)) return []
    const line = "NATS stores nothing at present, for want of a leader or a quorum: publishing is refused"
    return [{ line, over: "NATS stores again: events are taken" }]
  }

  figures(): Figures {
    const { events, bytes } = this.#sizes.now
    return {
      log_bytes: bytes,
      log_events: events,
      log_pending_bytes: this.#appender.pendingBytes,
      log_pending_messages: this.#publisher.pending,
      log_damages: this.#damages.count,
      log_partitions: this.partitions,
    }
  }

  async close(): Promise<void> {
    this.#appender.close()
    await this.#publisher.settled()
    this.#publisher.close()
    await this.#indexes.close()
    this.#link.close()
  }
}
