import type { Missing } from "./chain.ts"
import { leftOutPlaces, usedPlaces } from "./cursor.ts"
import { type Damage, damageIn, type JournalRecord, Reader } from "./reader.ts"
import { claimedBytes, headerBytes, type StoredRecord, writeGap } from "./record.ts"
import type { Segment, Segments } from "./segments.ts"
import { commitBytesMax } from "./writer.ts"

export interface Recovered {
  /** Where the next record goes. */
  readonly tail: number
  readonly damages: readonly Damage[]
  /** What the last write left unfinished, and was never acknowledged: bytes that were cut off or passed over. */
  readonly unfinishedBytes: number
  /** Where the next record goes, where places before it were left out. */
  readonly skippedTo?: number
  /** Places that were used, of which no file is there; more may have been behind them. */
  readonly lost?: Omit<Missing, "name">
}

export interface RecoverOptions {
  /** From where on records are wanted: a record's end that was durable. Earlier ones may be told as well. */
  readonly from: number
  /** The highest place that anything outside of the log's files knows of. */
  readonly known: number
  /** What is there was written up to this place at least; default `known`. */
  readonly stored?: number
  /** Nothing outside of the log's files remembers anything. */
  readonly isForgotten: boolean
  /** Where the next record goes at the earliest: places before it were left out, or have files of others. */
  readonly floor: number
  /** Places before this one were left out. */
  readonly leftOutTo: number
  onRecord(record: StoredRecord): void
  onJournal(record: JournalRecord): void
  /** What does not check; told as it is met, between the records around it. */
  onDamage?(damage: Damage): void
  /** Called between blocks, with the place it has come to. */
  progress?(position: number): void | Promise<void>
}

/**
 * Reads the log from `from` to where it stops checking, and makes it ready for writing there.
 *
 * What does not check at the very end, or within the last commit, and is not known from elsewhere to have been stored, was
 * never acknowledged: it is cut off, or passed over where more of the same commit checks. What does not check before that
 * is damage, and stays where it is. The next record goes beyond every place that is known, so that none is used twice.
 */
export async function recover(segments: Segments, options: RecoverOptions): Promise<Recovered> {
  return new Recovery(segments, options).run()
}

class Recovery {
  readonly #segments: Segments
  readonly #options: RecoverOptions
  readonly #reader: Reader
  readonly #damages: Damage[] = []
  #unfinishedBytes = 0
  #endsInDamage = false
  /** What was read last says that a segment follows. */
  #isSealed = false
  /** Where the newest commit began of the last segment's records before `upTo`. */
  readonly #commits = { upTo: 0, newest: 0 }

  constructor(segments: Segments, options: RecoverOptions) {
    this.#segments = segments
    this.#options = options
    this.#reader = new Reader(segments, undefined, () => {})
  }

  async run(): Promise<Recovered> {
    const segments = this.#segments
    const last = segments.list.at(-1)
    let end = segments.end
    for (const segment of segments.list) end = await this.#segment(segment, segment === last)
    const { known, isForgotten, floor } = this.#options
    const found = { damages: this.#damages, unfinishedBytes: this.#unfinishedBytes }
    if (known <= end && floor <= end && !isForgotten) {
      return { ...found, tail: segments.at(end) === undefined ? segments.end : end }
    }
    const from = this.#endsInDamage ? last!.base + last!.bytes : end
    await this.#endLast(end)
    const isLost = known > end || isForgotten
    const lost = this.#lost(from)
    segments.skipTo(isLost ? Math.max(known, floor, segments.end) + leftOutPlaces : Math.max(floor, segments.end))
    const skippedTo = segments.end
    return { ...found, tail: skippedTo, skippedTo, ...(lost && { lost }) }
  }

  /** What is known to have been behind the log's end. */
  #lost(end: number): Recovered["lost"] {
    const { known, stored = known, leftOutTo, isForgotten } = this.#options
    const last = this.#segments.list.at(-1)
    const isLeftOut = leftOutTo > end && usedPlaces({ from: end, to: leftOutTo }) === 0
    const used = stored > end || last === undefined ? end : last.base + last.bytes
    const from = isLeftOut ? leftOutTo : used
    if (known > from) return { from, to: known }
    const isTold = isForgotten && this.#isSealed && last !== undefined
    return isTold ? { from: end, to: end + last.bytes, isUnsure: true } : undefined
  }

  /** Ends the last segment where its records end, for all that follows is in another one; one that has none goes. */
  async #endLast(at: number): Promise<void> {
    const segment = this.#segments.at(at)
    if (segment === undefined || this.#endsInDamage) return
    if (at === segment.base) return this.#segments.drop(segment)
    const bytes = segment.base + segment.bytes - at
    if (bytes >= headerBytes) await fill(this.#segments, segment, at, at + bytes)
  }

  /** Reads one segment; answers where its records end. */
  async #segment(segment: Segment, isNewest: boolean): Promise<number> {
    const { from, onRecord, onJournal, progress } = this.#options
    const end = segment.base + segment.bytes
    const isLast = isNewest && !segment.isCut
    let position = await this.#firstOf(segment, from, isNewest)
    while (position < end) {
      const { records, journal, next, isSealed = false } = await this.#reader.checked(segment, position, end)
      this.#isSealed = isSealed && next === end
      for (const record of records) onRecord(record)
      for (const record of journal) onJournal(record)
      await progress?.(next)
      if (next > position) position = next
      else {
        const behind = await this.#passOver(segment, position, isLast)
        if (behind === undefined) return position
        position = behind
      }
    }
    return end
  }

  /**
   * `from`, unless a gap has come to lie over it since, or the log ends before it: then the segment is read whole, the newest
   * one for where it ends.
   */
  async #firstOf(segment: Segment, from: number, isNewest: boolean): Promise<number> {
    const end = segment.base + segment.bytes
    if (from <= segment.base) return segment.base
    if (from >= end) return isNewest ? segment.base : end
    const { next } = await this.#reader.checked(segment, from, end)
    return next > from ? from : segment.base
  }

  /** Something at `position` does not check. Where reading goes on; undefined where the log ends. */
  async #passOver(segment: Segment, position: number, isLast: boolean): Promise<number | undefined> {
    const end = segment.base + segment.bytes
    const found = await this.#reader.findRecord(segment, position + 8, end)
    const { known, stored = known } = this.#options
    const wasStored = stored > position
    if (isLast && found === undefined && !wasStored) {
      this.#unfinishedBytes += await cut(this.#segments, segment, position)
      return undefined
    }
    const isUnfinished = isLast && !wasStored && found !== undefined && !(await this.#hasLaterCommit(segment, position))
    if (isUnfinished && found.position - position >= headerBytes) {
      this.#unfinishedBytes += found.position - position
      await fill(this.#segments, segment, position, found.position)
      this.#damage({ ...damageIn(segment, position, found.position), kind: "unfinished" })
      return found.position
    }
    const to = found?.position ?? end
    this.#damage(damageIn(segment, position, to))
    if (found !== undefined || !isLast) return to
    this.#endsInDamage = true
    return undefined
  }

  /**
   * Whether a commit follows that began after `position`: then what is there had been acknowledged. Asked of one segment, for
   * one place after the other: nothing is read twice for it.
   */
  async #hasLaterCommit(segment: Segment, position: number): Promise<boolean> {
    const end = segment.base + segment.bytes
    const seen = this.#commits
    seen.upTo = Math.max(seen.upTo, position + 8)
    while (seen.newest <= position && seen.upTo < end) {
      const { next, commitStart } = await this.#reader.lastCommit(segment, seen.upTo, end)
      if (next > seen.upTo) seen.newest = Math.max(seen.newest, commitStart)
      const found = next > seen.upTo ? next : (await this.#reader.findRecord(segment, next + 8, end))?.position
      seen.upTo = found ?? end
    }
    return seen.newest > position
  }

  #damage(damage: Damage): void {
    this.#damages.push(damage)
    this.#options.onDamage?.(damage)
  }
}

/** A gap, so that readers need not look for what follows. */
export async function fill(segments: Segments, segment: Segment, from: number, to: number): Promise<void> {
  const gap = Buffer.alloc(headerBytes)
  writeGap(gap, 0, to - from, { position: from, commitStart: from, salt: segments.identity.salt })
  await (await segments.file(segment)).write(gap, from - segment.base)
}

async function cut(segments: Segments, segment: Segment, position: number): Promise<number> {
  const at = position - segment.base
  const file = await segments.file(segment)
  const rest = Buffer.alloc(Math.min(2 * commitBytesMax, segment.bytes - at))
  await file.read(rest, at)
  let used = rest.length
  while (used > 0 && rest[used - 1] === 0) used--
  // What a file held before it was used again is no write of this log's.
  const isBegun = claimedBytes(rest, 0) > 0
  if (used > 0) await file.write(rest.fill(0), at)
  return isBegun ? used : 0
}
