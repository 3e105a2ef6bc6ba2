import { type Damage, Reader } from "./reader.ts"
import type { StoredRecord } from "./record.ts"
import type { Segment, Segments } from "./segments.ts"
import { commitBytesMax } from "./writer.ts"

export interface Recovered {
  /** Where the next record goes. */
  readonly tail: number
  readonly damages: readonly Damage[]
  /** What the last write left unfinished, and was never acknowledged: bytes cut off at the tail. */
  readonly cutBytes: number
}

/**
 * Reads the log from `watermark` (a record's end that was durable) to where it stops checking, and makes it ready for
 * writing there. What does not check at the very end, or within the last commit, was never acknowledged: it is cut off and
 * zeroed, so that it cannot come back. What does not check before that is damage, and stays where it is.
 */
export async function recover(
  segments: Segments,
  watermark: number,
  onRecord: (record: StoredRecord, bytes: number) => void,
): Promise<Recovered> {
  const damages: Damage[] = []
  const reader = new Reader(segments, undefined, () => {})
  const last = segments.list.at(-1)
  for (const segment of segments.list) {
    const end = segment.base + segment.bytes
    let position = Math.max(watermark, segment.base)
    while (position < end) {
      const { records, next } = await reader.checked(segment, position, end)
      emit(records, Math.min(next, end), onRecord)
      if (next > position) {
        position = next
        continue
      }
      const found = await reader.findRecord(segment, position + 8, end)
      if (segment === last && (found === undefined || found.commitStart <= position)) {
        return { tail: position, damages, cutBytes: await cut(segments, segment, position) }
      }
      const to = found?.position ?? end
      damages.push({ segment: segment.name, position, from: position - segment.base, to: to - segment.base })
      position = to
    }
  }
  const tail = Math.max(segments.end, watermark)
  if (watermark > segments.end) damages.push(missing(segments, watermark))
  segments.skipTo(Math.ceil(tail / 8) * 8)
  return { tail: segments.end, damages, cutBytes: 0 }
}

function emit(
  records: readonly StoredRecord[],
  end: number,
  onRecord: (record: StoredRecord, bytes: number) => void,
): void {
  records.forEach((record, i) => {
    onRecord(record, (records[i + 1]?.position ?? end) - record.position)
  })
}

function missing(segments: Segments, watermark: number): Damage {
  const last: Segment | undefined = segments.list.at(-1)
  const name = last === undefined ? "every segment" : last.name
  return { segment: name, position: segments.end, from: last?.bytes ?? 0, to: watermark - (last?.base ?? 0) }
}

async function cut(segments: Segments, segment: Segment, position: number): Promise<number> {
  const at = position - segment.base
  const file = await segments.file(segment)
  const rest = Buffer.alloc(Math.min(2 * commitBytesMax, segment.bytes - at))
  await file.read(rest, at)
  let used = rest.length
  while (used > 0 && rest[used - 1] === 0) used--
  if (used > 0) await file.write(rest.fill(0), at)
  return used
}
