/** A run of the log in memory. */
interface Extent {
  readonly position: number
  readonly offset: number
  length: number
  durable: boolean
}

/**
 * The newest part of the log in one fixed piece of memory: what is waiting to be written, and behind it, until its room is
 * needed, what was written last. Readers get copies, since the memory is used again.
 */
export class Ring {
  readonly #memory: Buffer
  readonly view: DataView
  readonly #extents: Extent[] = []
  #next = 0
  #pendingBytes = 0

  constructor(bytes: number) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.view = new DataView(this.#memory.buffer, 0, bytes)
  }

  get memory(): Buffer {
    return this.#memory
  }

  /** Bytes that are not durable yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Whether `bytes` more can wait, taken in pieces of at most `pieceBytes`. */
  hasRoom(bytes: number, pieceBytes: number): boolean {
    return this.#pendingBytes + bytes + 2 * pieceBytes <= this.#memory.length
  }

  /** Begins a run at `position`; {@link grow} gives it room. */
  begin(position: number): Extent {
    const extent = { position, offset: this.#next, length: 0, durable: false }
    this.#extents.push(extent)
    return extent
  }

  /** Room for `bytes` at the end of the newest run: an offset in the memory, or undefined where the run must end first. */
  grow(extent: Extent, bytes: number): number | undefined {
    const offset = extent.offset + extent.length
    if (offset + bytes > this.#memory.length) return undefined
    this.#evict(offset, offset + bytes, extent)
    extent.length += bytes
    this.#pendingBytes += bytes
    this.#next = offset + bytes
    return offset
  }

  /** The next run begins at the start of the memory; what lies behind the last one is the oldest, and goes. */
  wrap(): void {
    while (this.#extents[0]?.durable && this.#extents[0].offset >= this.#next) this.#extents.shift()
    this.#next = 0
  }

  #evict(from: number, to: number, keep: Extent): void {
    // Ends: with the extents, one less each time.
    for (;;) {
      const oldest = this.#extents[0]
      if (oldest === undefined || oldest === keep || !oldest.durable) return
      if (oldest.offset >= to || oldest.offset + oldest.length <= from) return
      this.#extents.shift()
    }
  }

  settle(extent: Extent): void {
    extent.durable = true
    this.#pendingBytes -= extent.length
  }

  /** Forgets runs that could not be written. */
  discard(extents: readonly Extent[]): void {
    for (const extent of extents) {
      this.#pendingBytes -= extent.length
      const at = this.#extents.indexOf(extent)
      if (at >= 0) this.#extents.splice(at, 1)
    }
  }

  /** A copy of at most `bytes` of the log from `position`; undefined where it is not in memory. Pending runs count. */
  copy(position: number, bytes: number): Buffer | undefined {
    const at = this.#find(position)
    const extent = this.#extents[at]
    if (extent === undefined) return undefined
    const from = extent.offset + position - extent.position
    const to = Math.min(from + bytes, this.#endOfRun(at, from + bytes))
    const copy = Buffer.allocUnsafeSlow(to - from)
    this.#memory.copy(copy, 0, from, to)
    return copy
  }

  /** Where the memory ends in which runs follow one another as they do in the log, or some place from `enough` on. */
  #endOfRun(at: number, enough: number): number {
    let run = this.#extents[at]!
    for (let i = at + 1; i < this.#extents.length && run.offset + run.length < enough; i++) {
      const next = this.#extents[i]!
      if (next.position !== run.position + run.length || next.offset !== run.offset + run.length) break
      run = next
    }
    return run.offset + run.length
  }

  /** Which run holds `position`; -1 where none does. */
  #find(position: number): number {
    let low = 0
    let high = this.#extents.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const extent = this.#extents[middle]!
      if (position < extent.position) high = middle - 1
      else if (position >= extent.position + extent.length) low = middle + 1
      else return middle
    }
    return -1
  }
}

export type { Extent }
