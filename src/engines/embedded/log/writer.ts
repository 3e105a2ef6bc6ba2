import { ClosedError, OverloadError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import { type EncodedAddress, headerBytes, recordBytes, writeGap, writeRecord } from "./record.ts"
import { type Extent, Ring } from "./ring.ts"
import type { Segments } from "./segments.ts"

/** One durable write at most. */
export const commitBytesMax = 1 << 20
const retryAfterMs = 1_000

interface Commit {
  readonly extent: Extent
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  readonly done: Promise<void>
}

export interface WriterOptions {
  readonly pendingBytesMax: number
  /** Lets what is at hand in this turn come together before it is written. */
  defer(run: () => void): void
  /** After each commit: the log is durable up to `end`. */
  onDurable(end: number): void
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
  #segmentEnd: number
  #writing = false
  #closed = false
  /** Bytes at the tail that a failed write may have left, to be cleared before the next write. */
  #stale = 0
  #idle: (() => void) | undefined

  constructor(segments: Segments, tail: number, options: WriterOptions) {
    this.#segments = segments
    this.#options = options
    this.#ring = new Ring(Math.max(options.pendingBytesMax, 4 * commitBytesMax))
    this.#tail = tail
    this.#durable = tail
    this.#segmentEnd = segments.endOf(tail)
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
    if (!this.#ring.hasRoom(bytes, commitBytesMax)) throw new OverloadError(retryAfterMs)
  }

  /** Puts a record into the current commit and answers its position. `reserve` was asked for its bytes. */
  put(event: Event, address: EncodedAddress, storedAt: number, hashLow: number, hashHigh: number): number {
    const bytes = recordBytes(address.bytes.length, event)
    if (this.#tail + bytes + headerBytes > this.#segmentEnd) this.#endSegment()
    const at = this.#grow(bytes)
    const position = this.#tail
    const commitStart = this.#open!.extent.position
    writeRecord(
      this.#ring.memory,
      this.#ring.view,
      at,
      { position, commitStart, address, storedAt, hashLow, hashHigh },
      event,
    )
    this.#tail += bytes
    return position
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
    const bytes = this.#segmentEnd - this.#tail
    if (bytes > 0) {
      const at = this.#grow(headerBytes)
      writeGap(this.#ring.memory, at, bytes, this.#tail, this.#open!.extent.position)
    }
    this.#closeCommit()
    this.#tail = this.#segmentEnd
    this.#segmentEnd = this.#segments.endOf(this.#tail)
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
    this.#open = { extent: this.#ring.begin(this.#tail), resolve, reject, done: promise }
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
      await this.#write(commit.extent)
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
    this.#options.onDurable(this.#durable)
    commit.resolve()
  }

  #next(): Commit | undefined {
    if (this.#commits.length === 0) this.#closeCommit()
    return this.#commits.shift()
  }

  async #write(extent: Extent): Promise<void> {
    const { segment, file } = await this.#segments.forWriting(extent.position)
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
    this.#segmentEnd = this.#segments.endOf(this.#tail)
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
