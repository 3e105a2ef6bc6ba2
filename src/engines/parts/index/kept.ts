import type { TopicStats } from "../../../core/log.ts"
import type { Retention } from "../../../core/resources.ts"
import type { BlockHead, TopicIndex } from "./topic-index.ts"

/** What a topic holds from a position on, by its index. */
export function statsOf(index: TopicIndex, position = 0): TopicStats {
  const from = Math.max(position, index.trimmedTo)
  let events = 0
  let bytes = 0
  let oldestAt: number | undefined
  let newestAt: number | undefined
  for (const head of index.heads(from)) {
    if (head.last < from) continue
    const kept = head.first >= from ? head : keptOf(index, head.first, from)
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

function keptOf(index: TopicIndex, first: number, position: number) {
  const block = index.block(first)
  const from = block.lowerBound(position)
  let bytes = 0
  for (let i = from; i < block.count; i++) bytes += block.sizes[i]!
  return { count: block.count - from, bytes, firstAt: block.times[from]!, lastAt: block.times[block.count - 1]! }
}

/** The place behind the last event that is not kept, and how many go. Only what is durable goes. */
export function trimPoint(
  index: TopicIndex,
  keep: Retention,
  now: number,
  durable: number,
): { readonly position: number; readonly events: number } {
  const { events, bytes } = statsOf(index)
  const oldest = keep.ageMaxMs === undefined ? Number.NEGATIVE_INFINITY : now - keep.ageMaxMs
  const { eventsMax = events, bytesMax = bytes } = keep
  const left = { events, bytes }
  let position = index.trimmedTo
  const isOver = (at: number) => at < oldest || left.events > eventsMax || left.bytes > bytesMax
  // Of a whole block its last event is the last one that may stay.
  const isWholeOver = ({ first, last, lastAt, count, bytes }: BlockHead) =>
    first >= index.trimmedTo &&
    last < durable &&
    (lastAt < oldest || left.events - count >= eventsMax || left.bytes - bytes >= bytesMax)
  for (const head of index.heads()) {
    if (head.last < index.trimmedTo) continue
    if (isWholeOver(head)) {
      left.events -= head.count
      left.bytes -= head.bytes
      position = head.last + 1
      continue
    }
    const block = index.block(head.first)
    for (let i = block.lowerBound(index.trimmedTo); i < block.count; i++) {
      const at = block.positions[i]!
      if (at >= durable || !isOver(block.times[i]!)) return { position, events: events - left.events }
      left.events--
      left.bytes -= block.sizes[i]!
      position = at + 1
    }
  }
  return { position, events: events - left.events }
}
