import { StorageFullError } from "../../../core/errors.ts"
import type { Disk, DiskFile } from "../disk.ts"
import { type Chain, type Missing, type Segment, spareName, suffix, writeIdentity } from "./chain.ts"
import { firstPosition, formatCursor } from "./cursor.ts"
import type { LogIdentity } from "./head.ts"

export type { Segment } from "./chain.ts"

const openMax = 64
/** What is wiped of a file before it is used again: its head would check in any place. */
const wipedBytes = 4_096

/** The files of the log, in order; the last one is written to. */
export class Segments {
  readonly identity: LogIdentity
  /** What was noticed of the files when they were opened. */
  readonly notes: readonly string[]
  readonly shortened: readonly Missing[]
  /** Beyond the places whose files' names are taken by what does not belong there. */
  readonly floor: number
  readonly #disk: Disk
  readonly #segmentBytes: number
  readonly #reserveBytes: number
  #list: Segment[]
  #hasSpare: boolean
  #floor = firstPosition
  #preparing: Promise<void> | undefined
  readonly #files = new Map<string, Promise<DiskFile>>()
  readonly #thinned = new Set<string>()

  private constructor(disk: Disk, options: SegmentOptions, chain: Chain, identity: LogIdentity) {
    this.#disk = disk
    this.#segmentBytes = options.segmentBytes
    this.#reserveBytes = options.reserveBytes
    this.#list = [...chain.segments]
    this.#hasSpare = chain.hasSpare
    this.identity = identity
    this.notes = chain.notes
    this.shortened = chain.shortened
    this.floor = chain.floor
  }

  /** On the files that `chain` tells of; `fresh` is the identity of a log that begins here. */
  static async open(disk: Disk, options: SegmentOptions, chain: Chain, fresh: () => LogIdentity): Promise<Segments> {
    let { identity } = chain
    if (identity === undefined) {
      identity = fresh()
      await writeIdentity(disk, identity)
    }
    return new Segments(disk, options, chain, identity)
  }

  get list(): readonly Segment[] {
    return this.#list
  }

  /** Where the next segment begins. */
  get end(): number {
    const last = this.#list.at(-1)
    return Math.max(this.#floor, last === undefined ? 0 : last.base + last.bytes)
  }

  /** The next segment begins at `position` or later: places that were given out once are not given out again. */
  skipTo(position: number): void {
    this.#floor = Math.max(this.#floor, Math.ceil(position / 8) * 8)
  }

  /** Where the segment ends, or will end, that holds `position`. */
  endOf(position: number): number {
    const segment = this.at(position)
    if (segment !== undefined) return segment.base + segment.bytes
    return position + this.#segmentBytes - ((position - this.end) % this.#segmentBytes)
  }

  at(position: number): Segment | undefined {
    let low = 0
    let high = this.#list.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const segment = this.#list[middle]!
      if (position < segment.base) high = middle - 1
      else if (position >= segment.base + segment.bytes) low = middle + 1
      else return segment
    }
    return undefined
  }

  /** The first segment that begins after `position`. */
  after(position: number): Segment | undefined {
    return this.#list.find(({ base }) => base > position)
  }

  /**
   * The file to write `position` to; made when the log has come to its base. Throws StorageFullError, also where no room would
   * be left to others; what is `needed` takes that as well.
   */
  async forWriting(position: number, needed: boolean): Promise<{ readonly segment: Segment; readonly file: DiskFile }> {
    // Ends: each turn adds a segment at the end, and none begins beyond the place.
    while (this.at(position) === undefined && this.end <= position) await this.#append(needed ? 0 : this.#reserveBytes)
    const segment = this.at(position)
    if (segment === undefined) throw new RangeError(`no segment can hold ${position}`)
    return { segment, file: await this.file(segment) }
  }

  /** Gets a file ready, so that the next segment need not be waited for. */
  prepare(): void {
    if (this.#hasSpare || this.#preparing !== undefined) return
    this.#preparing = this.#makeSpare(this.#reserveBytes, true)
      .catch(() => {}) // No room now: the append that needs the segment says so.
      .finally(() => {
        this.#preparing = undefined
      })
  }

  async #append(reserveBytes: number): Promise<void> {
    await this.#preparing
    if (!this.#hasSpare) await this.#makeSpare(reserveBytes)
    const spare = await this.#disk.open(spareName)
    await spare.write(Buffer.alloc(Math.min(wipedBytes, spare.bytes)), 0).finally(() => spare.close())
    const base = this.end
    const name = `${formatCursor(base)}${suffix}`
    await this.#disk.rename(spareName, name)
    this.#hasSpare = false
    this.#list = [...this.#list, { base, bytes: this.#segmentBytes, name }]
  }

  async #makeSpare(reserveBytes: number, ahead = false): Promise<void> {
    const free = await this.#disk.freeBytes()
    if (free < this.#segmentBytes + reserveBytes) {
      throw new StorageFullError(`${free} bytes are free, ${this.#segmentBytes + reserveBytes} are needed`)
    }
    const partial = `${spareName}.partial`
    const file = await this.#disk.create(partial, this.#segmentBytes, ahead)
    await file.close()
    await this.#disk.rename(partial, spareName)
    this.#hasSpare = true
  }

  /** Gives a segment's room back: as the next segment's file where it fits, to the disk otherwise. */
  async drop(segment: Segment): Promise<void> {
    this.#list = this.#list.filter((other) => other !== segment)
    try {
      await this.#forget(segment)
      await this.#dropFile(segment)
    } catch (error) {
      // It is still there: whoever tries again has to find it.
      this.#list = [...this.#list, segment].sort((a, b) => a.base - b.base)
      throw error
    }
  }

  async #dropFile({ name, bytes, isSparse }: Segment): Promise<void> {
    const isInTheWay = this.#hasSpare || this.#preparing !== undefined || bytes !== this.#segmentBytes
    if (isInTheWay || isSparse || this.#thinned.has(name)) return this.#disk.remove(name)
    await this.#disk.rename(name, spareName)
    this.#hasSpare = true
  }

  /** Rewrites a segment so that it takes room only for `parts`. */
  async thin(
    segment: Segment,
    parts: AsyncIterable<{ readonly at: number; readonly data: Uint8Array }>,
  ): Promise<void> {
    const partial = `${segment.name}.partial`
    await this.#disk.createSparse(partial, segment.bytes, parts)
    this.#thinned.add(segment.name)
    await this.#disk.rename(partial, segment.name)
    await this.#forget(segment)
  }

  async #forget(segment: Segment): Promise<void> {
    const open = this.#files.get(segment.name)
    this.#files.delete(segment.name)
    if (open !== undefined) await (await open).close()
  }

  /** Whether somebody has removed the file that is written to, taken it away or replaced it: what goes into it now is lost. */
  async isGone(): Promise<boolean> {
    const last = this.#list.at(-1)
    return last !== undefined && (await (await this.file(last)).isGone())
  }

  /** The open file of a segment. */
  file(segment: Segment): Promise<DiskFile> {
    const known = this.#files.get(segment.name)
    if (known !== undefined) {
      this.#files.delete(segment.name)
      this.#files.set(segment.name, known)
      return known
    }
    const opened = this.#disk.open(segment.name)
    this.#files.set(segment.name, opened)
    opened.catch(() => this.#files.delete(segment.name))
    this.#closeOldest()
    return opened
  }

  #closeOldest(): void {
    if (this.#files.size <= openMax) return
    const active = this.#list.at(-1)?.name
    for (const [name, file] of this.#files) {
      if (name === active) continue
      this.#files.delete(name)
      file.then((open) => open.close()).catch(() => {})
      return
    }
  }

  async close(): Promise<void> {
    await this.#preparing
    for (const file of this.#files.values()) await (await file).close()
    this.#files.clear()
  }
}

export interface SegmentOptions {
  readonly segmentBytes: number
  /** Room on the disk that new segments leave to others. */
  readonly reserveBytes: number
}
