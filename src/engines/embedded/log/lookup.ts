import type { Address } from "../../../core/address.ts"
import { sleep } from "../../../core/clock.ts"
import { DamagedError, OverloadError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { StoredEvent } from "../../../core/log.ts"
import { hashOfKey } from "../../parts/index/block-filters.ts"
import { type Hash, hashInto, hashKey } from "../../parts/index/hash.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import { formatCursor } from "./cursor.ts"
import type { Reader } from "./reader.ts"
import type { StoredRecord } from "./record.ts"
import type { LogState } from "./state.ts"

const triesMax = 10
/** Blocks that are looked through in one turn: about a millisecond. */
const blocksAtOnce = 16
/** As many topics' indexes. */
const topicsAtOnce = 500

/** Where an equal event is, stored at or after `since`; undefined where there is none. Events not yet durable count. */
export async function isDuplicate(
  state: LogState,
  index: TopicIndex,
  hash: Hash,
  event: Event,
  since: number,
): Promise<number | undefined> {
  const { positions, suspects } = state.ids.find(hash.low, hash.high)
  const equal = async (position: number): Promise<boolean> => {
    const record = await recordAt(state, position)
    return (
      record !== undefined && record.storedAt >= since && isEqual(record, index, event) && !index.isDropped(position)
    )
  }
  for (const position of positions) if (await equal(position)) return position
  const pace = createPace(state)
  for (const { from, to } of suspects) {
    for (const block of index.holding(hash, from, to)) {
      for (let i = block.lowerBound(from); i < block.count && block.positions[i]! <= to; i++) {
        if (block.lows[i] !== hash.low || block.highs[i] !== hash.high) continue
        if (await equal(block.positions[i]!)) return block.positions[i]
      }
      await pace()
    }
  }
  return undefined
}

/** Lets others have their turn now and then: to be called after each block. */
function createPace({ clock }: LogState): () => Promise<void> | undefined {
  let blocks = 0
  return () => (++blocks % blocksAtOnce === 0 ? sleep(clock, 0) : undefined)
}

function isEqual(record: StoredRecord, index: TopicIndex, event: Event): boolean {
  const { address } = record
  if (address.tenant !== index.tenant || address.topic !== index.topic) return false
  return record.event.id === event.id && record.event.source === event.source
}

/** Undefined also where the record is damaged: then nothing can be said of it, and it is no event. */
async function recordAt(state: LogState, position: number): Promise<StoredRecord | undefined> {
  try {
    return await state.reader.record(position, state.writer.durable)
  } catch (error) {
    if (error instanceof DamagedError) return undefined
    throw error
  }
}

/** Undefined where retention has dropped what the topic had at a position. Throws DamagedError where it should be there. */
export async function dropped(
  { index, reader, writer }: LogState,
  position: number,
  { tenant, topic }: Pick<Address, "tenant" | "topic">,
): Promise<undefined> {
  if (index.topic(tenant, topic).isDropped(position)) return undefined
  if (position < writer.durable) await reader.record(position, writer.durable, true)
  throw new DamagedError(
    `the log at ${formatCursor(position)}, where an event of ${tenant}/${topic} was and is no more`,
  )
}

/** An event that the index knows cannot be read: from now on that is known. */
function damagedAt(reader: Reader, position: number, bytes: number): DamagedError {
  const place = reader.missed(position, bytes)
  return new DamagedError(place ?? `the log at ${formatCursor(position)}`)
}

/** Nothing can be read at a position. Throws DamagedError, and tells of it, where the index knows of an event there. */
export async function unreadable({ index, reader, clock }: LogState, position: number): Promise<undefined> {
  let topics = 0
  for (const { tenant, topic } of index.topics()) {
    const ofTopic = index.topic(tenant, topic)
    const bytes = position < ofTopic.trimmedTo ? undefined : ofTopic.sizeAt(position)
    if (bytes !== undefined) throw damagedAt(reader, position, bytes)
    if (++topics % topicsAtOnce === 0) await sleep(clock, 0)
  }
  return undefined
}

/** The newest event of the topic (of any key) with this source and id. */
export async function find(
  state: LogState,
  address: Address,
  identity: { readonly source: string; readonly id: string },
): Promise<StoredEvent | undefined> {
  const index = state.index.topic(address.tenant, address.topic)
  const hash: Hash = { low: 0, high: 0 }
  hashInto(hash, address.tenant, address.topic, identity.source, identity.id)
  const pace = createPace(state)
  for (const block of index.holding(hash)) {
    for (let i = block.count - 1; i >= 0; i--) {
      if (block.lows[i] !== hash.low || block.highs[i] !== hash.high) continue
      const position = block.positions[i]!
      if (index.isDropped(position) || position >= state.writer.durable) continue
      const record = await recordAt(state, position)
      if (record === undefined && !index.isDropped(position)) throw damagedAt(state.reader, position, block.sizes[i]!)
      if (record?.event.id === identity.id && record.event.source === identity.source) return record
    }
    await pace()
  }
  return undefined
}

/** The position of the address's newest event, not yet durable ones included. */
export async function lastOf(state: LogState, address: Address): Promise<number | undefined> {
  const index = state.index.topic(address.tenant, address.topic)
  if (address.key === undefined) {
    const { last } = index
    return last === undefined || last < index.trimmedTo ? undefined : last
  }
  const wanted = hashKey(address.key)
  const pace = createPace(state)
  for (const block of index.holding(hashOfKey(wanted))) {
    for (let i = block.count - 1; i >= 0; i--) {
      if (block.keys[i] !== wanted) continue
      const position = block.positions[i]!
      if (position < index.trimmedTo) return undefined
      if (index.gone.has(position)) continue
      const record = await recordAt(state, position)
      if (record?.address.key === address.key) return position
    }
    await pace()
  }
  return undefined
}

/** As {@link lastOf}, and durable. Throws OverloadError where writes fail again and again. */
export async function lastKept(state: LogState, address: Address): Promise<number | undefined> {
  for (let tries = 0; tries < triesMax; tries++) {
    const position = await lastOf(state, address)
    if (position === undefined || (await state.writer.isKept(position))) return position
    await sleep(state.clock, tries)
  }
  throw new OverloadError(1_000, "what is last on the topic cannot be told while writing to the disk fails")
}
