import type { NatsConnection } from "@nats-io/nats-core"
import { type Address, isReservedTopic } from "../../../core/address.ts"
import { type Clock, sleep } from "../../../core/clock.ts"
import { InvalidCursorError, StorageError, UnavailableError } from "../../../core/errors.ts"
import type { Batch, From, ReadOptions, StoredEvent } from "../../../core/log.ts"
import { type Names, partitionOf } from "../names.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { glance } from "./direct.ts"
import type { Link } from "./link.ts"
import { DamagedMessage } from "./message.ts"
import { Puller } from "./puller.ts"
import type { RecentEvents } from "./recent-events.ts"
import { type Delivered, type Messages, storedAtOf } from "./stored-message.ts"
import type { LogStream } from "./stream.ts"

/** What reading takes. */
export interface ReadState {
  readonly nats: NatsConnection
  readonly link: Link
  readonly clock: Clock
  readonly names: Names
  readonly replicas: number
  readonly streams: readonly LogStream[]
  readonly messages: Messages
  readonly partitions: number
  readonly recent: RecentEvents
  /** Where an address's events are that its subject does not tell apart: those of one key of the hub's own topics. */
  keyed(address: Address, after: number): AsyncIterable<number>
  onDamage(partition: number, sequence: number, reason: string): void
}

const batchMaxDefault = 1_000
const [pullMin, pullMax] = [64, 2_000]
/** Reading what is there fails when nothing has come for so long. */
const stalledMsMax = 10_000
const recheckMs = 20
const pagesMax = 2
const idleMs = 10_000

/** See EventLog.read. */
export async function* readLog(state: ReadState, options: ReadOptions): AsyncIterable<Batch> {
  const { where = {}, follow, batchMax = batchMaxDefault } = options
  const partition = partitionFor(state, options)
  const until = options.until === undefined ? undefined : sequenceIn(state, partition, options.until)
  const from = options.from ?? "oldest"
  const given = typeof from === "string" && from !== "oldest" && from !== "newest"
  const start = given ? sequenceIn(state, partition, from) : undefined
  if (follow?.aborted) return
  const { last_seq } = await state.streams[partition]!.state()
  const after = Math.min(start ?? (await startOf(state, partition, from, last_seq)), last_seq)
  const end = follow === undefined ? Math.min(last_seq, until ?? last_seq) : until
  const reading: Reading = { state, partition, where, after, end, follow, batchMax }
  const { topic, key } = where
  if (topic !== undefined && key !== undefined && isReservedTopic(topic)) yield* readKeyed(reading)
  else yield* readSubjects(reading)
}

interface Reading {
  readonly state: ReadState
  readonly partition: number
  readonly where: Partial<Address>
  readonly after: number
  /** The last sequence of interest; undefined: there is no last one. */
  readonly end: number | undefined
  readonly follow: AbortSignal | undefined
  readonly batchMax: number
}

function partitionFor({ partitions }: ReadState, { where, partition }: ReadOptions): number {
  if (where?.tenant === undefined || where.topic === undefined) return partition ?? 0
  return partition ?? partitionOf({ tenant: where.tenant, topic: where.topic }, partitions)
}

function sequenceIn({ partitions }: ReadState, partition: number, cursor: string): number {
  const place = parseCursor(cursor, partitions)
  if (place.partition === partition) return place.sequence
  throw new InvalidCursorError(cursor)
}

async function startOf(state: ReadState, partition: number, from: From, head: number): Promise<number> {
  if (from === "oldest") return 0
  if (from === "newest" || typeof from !== "object") return head
  return beforeTime(state.streams[partition]!, from.time)
}

/** The sequence before the first event stored at or after `time`; the last one where there is none. */
export async function beforeTime(stream: LogStream, time: number): Promise<number> {
  const { first_seq, last_seq } = await stream.state()
  // 0 where nothing was ever stored.
  let low = Math.max(1, first_seq)
  let high = last_seq + 1
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const message = await stream.message({ seq: middle, next_by_subj: ">" })
    if (message === undefined || message.sequence >= high || storedAtOf(message) >= time) high = middle
    else low = message.sequence + 1
  }
  return low - 1
}

async function* readSubjects(reading: Reading): AsyncIterable<Batch> {
  const { state, where, after, end, follow } = reading
  if (end !== undefined && end <= after) return
  const subjects = where.tenant === undefined ? [] : state.names.subjectsOf(where)
  if (follow !== undefined) return yield* readOn(reading, subjects, after)
  const next = yield* readPages(reading, subjects, end!)
  if (next < end!) yield* readOn(reading, subjects, next)
}

/** The first pages are read without a consumer: to make one costs more than they do. Answers how far it came. */
async function* readPages(reading: Reading, subjects: readonly string[], end: number): AsyncGenerator<Batch, number> {
  const { state, partition, batchMax } = reading
  const max = Math.min(batchMax, batchMaxDefault)
  let next = reading.after
  for (let pages = 0; pages < pagesMax && next < end; pages++) {
    const page = await readPage(reading, subjects, next, max)
    const messages = page.messages.filter(({ sequence }) => sequence <= end)
    // What a copy has not got yet, another one may have: the rest is left to a consumer.
    const over = page.complete && (await state.streams[partition]!.hasNone(subjects, page.reached, end))
    const reached = over ? end : Math.min(page.reached, end)
    if (reached > next) yield { events: decode(reading, messages), next: formatCursor(partition, reached) }
    next = reached
    if (page.complete) break
  }
  return next
}

interface Page {
  readonly messages: readonly Delivered[]
  /** All that matches up to here is there. */
  readonly reached: number
  readonly complete: boolean
}

/** Up to `max` messages of several subjects, in order. */
async function readPage(
  { state, partition }: Reading,
  subjects: readonly string[],
  after: number,
  max: number,
): Promise<Page> {
  const { nats, clock } = state
  const stream = state.streams[partition]!.name
  const glances = await Promise.all(
    (subjects.length === 0 ? [">"] : subjects).map((subject) => glance({ nats, clock, stream, subject, after, max })),
  )
  const bound = glances.reduce(
    (least, { messages, complete }) => (complete ? least : Math.min(least, messages.at(-1)?.sequence ?? after)),
    Number.POSITIVE_INFINITY,
  )
  const messages = glances
    .flatMap((one) => one.messages)
    .filter(({ sequence }) => sequence <= bound)
    .sort((a, b) => a.sequence - b.sequence)
  const page = messages.slice(0, max)
  const complete = bound === Number.POSITIVE_INFINITY && page.length === messages.length
  return { messages: page, reached: page.at(-1)?.sequence ?? after, complete }
}

/** With a consumer, from after a sequence to the end, or without end. */
async function* readOn(reading: Reading, subjects: readonly string[], after: number): AsyncIterable<Batch> {
  const { state, partition, end, follow, batchMax } = reading
  const puller = new Puller({
    nats: state.nats,
    link: state.link,
    clock: state.clock,
    stream: state.streams[partition]!,
    replicas: state.replicas,
    subjects,
    after,
    pullMax: Math.min(Math.max(batchMax, pullMin), pullMax),
  })
  const cancelIdle = follow === undefined ? undefined : moveOnWhenIdle(state, puller, partition)
  try {
    let next = after
    let progressAt = state.clock.steady()
    while (!follow?.aborted) {
      const taken = puller.take(batchMax)
      const came = taken.at(-1)?.sequence ?? puller.position
      if (came > next) {
        progressAt = state.clock.steady()
        next = end === undefined ? came : Math.min(came, end)
        const events = decode(reading, taken)
        // Who follows all of a partition has what it reads delivered.
        if (follow !== undefined && subjects.length === 0) state.recent.add(events)
        yield { events, next: formatCursor(partition, next) }
        if (next === end) return
      } else if (follow !== undefined) await puller.more(follow)
      else await moreUpTo(state, puller, end!, progressAt)
    }
  } finally {
    cancelIdle?.()
    puller.close()
  }
}

/** Waits for more, or finds that there is none. */
async function moreUpTo({ clock }: ReadState, puller: Puller, end: number, progressAt: number): Promise<void> {
  if (puller.caughtUp && (await puller.reached(end))) return
  if (clock.steady() - progressAt > stalledMsMax) {
    throw new UnavailableError("NATS does not answer: the log cannot be read at present")
  }
  await puller.more(undefined, puller.caughtUp ? recheckMs : stalledMsMax / 10)
}

/** Moves a reader on past what does not match, now and then. */
function moveOnWhenIdle(state: ReadState, puller: Puller, partition: number): () => void {
  let cancel: (() => void) | undefined
  let over = false
  const tick = async () => {
    const before = puller.position
    try {
      const { last_seq } = await state.streams[partition]!.state()
      if (puller.position === before && last_seq > before) await puller.reached(last_seq, true)
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
    }
    again()
  }
  const again = () => {
    if (!over) cancel = state.clock.after(idleMs, () => void tick())
  }
  again()
  return () => {
    over = true
    cancel?.()
  }
}

function decode({ state, partition, end }: Reading, messages: readonly Delivered[]): readonly StoredEvent[] {
  const events: StoredEvent[] = []
  for (const message of messages) {
    if (end !== undefined && message.sequence > end) break
    const event = state.messages.read(partition, message)
    if (event instanceof DamagedMessage) state.onDamage(partition, message.sequence, event.reason)
    else events.push(event)
  }
  return events
}

async function* readKeyed(reading: Reading): AsyncIterable<Batch> {
  const { state, partition, where, end, follow, batchMax } = reading
  const address = where as Address
  const stream = state.streams[partition]!
  let after = reading.after
  // Ends: at the stream's end, or with `follow`; in between it sleeps.
  for (;;) {
    const { last_seq } = await stream.state()
    const to = Math.min(last_seq, end ?? last_seq)
    let batch: Delivered[] = []
    for await (const sequence of state.keyed(address, after)) {
      if (sequence > to) break
      const message = await stream.message({ seq: sequence })
      if (message !== undefined) batch.push(message)
      if (batch.length < batchMax) continue
      yield { events: keyOf(decode(reading, batch), address), next: formatCursor(partition, sequence) }
      batch = []
    }
    if (to > after || batch.length > 0) {
      after = Math.max(to, after)
      yield { events: keyOf(decode(reading, batch), address), next: formatCursor(partition, after) }
    }
    if (follow === undefined || follow.aborted || (end !== undefined && after >= end)) return
    await sleep(state.clock, idleMs / 10, follow)
  }
}

/** The index knows keys by a hash. */
function keyOf(events: readonly StoredEvent[], { key }: Address): readonly StoredEvent[] {
  return events.filter(({ address }) => address.key === key)
}
