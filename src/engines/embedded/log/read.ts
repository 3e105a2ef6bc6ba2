import type { Batch, From, ReadOptions } from "../../../core/log.ts"
import { type Block, lowerBound } from "../../parts/index/block.ts"
import type { GonePlaces } from "../../parts/index/gone.ts"
import { hashKey } from "../../parts/index/hash.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import { cursorBefore, formatCursor, parseCursor } from "./cursor.ts"
import type { StoredRecord } from "./record.ts"
import type { LogState } from "./state.ts"

const batchMaxDefault = 1_000
/** A topic that owns less than one in this many of the bytes between two of its events is read event by event. */
const sparseBytes = 64 * 1024
const stepEvents = 100
/** A step ends with the event that reaches this: readers are many, and hold what they have read. */
const stepBytes = 256 * 1024

/** See EventLog.read. */
export async function* readLog(state: LogState, options: ReadOptions): AsyncIterable<Batch> {
  const { where = {}, follow, batchMax = batchMaxDefault } = options
  const until = options.until === undefined ? Number.POSITIVE_INFINITY : parseCursor(options.until)
  let position = await startOf(state, options.from ?? "oldest", where)
  const began = position
  const { tenant, topic } = where
  // Asked for anew each time: an index that is not in use may be unloaded.
  const index = () => (tenant === undefined || topic === undefined ? undefined : state.index.topic(tenant, topic))
  // Ends: at the log's end, or with `follow`; in between it waits for what is new.
  for (;;) {
    const end = Math.min(state.writer.durable, until + 1)
    while (position < end && !follow?.aborted) {
      const ofTopic = index()
      const step = await (ofTopic === undefined
        ? state.reader.stretch(position, state.writer.durable)
        : readTopic(state, ofTopic, where.key, position, end))
      position = step.next
      // Whoever follows need not hear of what held no events: hearing of it would lead to more of it.
      if (step.records.length === 0 && follow !== undefined && until === Number.POSITIVE_INFINITY) continue
      // Behind the last event there may be records of the hub's own: whoever reads on has not to know of them.
      const next = Math.max(began, Math.min(position, until + 1, state.reached.eventsEnd))
      yield* inBatches(step.records.filter(accepts(state, where, until)), next, batchMax)
    }
    if (follow === undefined || follow.aborted || position > until || state.waiters.closed) return
    if (position >= state.writer.durable) await more(state, index(), follow, position)
  }
}

function* inBatches(records: readonly StoredRecord[], end: number, batchMax: number): Iterable<Batch> {
  if (records.length <= batchMax) return yield { events: records, next: cursorBefore(end) }
  for (let i = 0; i < records.length; i += batchMax) {
    const events = records.slice(i, i + batchMax)
    const whole = i + batchMax >= records.length
    yield { events, next: whole ? cursorBefore(end) : formatCursor(events.at(-1)!.position) }
  }
}

function accepts(state: LogState, where: NonNullable<ReadOptions["where"]>, until: number) {
  const { key } = where
  const indexes = new Map<string, TopicIndex>()
  const indexOf = ({ tenant, topic }: { readonly tenant: string; readonly topic: string }) => {
    const name = `${tenant}/${topic}`
    const found = indexes.get(name) ?? state.index.topic(tenant, topic)
    indexes.set(name, found)
    return found
  }
  let last: StoredRecord["address"] | undefined
  let floor = 0
  let gone: GonePlaces | undefined
  return (record: StoredRecord): boolean => {
    const { address } = record
    if (address !== last) {
      last = address
      const index = indexOf(address)
      floor = index.trimmedTo
      gone = index.gone.any ? index.gone : undefined
    }
    if (record.position < floor || record.position > until) return false
    if (where.tenant !== undefined && address.tenant !== where.tenant) return false
    if (where.topic !== undefined && address.topic !== where.topic) return false
    if (gone?.has(record.position)) return false
    return key === undefined || address.key === key
  }
}

/** The first position to look at. */
async function startOf(state: LogState, from: From, where: NonNullable<ReadOptions["where"]>): Promise<number> {
  if (from === "oldest") return 0
  if (from === "newest") return state.writer.durable
  if (typeof from === "object") return atTime(state, from.time, where)
  const position = parseCursor(from)
  if (position % 8 !== 0) return Math.min(position + 1, state.writer.durable)
  return state.reader.after(position, state.writer.durable)
}

/** The position of the first event stored at or after `time`; the end of the log where there is none. */
export function atTime(state: LogState, time: number, where: NonNullable<ReadOptions["where"]>): number {
  const topics =
    where.tenant !== undefined && where.topic !== undefined
      ? [{ tenant: where.tenant, topic: where.topic }]
      : state.index.topics().filter(({ tenant }) => where.tenant === undefined || tenant === where.tenant)
  let first = state.writer.durable
  for (const { tenant, topic } of topics) {
    first = Math.min(first, firstSince(state.index.topic(tenant, topic), time) ?? first)
  }
  return first
}

function firstSince(index: TopicIndex, time: number): number | undefined {
  for (const head of index.heads()) {
    if (head.lastAt < time) continue
    for (const block of index.blocks(head.first)) {
      const at = lowerBound(block.times, block.count, time)
      return at < block.count ? block.positions[at] : undefined
    }
  }
  return undefined
}

interface Step {
  readonly records: readonly StoredRecord[]
  readonly next: number
}

/** The next of a topic's events, along its index: a stretch where they lie close, one by one where they do not. */
async function readTopic(
  state: LogState,
  index: TopicIndex,
  key: string | undefined,
  position: number,
  end: number,
): Promise<Step> {
  const wanted = key === undefined ? undefined : hashKey(key)
  for (const block of index.blocks(Math.max(position, index.trimmedTo))) {
    const at = nextEntry(block, Math.max(position, index.trimmedTo), wanted)
    if (at === undefined) continue
    const first = block.positions[at]!
    if (first >= end) break
    const far = nextEntry(block, first + 1, wanted, 8)
    if (far !== undefined && block.positions[far]! - first < sparseBytes) {
      return state.reader.stretch(first, state.writer.durable)
    }
    return readOneByOne(state, index, { block, from: at, key: wanted, end })
  }
  return { records: [], next: end }
}

interface Sparse {
  readonly block: Block
  readonly from: number
  readonly key: number | undefined
  readonly end: number
}

async function readOneByOne(state: LogState, index: TopicIndex, { block, from, key, end }: Sparse): Promise<Step> {
  const records: StoredRecord[] = []
  let next = block.positions[from]!
  let bytes = 0
  for (
    let at: number | undefined = from;
    at !== undefined && records.length < stepEvents && bytes < stepBytes;
    at = nextEntry(block, next, key)
  ) {
    const position = block.positions[at]!
    if (position >= end) break
    const record = await state.reader.record(position, state.writer.durable)
    if (record !== undefined) records.push(record)
    else if (!index.isDropped(position)) state.reader.missed(position, block.sizes[at]!)
    bytes += block.sizes[at]!
    next = position + block.sizes[at]!
  }
  return { records, next }
}

/** The `nth` entry (from 1) at or after `position` that has the key. */
function nextEntry(block: Block, position: number, key: number | undefined, nth = 1): number | undefined {
  let left = nth
  for (let i = block.lowerBound(position); i < block.count; i++) {
    if ((key === undefined || block.keys[i] === key) && --left === 0) return i
  }
  return undefined
}

function more(state: LogState, index: TopicIndex | undefined, follow: AbortSignal, position: number): Promise<void> {
  return new Promise((resolve) => {
    if (follow.aborted || state.waiters.closed || position < state.writer.durable) return resolve()
    const done = () => {
      forget()
      forgetEnd()
      follow.removeEventListener("abort", done)
      resolve()
    }
    const forgetEnd = state.waiters.onClose(done)
    const forget = index === undefined ? state.waiters.add(done) : index.waiters.add(done)
    follow.addEventListener("abort", done, { once: true })
  })
}
