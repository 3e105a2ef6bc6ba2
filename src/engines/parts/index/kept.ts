import type { Cursor } from "../../../core/cursor.ts"
import type { Needed, TopicStats, Trimmable } from "../../../core/log.ts"
import type { RetentionLimits } from "../../../core/resources.ts"
import type { BlockHead } from "./stored-blocks.ts"
import type { TopicIndex } from "./topic-index.ts"

/** What a topic holds from a position on, and before another one, by its index. */
export function statsOf(index: TopicIndex, position = 0, end = Number.POSITIVE_INFINITY): TopicStats {
  const from = Math.max(position, index.trimmedTo)
  let events = 0
  let bytes = 0
  let oldestAt: number | undefined
  let newestAt: number | undefined
  for (const head of index.heads(from)) {
    if (head.last < from) continue
    if (head.first >= end) break
    const kept = head.first >= from && head.last < end ? head : keptOf(index, head.first, from, end)
    if (kept === undefined) continue
    events += kept.count
    bytes += kept.bytes
    oldestAt ??= kept.firstAt
    newestAt = kept.lastAt
  }
  return {
    events,
    bytes,
    ...(oldestAt !== undefined && { oldestAt }),
    ...(newestAt !== undefined && { newestAt }),
  }
}

function keptOf(index: TopicIndex, first: number, position: number, end: number) {
  const block = index.block(first)
  const [from, to] = [block.lowerBound(position), block.lowerBound(end)]
  if (from >= to) return undefined
  let bytes = 0
  for (let i = from; i < to; i++) bytes += block.sizes[i]!
  return { count: to - from, bytes, firstAt: block.times[from]!, lastAt: block.times[to - 1]! }
}

/** The oldest events of a topic, those that are not kept. */
export interface Over {
  /** The place behind the last one. */
  readonly position: number
  readonly events: number
  readonly bytes: number
  /** When the last one was stored. */
  readonly newestAt?: number
}

/** What of a topic is not kept. Only what is before `end` goes. */
export function trimPoint(index: TopicIndex, keep: RetentionLimits, now: number, end: number): Over {
  const { events, bytes } = statsOf(index)
  const oldest = keep.ageMaxMs === undefined ? Number.NEGATIVE_INFINITY : now - keep.ageMaxMs
  const { eventsMax = events, bytesMax = bytes } = keep
  const left = { events, bytes }
  let position = index.trimmedTo
  let newestAt: number | undefined
  const isOver = (at: number) => at < oldest || left.events > eventsMax || left.bytes > bytesMax
  // Of a whole block its last event is the last one that may stay.
  const isWholeOver = ({ first, last, lastAt, count, bytes }: BlockHead) =>
    first >= index.trimmedTo &&
    last < end &&
    (lastAt < oldest || left.events - count >= eventsMax || left.bytes - bytes >= bytesMax)
  const over = () => ({
    position,
    events: events - left.events,
    bytes: bytes - left.bytes,
    ...(newestAt !== undefined && { newestAt }),
  })
  for (const head of index.heads()) {
    if (head.last < index.trimmedTo) continue
    if (isWholeOver(head)) {
      left.events -= head.count
      left.bytes -= head.bytes
      position = head.last + 1
      newestAt = head.lastAt
      continue
    }
    const block = index.block(head.first)
    for (let i = block.lowerBound(index.trimmedTo); i < block.count; i++) {
      const at = block.positions[i]!
      if (at >= end || !isOver(block.times[i]!)) return over()
      left.events--
      left.bytes -= block.sizes[i]!
      position = at + 1
      newestAt = block.times[i]!
    }
  }
  return over()
}

/** The same as the log tells it. */
export function trimmableOf(
  index: TopicIndex,
  { position, events, bytes, newestAt }: Over,
  cursorOf: (position: number) => Cursor,
): Trimmable {
  const { oldestAt } = statsOf(index)
  if (events === 0 || newestAt === undefined || oldestAt === undefined) return { events: 0, bytes: 0 }
  return { events, bytes, oldestAt, newestAt, last: cursorOf(position - 1) }
}

/** The place of the first event that is needed still; `positionOf`: the place that a cursor says. */
export function neededFrom({ from, after }: Needed, positionOf: (cursor: Cursor) => number): number {
  const ends = [
    ...(from === undefined ? [] : [positionOf(from)]),
    ...(after === undefined ? [] : [positionOf(after) + 1]),
  ]
  return Math.min(Number.POSITIVE_INFINITY, ...ends)
}
