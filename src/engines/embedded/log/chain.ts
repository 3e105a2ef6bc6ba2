import { StartRefusedError } from "../../../core/errors.ts"
import type { Disk } from "../disk.ts"
import { firstPosition, formatCursor, leftOutPlaces, parseCursor, usedPlaces } from "./cursor.ts"
import { type FoundHead, type LogIdentity, readHead, type SealedSegment } from "./head.ts"

/** A file that holds the log from `base` to `base + bytes`. */
export interface Segment {
  readonly base: number
  readonly bytes: number
  readonly name: string
  /** The one before it, as its head tells; absent of the log's first, and where the head cannot be read. */
  readonly previous?: SealedSegment
  /** Nothing more is written to it: its file is shorter than it was made. */
  readonly isCut?: boolean
  /** Its file takes less of the disk than it is long: what is written there may find no room. */
  readonly isSparse?: boolean
}

/** A stretch of places without what was there. */
export interface Missing {
  readonly from: number
  readonly to: number
  /** The files that should hold it, or do not hold all of it. */
  readonly name: string
  /** Only the segment before it tells of it: it was never begun if the hub died, or its disk was full, just then. */
  readonly isUnsure?: true
}

/** The files of a log, as their heads tell of each other. */
export interface Chain {
  /** Undefined where there is no log yet. */
  readonly identity: LogIdentity | undefined
  /** In order. */
  readonly segments: readonly Segment[]
  /** Of files that are shorter than they were. */
  readonly shortened: readonly Missing[]
  /** Files that are not what their names say, or not the log's: left alone. One line each, for people. */
  readonly notes: readonly string[]
  readonly hasSpare: boolean
  /** Beyond the places whose files' names are taken by what does not belong there. */
  readonly floor: number
}

/** Nothing of the directory's files can be read as a log. */
export class LogRefusedError extends StartRefusedError {
  override readonly name = "LogRefusedError"
}

export const suffix = ".segment"
export const spareName = "spare"
const identityName = "identity"
const ownPartial = /^(spare|identity|[0-9a-z]{11}\.segment)\.partial$/
const ownName = /^[0-9a-z]{11}\.segment$/
/** No log comes this far: a file that is named so is none of it. */
const placesMax = 2 ** 52

interface SegmentFile {
  readonly name: string
  readonly bytes: number
  readonly bytesTaken: number
  readonly named: number
  readonly found: FoundHead
}

/** Reads which files there are and whose they are. `known` is what the state remembers of the log's identity. */
export async function readChain(disk: Disk, segmentBytes: number, known: LogIdentity | undefined): Promise<Chain> {
  const files = await disk.list()
  for (const { name } of files) if (ownPartial.test(name)) await disk.remove(name)
  const own = files.filter(({ name }) => isSegment(name)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const segmentFiles: SegmentFile[] = []
  for (const { name, bytes, bytesTaken } of own) {
    const named = parseCursor(name.slice(0, -suffix.length))
    segmentFiles.push({ name, bytes, bytesTaken, named, found: await readHead(disk, name) })
  }
  refuseOlder(segmentFiles)
  const stored = files.some(({ name }) => name === identityName) ? await readIdentity(disk) : undefined
  const identity = chooseIdentity(segmentFiles, [stored, known])
  if (identity === undefined && segmentFiles.some(({ found }) => found.kind !== "empty")) {
    throw new LogRefusedError("the log cannot be read: no file of it says which log it is", [
      "Bring back the file log/identity, or any segment, from a copy of the data directory",
    ])
  }
  const notes = files
    .filter(({ name }) => !isOwn(name))
    .map(({ name }) => `log/${name} is no file of the hub's; it is left alone`)
  const spare = files.find(({ name }) => name === spareName)
  const hasSpare = spare !== undefined && spare.bytes === segmentBytes && spare.bytesTaken >= segmentBytes
  if (spare !== undefined && !hasSpare) await disk.remove(spareName)
  if (identity !== undefined && !isSame(stored, identity)) await writeIdentity(disk, identity)
  return { identity, hasSpare, ...arrange(segmentFiles, identity, notes, segmentBytes) }
}

/** Remembers a log's identity beside its segments. */
export async function writeIdentity(disk: Disk, identity: LogIdentity): Promise<void> {
  const data = Buffer.from(`${JSON.stringify(identity)}\n`)
  async function* whole() {
    yield { at: 0, data }
  }
  await disk.createSparse(`${identityName}.partial`, data.length, whole())
  await disk.rename(`${identityName}.partial`, identityName)
}

async function readIdentity(disk: Disk): Promise<LogIdentity | undefined> {
  const file = await disk.open(identityName)
  try {
    const block = Buffer.alloc(Math.min(file.bytes, 1_024))
    const { id, salt } = JSON.parse(block.subarray(0, await file.read(block, 0)).toString("utf8"))
    return typeof id === "string" && typeof salt === "number" ? { id, salt } : undefined
  } catch {
    return undefined
  } finally {
    await file.close()
  }
}

function isOwn(name: string): boolean {
  return name === spareName || name === identityName || isSegment(name) || ownPartial.test(name)
}

function isSegment(name: string): boolean {
  return ownName.test(name) && Number.parseInt(name.slice(0, -suffix.length), 36) < placesMax
}

function isSame(a: LogIdentity | undefined, b: LogIdentity): boolean {
  return a?.id === b.id && a.salt === b.salt
}

function refuseOlder(files: readonly SegmentFile[]): void {
  const older = files.find(({ found }) => found.kind === "older format")
  if (older === undefined) return
  throw new LogRefusedError(`log/${older.name} was written by Redcar 0.1`, [
    "Start Redcar 0.1 on this data directory, and one of this version on another, and publish again what `redcar tail` of the old one tells",
  ])
}

/** What most say: one file's word does not outweigh the others'. */
function chooseIdentity(files: readonly SegmentFile[], others: readonly (LogIdentity | undefined)[]) {
  const votes = new Map<string, { readonly identity: LogIdentity; count: number }>()
  const told = files.map(({ found }) =>
    found.kind === "head" ? { id: found.head.id, salt: found.head.salt } : undefined,
  )
  for (const identity of [...others, ...told]) {
    if (identity === undefined) continue
    const key = JSON.stringify([identity.id, identity.salt])
    const vote = votes.get(key) ?? { identity, count: 0 }
    vote.count++
    votes.set(key, vote)
  }
  return [...votes.values()].sort((a, b) => b.count - a.count)[0]?.identity
}

function arrange(
  files: readonly SegmentFile[],
  identity: LogIdentity | undefined,
  foreign: readonly string[],
  segmentBytes: number,
) {
  const notes = [...foreign]
  let floor = 0
  const byBase = new Map<number, { readonly segment: Segment; readonly named: number; readonly bytes: number }>()
  for (const file of files) {
    const { name, found, named, bytes } = file
    const segment = segmentOf(file, segmentBytes)
    const isOther = found.kind === "head" && !isSame(found.head, identity!)
    // A new segment would be written over it.
    if (isOther || segment.base !== named) floor = Math.max(floor, named + 8)
    if (isOther) {
      notes.push(`log/${name} is of another log; it is left alone`)
      continue
    }
    if (segment.base !== named)
      notes.push(`log/${name} holds what belongs to log/${formatCursor(segment.base)}${suffix}`)
    const other = byBase.get(segment.base)
    if (other !== undefined && other.named === segment.base) continue
    byBase.set(segment.base, { segment, named, bytes })
    if (bytes > segment.bytes) notes.push(`log/${name} is longer than it was made; what follows its end is passed over`)
  }
  const sorted = [...byBase.values()].map(({ segment }) => segment).sort((a, b) => a.base - b.base)
  const segments = sorted.map((segment, i) => clipped(segment, sorted[i + 1]))
  const shortened: Missing[] = segments
    .map(({ base, bytes, name }) => ({ from: base + byBase.get(base)!.bytes, to: base + bytes, name }))
    .filter(({ from, to }) => from < to)
  return { segments, shortened, notes, floor }
}

function segmentOf({ name, bytes, bytesTaken, named, found }: SegmentFile, segmentBytes: number): Segment {
  const isSparse = bytesTaken < bytes && { isSparse: true }
  if (found.kind !== "head") {
    const whole = Math.max(segmentBytes, Math.ceil(bytes / 8) * 8)
    return { base: named, bytes: whole, name, ...(bytes < segmentBytes && { isCut: true }), ...isSparse }
  }
  const { base, bytes: made, previous } = found.head
  return { base, bytes: made, name, ...(previous && { previous }), ...(bytes < made && { isCut: true }), ...isSparse }
}

/** Where its own head cannot tell how long it was, the next one's does. */
function clipped(segment: Segment, next: Segment | undefined): Segment {
  if (next === undefined) return segment
  const told = next.previous?.base === segment.base ? next.previous.bytes : segment.bytes
  return { ...segment, bytes: Math.min(told, next.base - segment.base) }
}

/** What lies between the segments that are there. `known` is what retention dropped, and what was found missing before; in order. */
export function missingSegments(segments: readonly Segment[], known: readonly Dropped[]): readonly Missing[] {
  const found: Missing[] = []
  let end = firstPosition
  let last: Segment | undefined
  for (const segment of segments) {
    const { base, bytes, previous } = segment
    // Places between a segment and the one that it names as its predecessor were never used.
    const to = previous === undefined ? base : previous.base + previous.bytes
    const files =
      previous === undefined || previous.base <= end
        ? [{ from: end, to }]
        : [
            { from: end, to: previous.base },
            { from: previous.base, to },
          ]
    for (const part of files.flatMap((file) => without(file, known))) {
      if (!isLeftOut(part, last)) found.push({ ...part, name: nameOf(part, previous) })
    }
    end = Math.max(end, base + bytes)
    last = segment
  }
  return found
}

/** Whether none of these places was used. A start leaves places out behind the last one used, which may be within `last`. */
function isLeftOut(part: Dropped, last: Segment | undefined): boolean {
  const used = usedPlaces(part)
  if (used === 0) return true
  const isBehind = last !== undefined && part.from === last.base + last.bytes
  return isBehind && part.to - part.from + last.bytes >= leftOutPlaces && leftOutPlaces - used <= last.bytes
}

/** The files that held what is lost at the log's end. */
export function nameOfLost(list: readonly Segment[], { from, to }: Dropped, segmentBytes: number): string {
  const before = list.filter(({ base }) => base < from).at(-1)
  if (to - from <= segmentBytes) return `${formatCursor(from)}${suffix}`
  return before === undefined ? "segments" : `segments after ${before.name}`
}

function nameOf({ from }: Dropped, previous: SealedSegment | undefined): string {
  if (previous === undefined) return "segments"
  const last = `${formatCursor(previous.base)}${suffix}`
  return from >= previous.base ? last : `segments before ${last}`
}

/** A stretch of places that retention gave back. */
export interface Dropped {
  readonly from: number
  readonly to: number
}

/** What retention was giving back when the process died. The last segment is written to. */
export function droppedSegments(segments: readonly Segment[], dropped: readonly Dropped[]): readonly Segment[] {
  return segments
    .slice(0, -1)
    .filter(({ base, bytes }) => without({ from: base, to: base + bytes }, dropped).length === 0)
}

/** The parts of a stretch that no other one covers. Both in order. */
export function without({ from, to }: Dropped, covered: readonly Dropped[]): readonly Dropped[] {
  const parts: Dropped[] = []
  let at = from
  for (const part of covered) {
    if (part.to <= at || part.from >= to) continue
    if (part.from > at) parts.push({ from: at, to: part.from })
    at = Math.max(at, part.to)
  }
  if (at < to) parts.push({ from: at, to })
  return parts
}

/** With one stretch more; those that meet become one. */
export function withDropped(dropped: readonly Dropped[], more: Dropped): readonly Dropped[] {
  const merged: { from: number; to: number }[] = []
  for (const part of [...dropped, more].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last !== undefined && part.from <= last.to) last.to = Math.max(last.to, part.to)
    else merged.push({ ...part })
  }
  return merged
}
