import { ClosedError, OverloadError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import { encodeHead, headSalt, type SealedSegment } from "./head.ts"
import {
  type EncodedAddress,
  headerBytes,
  headKind,
  journalKind,
  ownRecordBytes,
  recordBytes,
  writeGap,
  writeOwnRecord,
  writeRecord,
} from "./record.ts"
import { type Extent, Ring } from "./ring.ts"
import type { Segments } from "./segments.ts"

/** One durable write at most. */
export const commitBytesMax = 1 << 20
const retryAfterMs = 1_000

/** What is kept free for the hub's own records, so that publishing never keeps them out. */
const ownRoomBytes = 1 << 20

/** The segment that is being filled. */
interface Filling {
  readonly base: number
  readonly end: number
  readonly previous: SealedSegment | undefined
}

interface Commit {
  readonly extent: Extent
  /** What was being filled when it began. */
  readonly filling: Filling
  /** Holds a record of the hub's own, which may take the last room of the disk. */
  needed: boolean
  /** Where its last event ends; 0: it has none. */
  eventsEnd: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  readonly done: Promise<void>
}

export interface WriterOptions {
  readonly pendingBytesMax: number
  /** Lets what is at hand in this turn come together before it is written. */
  defer(run: () => void): void
  /** After each commit: the log is durable up to `end`; its last event ends at `eventsEnd`, 0: there is none in this commit. */
  onDurable(end: number, eventsEnd: number): void
  /** What was put at or after `position` could not be written and is gone. */
  onDiscard(position: number): void
}

/**
 * Group commit: records are put into the current commit while the previous one is being written, and a commit is one write.
 * A commit lies in one segment, so a record that does not fit ends it with a gap.
 */
export class Writer {
  readonly #segments: Segments
  readonly #ring: Ring
  readonly #options: WriterOptions
  readonly #commits: Commit[] = []
  #open: Commit | undefined
  /** The one that is being written; it is among neither of the others. */
  #current: Commit | undefined
  #tail: number
  #durable: number
  #filling: Filling
  #writing = false
  #closed = false
  /** Bytes at the tail that a failed write may have left, to be cleared before the next write. */
  #stale = 0
  #idle: (() => void) | undefined

  constructor(segments: Segments, tail: number, options: WriterOptions) {
    this.#segments = segments
    this.#options = options
    this.#ring = new Ring(Math.max(options.pendingBytesMax, 4 * commitBytesMax) + ownRoomBytes)
    this.#tail = tail
    this.#durable = tail
    this.#filling = fillingAt(segments, tail)
  }

  /** Everything before this position is on disk. */
  get durable(): number {
    return this.#durable
  }

  get pendingBytes(): number {
    return this.#ring.pendingBytes
  }

  get ring(): Ring {
    return this.#ring
  }

  /** Throws OverloadError where `bytes` more cannot wait, ClosedError after {@link close}. */
  reserve(bytes: number): void {
    if (this.#closed) throw new ClosedError()
    if (!this.#ring.hasRoom(bytes + ownRoomBytes, commitBytesMax)) throw new OverloadError(retryAfterMs)
  }

  /** Puts a record into the current commit and answers its position. `reserve` was asked for its bytes. */
  put(event: Event, address: EncodedAddress, storedAt: number, hashLow: number, hashHigh: number): number {
    const bytes = recordBytes(address.bytes.length, event)
    const at = this.#place(bytes)
    const commit = this.#open!
    const position = this.#tail
    const place = { position, commitStart: commit.extent.position, salt: this.#segments.identity.salt }
    writeRecord(this.#ring.memory, this.#ring.view, at, { place, address, storedAt, hashLow, hashHigh }, event)
    this.#tail += bytes
    commit.eventsEnd = this.#tail
    return position
  }

  /**
   * Puts a record of the journal into the current commit and answers its position. Throws OverloadError where it cannot wait,
   * which publishing alone does not bring about; ClosedError.
   */
  putJournal(payload: Uint8Array, number: number): number {
    if (this.#closed) throw new ClosedError()
    if (!this.#ring.hasRoom(ownRecordBytes(payload), commitBytesMax)) throw new OverloadError(retryAfterMs)
    const at = this.#place(ownRecordBytes(payload))
    return this.#putOwn(at, this.#segments.identity.salt, { kind: journalKind, payload, number })
  }

  #putOwn(at: number, salt: number, record: { kind: number; payload: Uint8Array; number?: number }): number {
    const { kind, payload } = record
    const commit = this.#open!
    const position = this.#tail
    const place = { position, commitStart: commit.extent.position, salt }
    writeOwnRecord(this.#ring.memory, this.#ring.view, at, place, record)
    commit.needed = kind === journalKind
    this.#tail += ownRecordBytes(payload)
    return position
  }

  /** Where the next record of `bytes` goes in the memory; behind the head, where a segment begins. */
  #place(bytes: number): number {
    if (this.#tail === this.#filling.base) this.#putHead()
    if (this.#tail + bytes + headerBytes > this.#filling.end) {
      this.#endSegment()
      this.#putHead()
    }
    return this.#grow(bytes)
  }

  #putHead(): void {
    const { base, end, previous } = this.#filling
    const payload = encodeHead({ ...this.#segments.identity, base, bytes: end - base, ...(previous && { previous }) })
    this.#putOwn(this.#grow(ownRecordBytes(payload)), headSalt, { kind: headKind, payload })
  }

  /** Resolves when all that was put so far is durable; rejects when it could not be written. */
  commit(): Promise<void> {
    const newest = this.#open ?? this.#commits.at(-1)
    if (newest === undefined) return Promise.resolve()
    if (!this.#writing) {
      this.#writing = true
      this.#options.defer(() => this.#run())
    }
    return newest.done
  }

  /** Resolves when the commit that holds `position` is durable; at once when it is. */
  settled(position: number): Promise<void> {
    if (position < this.#durable) return Promise.resolve()
    const holds = (commit: Commit | undefined) =>
      commit !== undefined && position < commit.extent.position + commit.extent.length
    const commit = holds(this.#current) ? this.#current : (this.#commits.find(holds) ?? this.#open)
    return commit?.done ?? Promise.resolve()
  }

  /** Resolves when the record at `position` is durable (true), or when it could not be written and is gone (false). */
  isKept(position: number): Promise<boolean> {
    return this.settled(position).then(
      () => true,
      () => false,
    )
  }

  #endSegment(): void {
    const { base, end } = this.#filling
    const bytes = end - this.#tail
    if (bytes > 0) {
      const at = this.#grow(headerBytes)
      const { salt } = this.#segments.identity
      const place = { position: this.#tail, commitStart: this.#open!.extent.position, salt }
      writeGap(this.#ring.memory, at, bytes, place, true)
    }
    this.#closeCommit()
    const previous = { base, bytes: end - base, end: this.#tail }
    this.#tail = end
    this.#filling = { base: end, end: this.#segments.endOf(end), previous }
  }

  #grow(bytes: number): number {
    const commit = this.#open
    if (commit !== undefined && (commit.extent.length === 0 || commit.extent.length + bytes <= commitBytesMax)) {
      const at = this.#ring.grow(commit.extent, bytes)
      if (at !== undefined) return at
    }
    this.#closeCommit()
    const opened = this.#openCommit()
    const at = this.#ring.grow(opened.extent, bytes)
    if (at !== undefined) return at
    this.#ring.wrap()
    this.#ring.discard([opened.extent])
    return this.#ring.grow(this.#openCommit().extent, bytes)!
  }

  #openCommit(): Commit {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => {}) // Whoever waits has a handler of their own.
    const extent = this.#ring.begin(this.#tail)
    this.#open = { extent, filling: this.#filling, needed: false, eventsEnd: 0, resolve, reject, done: promise }
    return this.#open
  }

  #closeCommit(): void {
    if (this.#open !== undefined && this.#open.extent.length > 0) this.#commits.push(this.#open)
    this.#open = undefined
  }

  /** One commit; the next one begins a turn later, so that what the answers to this one bring along can join it. */
  async #run(): Promise<void> {
    const commit = this.#next()
    this.#current = commit
    if (commit === undefined) {
      this.#writing = false
      return this.#idle?.()
    }
    try {
      await this.#write(commit)
      this.#settle(commit)
    } catch (error) {
      this.#discard(commit, error)
    }
    this.#current = undefined
    this.#options.defer(() => this.#run())
  }

  #settle(commit: Commit): void {
    // What follows a commit that ended a segment begins in the next one.
    const following = this.#commits[0] ?? this.#open
    this.#durable = following?.extent.position ?? commit.extent.position + commit.extent.length
    this.#ring.settle(commit.extent)
    this.#options.onDurable(this.#durable, commit.eventsEnd)
    commit.resolve()
  }

  #next(): Commit | undefined {
    if (this.#commits.length === 0) this.#closeCommit()
    return this.#commits.shift()
  }

  async #write({ extent, needed }: Commit): Promise<void> {
    const { segment, file } = await this.#segments.forWriting(extent.position, needed)
    const at = extent.position - segment.base
    if (this.#stale > 0) {
      await file.write(Buffer.alloc(Math.min(this.#stale, segment.bytes - at)), at)
      this.#stale = 0
    }
    await file.write(this.#ring.memory.subarray(extent.offset, extent.offset + extent.length), at)
    if (at > segment.bytes / 2) this.#segments.prepare()
  }

  /** A failed write takes all that waits behind it along: positions follow each other without holes. */
  #discard(failed: Commit, error: unknown): void {
    this.#closeCommit()
    const lost = [failed, ...this.#commits.splice(0)]
    this.#stale = Math.max(this.#stale, failed.extent.length)
    this.#ring.discard(lost.map(({ extent }) => extent))
    this.#tail = failed.extent.position
    this.#filling = failed.filling
    this.#options.onDiscard(this.#tail)
    for (const { reject } of lost) reject(error)
  }

  /** Refuses new records, writes those it has. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#writing)
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
  }
}

function fillingAt(segments: Segments, tail: number): Filling {
  const segment = segments.at(tail)
  const last = segments.list.filter(({ base }) => base < tail).at(-1)
  // How far the one before was filled is not known here: all of it may have been.
  const previous = last && { base: last.base, bytes: last.bytes, end: last.base + last.bytes }
  return { base: segment?.base ?? tail, end: segments.endOf(tail), previous }
}
