import { DamagedError } from "../../../core/errors.ts"
import { headSalt } from "./head.ts"
import {
  Addresses,
  checkRecord,
  claimedBytes,
  claimsGap,
  commitStartOf,
  gapKind,
  headerBytes,
  headKind,
  isEvent,
  journalKind,
  neededBytes,
  numberOf,
  payloadOf,
  type RecordHead,
  StoredRecord,
  sealsSegment,
} from "./record.ts"
import type { Ring } from "./ring.ts"
import { type Found, findRecord } from "./search.ts"
import type { Segment, Segments } from "./segments.ts"

const blockBytes = 256 * 1024
const cachedBlockBytes = 64 * 1024
const cachedBlocksMax = 64
/** Whose gaps are remembered. */
const segmentsMax = 16

interface Gap {
  readonly from: number
  readonly to: number
}

/**
 * A stretch of the log that does not check, or whose file is not there; readers pass over it. What is `unfinished` may never
 * have been acknowledged.
 */
export interface Damage {
  readonly kind: "damaged" | "missing" | "unfinished"
  readonly segment: string
  /** In the file. */
  readonly from: number
  readonly to: number
  readonly position: number
  /** Nobody knows what was in it: the index was made, or went on, without it. So retention cannot give it up. */
  readonly isUnindexed?: true
  /** As {@link Missing.isUnsure}. */
  readonly isUnsure?: true
}

/** A record of the journal. */
export interface JournalRecord {
  readonly position: number
  readonly payload: Buffer
  /** The journal's records are numbered without holes, modulo 2^32. */
  readonly number: number
  /** With the padding. */
  readonly bytes: number
}

/** Records of one stretch of the log, and where reading goes on. */
export interface Stretch {
  /** Those that hold events. */
  readonly records: readonly StoredRecord[]
  readonly journal: readonly JournalRecord[]
  readonly next: number
  /** It ends with a segment, of which it is told that another one follows at once. */
  readonly isSealed?: boolean
}

const none: readonly never[] = []

/** Reads records by position, from memory where they are new. Never answers bytes that do not check. */
export class Reader {
  readonly #segments: Segments
  readonly #ring: Ring | undefined
  readonly #onDamage: (damage: Damage) => void
  readonly #addresses = new Addresses()
  /** Of the segments that were last asked about. */
  readonly #gaps = new Map<number, Promise<readonly Gap[]>>()
  readonly #blocks = new Map<number, { readonly until: number; readonly bytes: Promise<Buffer> }>()

  constructor(segments: Segments, ring: Ring | undefined, onDamage: (damage: Damage) => void) {
    this.#segments = segments
    this.#ring = ring
    this.#onDamage = onDamage
  }

  /** The records from `position` up to `until` that come with one read. `until` is a record's end. */
  async stretch(position: number, until: number): Promise<Stretch> {
    const segment = this.#segments.at(position) ?? this.#segments.after(position)
    if (segment === undefined || segment.base >= until) return { records: none, journal: none, next: until }
    const from = Math.max(position, segment.base)
    const end = Math.min(until, segment.base + segment.bytes)
    const read = await this.checked(segment, from, end)
    if (read.next > from) return { ...read, next: Math.min(read.next, until) }
    const gapEnd = this.#isGone(segment) ? end : await this.#gapOver(segment, from)
    const next = gapEnd ?? (await this.#passOver(segment, from, end))
    return { records: none, journal: none, next: Math.min(next, until) }
  }

  /** The records that check from `from` on; `next` is `from` where the first one does not. */
  async checked(segment: Segment, from: number, end: number): Promise<Stretch> {
    let block = await this.#load(segment, from, Math.min(blockBytes, end - from))
    const needed = neededBytes(block, 0)
    if (needed > block.length && needed <= end - from) block = await this.#load(segment, from, needed)
    return this.#decode(block, from)
  }

  #decode(block: Buffer, from: number): Stretch {
    const records: StoredRecord[] = []
    let journal: JournalRecord[] | undefined
    let at = 0
    let isSealed = false
    while (at + headerBytes <= block.length) {
      const head = this.#check(block, at, from + at)
      if (head === undefined) break
      isSealed = sealsSegment(block, at)
      if (isEvent(head)) records.push(new StoredRecord(block, at, from + at, this.#addresses.at(block, at)))
      else if (head.kind === journalKind) {
        journal ??= []
        journal.push({
          position: from + at,
          payload: payloadOf(block, at),
          number: numberOf(block, at),
          bytes: head.bytes,
        })
      }
      at += head.bytes
    }
    return { records, journal: journal ?? none, next: from + at, isSealed }
  }

  #check(block: Buffer, at: number, position: number): RecordHead | undefined {
    const head = checkRecord(block, at, position, this.#segments.identity.salt)
    if (head !== undefined) return head
    // A segment's head is checked without the log's salt, and is nowhere but at its base.
    if (this.#segments.at(position)?.base !== position) return undefined
    const first = checkRecord(block, at, position, headSalt)
    return first?.kind === headKind ? first : undefined
  }

  async #load(segment: Segment, position: number, bytes: number): Promise<Buffer> {
    const recent = this.#ring?.copy(position, bytes)
    if (recent !== undefined) return recent
    const block = Buffer.allocUnsafeSlow(bytes)
    const opened = this.#segments.file(segment)
    try {
      return block.subarray(0, await (await opened).read(block, position - segment.base))
    } catch (error) {
      if (this.#isGone(segment)) return block.subarray(0, 0)
      // The file may have been replaced by a thinner one meanwhile.
      if (this.#segments.file(segment) === opened) throw error
      return block.subarray(0, await (await this.#segments.file(segment)).read(block, position - segment.base))
    }
  }

  /** Whether retention has given it back since it was looked up. */
  #isGone(segment: Segment): boolean {
    return this.#segments.at(segment.base) === undefined
  }

  /** Where the gap ends that retention has laid over `position` while somebody was reading there. */
  async #gapOver(segment: Segment, position: number): Promise<number | undefined> {
    const gaps = await this.#gapsOf(segment)
    return gaps.find(({ from, to }) => from < position && position < to)?.to
  }

  #gapsOf(segment: Segment): Promise<readonly Gap[]> {
    const known = this.#gaps.get(segment.base)
    if (known !== undefined) return known
    const found = this.#findGaps(segment)
    found.catch(() => this.#gaps.delete(segment.base))
    this.#gaps.set(segment.base, found)
    if (this.#gaps.size > segmentsMax) this.#gaps.delete(this.#gaps.keys().next().value!)
    return found
  }

  async #findGaps(segment: Segment): Promise<readonly Gap[]> {
    const end = segment.base + segment.bytes
    const gaps: Gap[] = []
    for (let at = segment.base; at < end; ) {
      const block = await this.#load(segment, at, Math.min(blockBytes, end - at))
      const from = at
      for (let head = this.#check(block, 0, at); head !== undefined; ) {
        if (head.kind === gapKind) gaps.push({ from: at, to: at + head.bytes })
        at += head.bytes
        head = at - from + headerBytes <= block.length ? this.#check(block, at - from, at) : undefined
      }
      if (at === from) at = await this.#beyond(segment, at, end)
    }
    return gaps
  }

  /** Behind what begins at `position`: one record that is larger than a block, or one that does not check. */
  async #beyond(segment: Segment, position: number, end: number): Promise<number> {
    const { next } = await this.checked(segment, position, end)
    return next > position ? next : ((await this.findRecord(segment, position + 8, end))?.position ?? end)
  }

  async #passOver(segment: Segment, from: number, end: number): Promise<number> {
    const next = (await this.findRecord(segment, from + 8, end))?.position ?? end
    if (!this.#isGone(segment)) this.#onDamage(damageIn(segment, from, next))
    return next
  }

  /** The first record that checks between `from` and `end`. No segment's head is looked for. */
  findRecord(segment: Segment, from: number, end: number): Promise<Found | undefined> {
    const { salt } = this.#segments.identity
    return findRecord({ from, end, salt, load: (position, bytes) => this.#load(segment, position, bytes) })
  }

  /** Where the records of one read end that check from `from` on, and where the commit of the last of them began. */
  async lastCommit(
    segment: Segment,
    from: number,
    end: number,
  ): Promise<{ readonly next: number; readonly commitStart: number }> {
    const { next } = await this.checked(segment, from, end)
    const block = await this.#load(segment, from, Math.min(next - from, blockBytes))
    let commitStart = 0
    for (let at = 0; at < block.length; at += Math.max(headerBytes, claimedBytes(block, at))) {
      commitStart = commitStartOf(block, at, from + at)
    }
    return { next, commitStart }
  }

  /** Where reading goes on after the record at `position`, if one is there. */
  async after(position: number, durable: number): Promise<number> {
    const segment = this.#segments.at(position)
    if (segment === undefined || position >= durable) return position
    const end = Math.min(durable, segment.base + segment.bytes)
    const { next } = await this.#first(segment, position, end)
    if (next > position) return next
    return (await this.findRecord(segment, position + 8, end))?.position ?? end
  }

  async #first(segment: Segment, position: number, end: number): Promise<{ readonly next: number }> {
    const head = await this.#load(segment, position, Math.min(headerBytes, end - position))
    const claimed = claimedBytes(head, 0)
    if (claimed === 0 || claimed > end - position) return { next: position }
    const whole = claimsGap(head, 0) ? head : await this.#load(segment, position, claimed)
    return { next: this.#check(whole, 0, position) === undefined ? position : position + claimed }
  }

  /**
   * The record at `position`, which is before `durable`. Undefined where none begins there, or its segment is gone.
   * Throws DamagedError where one should.
   */
  async record(position: number, durable: number, expected = false): Promise<StoredRecord | undefined> {
    if (position % 8 !== 0) return undefined
    const segment = this.#segments.at(position)
    const block = await this.#recordBytes(segment, position, durable)
    const head = block === undefined ? undefined : this.#check(block, 0, position)
    if (block !== undefined && head !== undefined && isEvent(head)) {
      return new StoredRecord(block, 0, position, this.#addresses.at(block, 0))
    }
    if (!expected || head?.kind === gapKind || segment === undefined) return undefined
    throw new DamagedError(`${segment.name} at byte ${position - segment.base}`)
  }

  /** Whether a record checks at `position`. A gap is none: what cannot be read goes when a segment is written anew. */
  async holds(position: number): Promise<boolean> {
    const segment = this.#segments.at(position)
    if (segment === undefined) return false
    const { records, journal, next } = await this.checked(segment, position, segment.base + segment.bytes)
    if (position === segment.base) return next > position
    return records[0]?.position === position || journal[0]?.position === position
  }

  /** A record that the index knows, and of which nothing can be read. Answers where that is, for people. */
  missed(position: number, bytes: number): string | undefined {
    const segment = this.#segments.at(position)
    if (segment === undefined) return undefined
    this.#onDamage(damageIn(segment, position, position + bytes))
    return `${segment.name} at byte ${position - segment.base}`
  }

  /** The journal's record at `position`; undefined where none checks. */
  async journalRecord(position: number): Promise<JournalRecord | undefined> {
    const segment = this.#segments.at(position)
    const block = await this.#recordBytes(segment, position, Number.POSITIVE_INFINITY)
    const head = block === undefined ? undefined : this.#check(block, 0, position)
    if (block === undefined || head?.kind !== journalKind) return undefined
    return { position, payload: payloadOf(block, 0), number: numberOf(block, 0), bytes: head.bytes }
  }

  /** A copy of the record's bytes alone, so that whoever keeps the event keeps no more. */
  async #recordBytes(segment: Segment | undefined, position: number, durable: number): Promise<Buffer | undefined> {
    const recent = this.#ring?.copy(position, headerBytes)
    if (recent !== undefined) {
      const needed = neededBytes(recent, 0)
      return needed === 0 ? undefined : this.#ring?.copy(position, needed)
    }
    // What waits to be written, in memory only, may lie in a segment that does not exist yet.
    if (segment === undefined) return undefined
    const end = Math.min(durable, segment.base + segment.bytes)
    const number = Math.floor((position - segment.base) / cachedBlockBytes)
    const base = segment.base + number * cachedBlockBytes
    const block = await this.#block(segment, base, Math.min(base + cachedBlockBytes, end))
    const at = position - base
    const needed = neededBytes(block, at)
    if (needed > 0 && at + needed <= block.length) return Buffer.from(block.subarray(at, at + needed))
    const head = await this.#load(segment, position, Math.min(headerBytes, end - position))
    const bytes = neededBytes(head, 0)
    if (bytes === 0 || bytes > end - position) return undefined
    return this.#load(segment, position, bytes)
  }

  #block(segment: Segment, base: number, until: number): Promise<Buffer> {
    const known = this.#blocks.get(base)
    if (known !== undefined && known.until >= until) {
      this.#blocks.delete(base)
      this.#blocks.set(base, known)
      return known.bytes
    }
    const bytes = this.#load(segment, base, until - base)
    this.#blocks.delete(base)
    this.#blocks.set(base, { until, bytes })
    bytes.catch(() => this.#blocks.delete(base))
    if (this.#blocks.size > cachedBlocksMax) this.#blocks.delete(this.#blocks.keys().next().value!)
    return bytes
  }

  /** Forgets what was read of a segment that is gone or rewritten. */
  forget(segment: Segment): void {
    this.#gaps.delete(segment.base)
    for (const base of this.#blocks.keys()) {
      if (base >= segment.base && base < segment.base + segment.bytes) this.#blocks.delete(base)
    }
  }
}

/** What does not check of a segment between two places. */
export function damageIn(segment: Segment, from: number, to: number): Damage {
  const { base, name } = segment
  return { kind: "damaged", segment: name, position: from, from: from - base, to: to - base }
}
