import { nuid } from "@nats-io/nats-core"
import type { Address } from "../../../core/address.ts"
import type { Clock } from "../../../core/clock.ts"
import {
  ClosedError,
  EventTooLargeError,
  OverloadError,
  StorageError,
  StorageFullError,
  UnavailableError,
} from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { Appended, AppendOptions } from "../../../core/log.ts"
import { Repeats } from "../../parts/repeats.ts"
import { type Names, partitionOf } from "../names.ts"
import { isFull } from "../reasons.ts"
import type { Answer } from "./answer.ts"
import {
  batch,
  eventId,
  type Sending,
  type SendOptions,
  single,
  type Target,
  type TopicState,
  targetOf,
} from "./append.ts"
import { formatCursor } from "./cursor.ts"
import type { Outgoing } from "./pipeline.ts"
import type { Publisher } from "./publisher.ts"
import { asciiOf, headerOf } from "./raw-message.ts"
import { storedAtOf } from "./stored-message.ts"
import type { LogStream, StreamMessage } from "./stream.ts"

export interface AppenderOptions {
  readonly names: Names
  readonly clock: Clock
  readonly publisher: Publisher
  readonly streams: readonly LogStream[]
  readonly pendingBytesMax: number
  /** What the server takes as one message. */
  payloadBytesMax(): number
}

const targetsMax = 10_000
const topicsMax = 10_000
/** What was not answered for so long is refused. */
const answeredMsMax = 5_000
const retryAfterMs = 1_000
/** How often an event may have been stored, and dropped or grown old, while the server knows its ids. */
const knownMax = 1_000
/** What an event takes beside its data, about. */
const eventBytes = 300

/** Puts events into the partitions' streams: in order, and none twice. */
export class Appender {
  readonly #options: AppenderOptions
  readonly #targets = new Map<string, Target>()
  /** By the address object itself: callers keep one for each address. */
  #known = new WeakMap<Address, Target>()
  readonly #topics = new Map<string, TopicState>()
  /** When the newest copy was stored, by partition; unknown where something else was stored after it. */
  readonly #floors: (number | undefined)[] = []
  /** Copies that wait for their turn, by partition. */
  readonly #copying: (Promise<unknown> | undefined)[] = []
  #pendingBytes = 0
  #closed = false

  constructor(options: AppenderOptions) {
    this.#options = options
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  close(): void {
    this.#closed = true
  }

  get streams(): readonly LogStream[] {
    return this.#options.streams
  }

  get clock(): Clock {
    return this.#options.clock
  }

  get writer(): string {
    return this.#options.publisher.writer
  }

  /** See EventLog.append; without a condition. */
  append(address: Address, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const target = this.target(address)
    const refusal = this.refusal(target, events)
    if (refusal !== undefined) return Promise.reject(refusal)
    const isCopy = options.storedAt !== undefined
    const isReady =
      !isCopy || (this.#copying[target.partition] === undefined && this.#floors[target.partition] !== undefined)
    if (target.topic.turn === undefined && isReady) return this.#put(target, events, options)
    const put = () =>
      this.inTurn(target, events, async () => {
        await this.#findFloor(target, options)
        return { appended: this.#put(target, events, options) }
      })
    return (isCopy ? this.#afterCopies(target, put) : put()).then(
      ({ appended }) => appended,
      (error: unknown) => {
        throw error instanceof UnavailableError ? notStored() : error
      },
    )
  }

  /** What keeps an append from being taken now. */
  refusal({ pipeline }: Target, events: readonly Event[]): Error | undefined {
    if (this.#closed) return new ClosedError()
    if (pipeline.refusing) return notStored()
    return this.#pendingBytes + bytesOf(events) > this.#options.pendingBytesMax ? new OverloadError(100) : undefined
  }

  target(address: Address): Target {
    const known = this.#known.get(address)
    if (known !== undefined) return known
    const { names, publisher } = this.#options
    const partition = partitionOf(address, publisher.pipelines.length)
    const name = names.logSubjectOf(partition, address) + (address.key === undefined ? "" : ` ${address.key}`)
    let target = this.#targets.get(name)
    if (target === undefined) {
      const topic = this.#topic(address)
      target = targetOf(address, { names, partition, pipeline: publisher.pipelines[partition]!, topic })
      if (this.#targets.size >= targetsMax) this.#targets.clear()
      this.#targets.set(name, target)
    }
    this.#known.set(address, target)
    return target
  }

  /** One object for a topic, as long as anything of it is on its way. */
  #topic({ tenant, topic }: Address): TopicState {
    const name = `${tenant}/${topic}`
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    if (this.#topics.size >= topicsMax) this.#forgetTopics()
    const state: TopicState = { stored: 0, open: 0, settled: undefined, turn: undefined }
    this.#topics.set(name, state)
    return state
  }

  #forgetTopics(): void {
    this.#targets.clear()
    this.#known = new WeakMap()
    for (const [name, { open, turn }] of this.#topics) if (open === 0 && turn === undefined) this.#topics.delete(name)
  }

  /** Does `work` when those before it on the topic have done theirs; its events count as pending until then. */
  inTurn<T>({ topic }: Target, events: readonly Event[], work: () => Promise<T>): Promise<T> {
    const bytes = bytesOf(events)
    this.#pendingBytes += bytes
    const turn = (topic.turn ?? Promise.resolve()).then(() => {
      this.#pendingBytes -= bytes
      return work()
    })
    const done: Promise<unknown> = turn
      .catch(() => {})
      .then(() => {
        if (topic.turn === done) topic.turn = undefined
      })
    topic.turn = done
    return turn
  }

  /** Copies go in the order of calls in a whole partition, or their times would fall. */
  #afterCopies<T>({ partition }: Target, put: () => Promise<T>): Promise<T> {
    const turn = (this.#copying[partition] ?? Promise.resolve()).then(put)
    const done: Promise<unknown> = turn
      .catch(() => {})
      .then(() => {
        if (this.#copying[partition] === done) this.#copying[partition] = undefined
      })
    this.#copying[partition] = done
    return turn
  }

  /** Copies are not stored before what is there already. */
  async #findFloor({ partition, pipeline }: Target, { storedAt }: AppendOptions): Promise<void> {
    if (storedAt === undefined || this.#floors[partition] !== undefined) return
    const floor = await pipeline.alone(async () => {
      const last = await this.streams[partition]!.message({ last_by_subj: ">" })
      return last === undefined ? 0 : storedAtOf(last)
    })
    this.#floors[partition] ??= floor
  }

  /** Without an await before the last event is in its place. */
  #put(target: Target, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const { dedupeWindowMs = 0 } = options
    const storedAt = this.#timeOf(target, options)
    return new Promise((resolve, reject) => {
      const repeats = dedupeWindowMs > 0 && events.length > 1 ? new Repeats(events) : undefined
      const earlier = events.map((_, i) => repeats?.before(i))
      const call = new Call(earlier, resolve, reject)
      events.forEach((event, i) => {
        if (earlier[i] !== undefined) return
        const messageId = dedupeWindowMs > 0 ? eventId(target.address, event) : ""
        this.#send(target, { event, messageId, storedAt }, dedupeWindowMs, (result) => call.settle(i, result))
      })
      if (events.length === 0) resolve([])
    })
  }

  #timeOf({ partition }: Target, { storedAt }: AppendOptions): number | undefined {
    const floor = this.#floors[partition]
    this.#floors[partition] = storedAt === undefined ? undefined : Math.max(storedAt, floor ?? 0)
    return this.#floors[partition]
  }

  /** How sent messages are made. */
  sending(target: Target): SendOptions {
    return { target, writer: this.writer, deadline: this.clock.steady() + answeredMsMax }
  }

  /** `known`: where the last event was that the server knew by an earlier id of this one, and how many there were. */
  #send(
    target: Target,
    sending: Sending,
    windowMs: number,
    settle: (result: Appended | Error) => void,
    known = { sequence: 0, count: 0 },
  ): void {
    const outgoing = single(this.sending(target), sending, (answer) => {
      this.#pendingBytes -= outgoing.bytes
      if (answer.kind === "stored")
        return settle({ cursor: formatCursor(target.partition, answer.sequence), duplicate: false })
      if (answer.kind !== "duplicate") return settle(errorOf(answer))
      this.#recognise(target, outgoing, sending, answer.sequence, windowMs).then(
        (result) => {
          if (typeof result !== "string") return settle(result)
          const { sequence } = answer
          // Each id leads to a later event, or somebody is answering what is not so.
          if (sequence <= known.sequence || known.count >= knownMax) return settle(tooOften())
          const next = { sequence, count: known.count + 1 }
          this.#send(target, { ...sending, messageId: result }, windowMs, settle, next)
        },
        (error: Error) => settle(error instanceof UnavailableError ? notStored() : error),
      )
    })
    const refusal = this.#tooLarge(target, outgoing)
    if (refusal !== undefined) {
      settle(refusal)
      return
    }
    this.#pendingBytes += outgoing.bytes
    target.pipeline.put(outgoing)
  }

  #tooLarge({ pipeline }: Target, outgoing: Outgoing): EventTooLargeError | undefined {
    const max = this.#options.payloadBytesMax()
    if (outgoing.largestBytes <= max) return undefined
    pipeline.drop(outgoing)
    return new EventTooLargeError(
      `an event takes ${outgoing.largestBytes} bytes, and the NATS server no more than ${max}: raise its max_payload`,
    )
  }

  /** What the server knows already; or the id to send it with once more, where what it knows no longer counts. */
  async #recognise(
    { partition }: Target,
    { numbers }: Outgoing,
    { messageId }: Sending,
    sequence: number,
    windowMs: number,
  ): Promise<Appended | string> {
    const first = await this.streams[partition]!.message({ seq: sequence })
    const cursor = formatCursor(partition, sequence)
    if (first !== undefined && this.isOwn(first, numbers[0]!)) return { cursor, duplicate: false }
    if (messageId === "" || (first !== undefined && this.isWithin(first, windowMs))) return { cursor, duplicate: true }
    return nextId(messageId, sequence)
  }

  /** Whether this writer stored it with this number. */
  isOwn(message: StreamMessage, number: number): boolean {
    return (
      message.header !== undefined && headerOf(asciiOf(message.header), "redcar-writer") === `${this.writer}.${number}`
    )
  }

  isWithin(message: StreamMessage, windowMs: number): boolean {
    return storedAtOf(message) >= this.clock.now() - windowMs
  }

  /** Sends several as one; for conditions. `held`: whoever asks holds the pipeline. */
  sendWhole(
    target: Target,
    sendings: readonly Sending[],
    lines: string,
    held: boolean,
    asBatch = sendings.length > 1,
  ): Promise<[Outgoing, Answer]> {
    return new Promise((resolve, reject) => {
      const done = (answer: Answer) => {
        this.#pendingBytes -= outgoing.bytes
        resolve([outgoing, answer])
      }
      const [only] = sendings
      const options = this.sending(target)
      const outgoing: Outgoing = asBatch
        ? batch(options, sendings, lines, () => nuid.next(), done)
        : single(options, { ...only!, lines }, done)
      const refusal = this.#tooLarge(target, outgoing)
      if (refusal !== undefined) return reject(refusal)
      this.#pendingBytes += outgoing.bytes
      if (held) target.pipeline.putNow(outgoing)
      else target.pipeline.put(outgoing)
    })
  }
}

/** About what events take while they wait. */
function bytesOf(events: readonly Event[]): number {
  return events.reduce((sum, { data }) => sum + eventBytes + (data?.length ?? 0), 0)
}

/** The id of an event whose first one, at `sequence`, no longer counts. Everybody comes to the same. */
export function nextId(messageId: string, sequence: number): string {
  return `${messageId.split("#", 1)[0]}#${sequence}`
}

/** Nothing of it is acknowledged; it may be tried again. */
export function notStored(): OverloadError {
  return new OverloadError(
    retryAfterMs,
    "NATS stores nothing at present: it has no leader or quorum, or does not answer",
  )
}

function tooOften(): OverloadError {
  return new OverloadError(
    retryAfterMs,
    "the event was stored and dropped too often of late to be told from a duplicate",
  )
}

/** Why something was not stored. */
export function errorOf(answer: Answer): Error {
  if (answer.kind !== "refused") return notStored()
  if (isFull(answer.code)) return new StorageFullError(`NATS has no room left: ${answer.why}`)
  return new StorageError(`NATS refused an event: ${answer.why}`)
}

/** One append: all of it is answered at once. */
class Call {
  readonly #results: Appended[]
  /** Which event each one repeats, of the same call. */
  readonly #earlier: readonly (number | undefined)[]
  #left: number
  readonly #resolve: (appended: readonly Appended[]) => void
  readonly #reject: (error: Error) => void

  constructor(
    earlier: readonly (number | undefined)[],
    resolve: (appended: readonly Appended[]) => void,
    reject: (error: Error) => void,
  ) {
    this.#results = new Array<Appended>(earlier.length)
    this.#earlier = earlier
    this.#left = earlier.filter((i) => i === undefined).length
    this.#resolve = resolve
    this.#reject = reject
  }

  settle(i: number, result: Appended | Error): void {
    if (result instanceof Error) {
      this.#reject(result)
      return
    }
    this.#results[i] = result
    if (--this.#left === 0) this.#resolve(this.#earlier.map((first, at) => this.#resultOf(at, first)))
  }

  #resultOf(i: number, first: number | undefined): Appended {
    return first === undefined ? this.#results[i]! : { cursor: this.#results[first]!.cursor, duplicate: true }
  }
}
