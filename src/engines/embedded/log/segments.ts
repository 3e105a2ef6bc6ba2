import { StorageFullError } from "../../../core/errors.ts"
import type { Disk, DiskFile } from "../disk.ts"
import { firstPosition, formatCursor, parseCursor } from "./cursor.ts"

/** A file that holds the log from `base` to `base + bytes`. */
export interface Segment {
  readonly base: number
  readonly bytes: number
  readonly name: string
}

const suffix = ".segment"
const spareName = "spare"
const openMax = 64

/** The files of the log, in order; the last one is written to. */
export class Segments {
  readonly #disk: Disk
  readonly #segmentBytes: number
  readonly #reserveBytes: number
  #list: Segment[]
  #hasSpare: boolean
  #floor = firstPosition
  #preparing: Promise<void> | undefined
  readonly #files = new Map<string, Promise<DiskFile>>()
  readonly #thinned = new Set<string>()

  private constructor(disk: Disk, options: SegmentOptions, list: Segment[], hasSpare: boolean) {
    this.#disk = disk
    this.#segmentBytes = options.segmentBytes
    this.#reserveBytes = options.reserveBytes
    this.#list = list
    this.#hasSpare = hasSpare
  }

  static async open(disk: Disk, options: SegmentOptions): Promise<Segments> {
    const files = await disk.list()
    const list = files
      .filter(({ name }) => name.endsWith(suffix))
      .map(({ name, bytes }) => ({ name, bytes, base: parseCursor(name.slice(0, -suffix.length)) }))
      .sort((a, b) => a.base - b.base)
    for (const { name } of files) if (name.endsWith(".partial")) await disk.remove(name)
    const spare = files.find(({ name }) => name === spareName)
    const usable = spare !== undefined && spare.bytes === options.segmentBytes
    if (spare !== undefined && !usable) await disk.remove(spareName)
    return new Segments(disk, options, list, usable)
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
    this.#floor = position
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

  /** The file to write `position` to; made when the log has come to its base. Throws StorageFullError. */
  async forWriting(position: number): Promise<{ readonly segment: Segment; readonly file: DiskFile }> {
    // Ends: each turn adds a segment at the end.
    while (this.at(position) === undefined) await this.#append()
    const segment = this.at(position)!
    return { segment, file: await this.file(segment) }
  }

  /** Gets a file ready, so that the next segment need not be waited for. */
  prepare(): void {
    if (this.#hasSpare || this.#preparing !== undefined) return
    this.#preparing = this.#makeSpare()
      .catch(() => {}) // No room now: the append that needs the segment says so.
      .finally(() => {
        this.#preparing = undefined
      })
  }

  async #append(): Promise<void> {
    await this.#preparing
    if (!this.#hasSpare) await this.#makeSpare()
    const base = this.end
    const name = `${formatCursor(base)}${suffix}`
    await this.#disk.rename(spareName, name)
    this.#hasSpare = false
    this.#list = [...this.#list, { base, bytes: this.#segmentBytes, name }]
  }

  async #makeSpare(): Promise<void> {
    const free = await this.#disk.freeBytes()
    if (free < this.#segmentBytes + this.#reserveBytes) {
      throw new StorageFullError(`${free} bytes are free, ${this.#segmentBytes + this.#reserveBytes} are needed`)
    }
    const partial = `${spareName}.partial`
    const file = await this.#disk.create(partial, this.#segmentBytes)
    await file.close()
    await this.#disk.rename(partial, spareName)
    this.#hasSpare = true
  }

  /** Gives a segment's room back: as the next segment's file where it fits, to the disk otherwise. */
  async drop(segment: Segment): Promise<void> {
    this.#list = this.#list.filter((other) => other !== segment)
    await this.#forget(segment)
    const recycle = !this.#hasSpare && this.#preparing === undefined && segment.bytes === this.#segmentBytes
    if (!recycle || this.#thinned.has(segment.name)) return this.#disk.remove(segment.name)
    await this.#disk.rename(segment.name, spareName)
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
