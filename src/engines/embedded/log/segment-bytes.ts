import type { TopicIndex } from "../../parts/index/topic-index.ts"
import type { Segment, Segments } from "./segments.ts"

/** Adds to each segment, by name, the bytes of the topic's records in it, of those from `from` on and before `to`. */
export function countBytes(
  into: Map<string, number>,
  index: TopicIndex,
  segments: Pick<Segments, "at">,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  for (const head of index.heads()) {
    if (head.last < from) continue
    if (head.first >= to) return
    const segment = segments.at(head.first)
    const isWithin = head.first >= from && head.last < to
    if (isWithin && segment !== undefined && segment === segments.at(head.last)) addBytes(into, segment, head.bytes)
    else {
      const block = index.block(head.first)
      for (let i = block.lowerBound(from); i < block.count && block.positions[i]! < to; i++) {
        addBytes(into, segments.at(block.positions[i]!), block.sizes[i]!)
      }
    }
  }
}

/** Adds bytes to those of a segment, by its name. */
export function addBytes(into: Map<string, number>, segment: Segment | undefined, bytes: number): void {
  if (segment !== undefined) into.set(segment.name, (into.get(segment.name) ?? 0) + bytes)
}
