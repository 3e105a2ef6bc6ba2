/** Entries of a closed block. */
export const blockEntries = 2048
const entryBytes = 32

/** What the index keeps of one event. */
export interface IndexEntry {
  readonly position: number
  readonly storedAt: number
  readonly hashLow: number
  readonly hashHigh: number
  /** hashKey of its key; 0: no key. */
  readonly key: number
  /** Of its record. */
  readonly bytes: number
}

/** One run of a topic's entries, a column each. */
export class Block {
  count = 0
  /** The place of the first entry that it ever had: by that it is stored. */
  #origin: number | undefined
  /** It is closed, though it has fewer entries than others: some were taken out. */
  #isClosed = false
  positions = new Float64Array(16)
  times = new Float64Array(16)
  lows = new Uint32Array(16)
  highs = new Uint32Array(16)
  keys = new Uint32Array(16)
  sizes = new Uint32Array(16)

  add(entry: IndexEntry): void {
    if (this.count === this.positions.length) this.#widen()
    this.#origin ??= entry.position
    const at = this.count++
    this.positions[at] = entry.position
    this.times[at] = entry.storedAt
    this.lows[at] = entry.hashLow
    this.highs[at] = entry.hashHigh
    this.keys[at] = entry.key
    this.sizes[at] = entry.bytes
  }

  #widen(): void {
    const wider = <T extends Float64Array | Uint32Array>(column: T, empty: T): T => {
      empty.set(column)
      return empty
    }
    const length = this.positions.length * 2
    this.positions = wider(this.positions, new Float64Array(length))
    this.times = wider(this.times, new Float64Array(length))
    this.lows = wider(this.lows, new Uint32Array(length))
    this.highs = wider(this.highs, new Uint32Array(length))
    this.keys = wider(this.keys, new Uint32Array(length))
    this.sizes = wider(this.sizes, new Uint32Array(length))
  }

  get first(): number {
    return this.positions[0]!
  }

  get origin(): number {
    return this.#origin ?? this.first
  }

  get isFull(): boolean {
    return this.#isClosed || this.count >= blockEntries
  }

  /** The same without the entries at some places; itself where it has none of them. */
  without(isGone: (position: number) => boolean): Block {
    const left = new Block()
    left.#origin = this.origin
    left.#isClosed = this.isFull
    for (let i = 0; i < this.count; i++) {
      if (isGone(this.positions[i]!)) continue
      left.add({
        position: this.positions[i]!,
        storedAt: this.times[i]!,
        hashLow: this.lows[i]!,
        hashHigh: this.highs[i]!,
        key: this.keys[i]!,
        bytes: this.sizes[i]!,
      })
    }
    return left.count === this.count ? this : left
  }

  /** The first `count` entries. */
  upTo(count: number): Block {
    const part = Object.assign(new Block(), this, { count })
    part.#origin = this.origin
    return part
  }

  get last(): number {
    return this.positions[this.count - 1]!
  }

  get bytes(): number {
    let sum = 0
    for (let i = 0; i < this.count; i++) sum += this.sizes[i]!
    return sum
  }

  /** The first entry at or after `position`. */
  lowerBound(position: number): number {
    return lowerBound(this.positions, this.count, position)
  }

  encode(): Uint8Array {
    const out = Buffer.allocUnsafeSlow(this.count * entryBytes)
    let at = 0
    for (const column of [this.positions, this.times, this.lows, this.highs, this.keys, this.sizes]) {
      const bytes = Buffer.from(column.buffer, 0, this.count * column.BYTES_PER_ELEMENT)
      out.set(bytes, at)
      at += bytes.length
    }
    return out
  }

  /** `origin`: by what it was stored. */
  static decode(encoded: Uint8Array, origin?: number): Block {
    const block = new Block()
    block.#origin = origin
    const count = encoded.length / entryBytes
    const buffer = new Uint8Array(encoded).buffer
    block.count = count
    block.positions = new Float64Array(buffer, 0, count)
    block.times = new Float64Array(buffer, count * 8, count)
    block.lows = new Uint32Array(buffer, count * 16, count)
    block.highs = new Uint32Array(buffer, count * 20, count)
    block.keys = new Uint32Array(buffer, count * 24, count)
    block.sizes = new Uint32Array(buffer, count * 28, count)
    return block
  }
}

/** The first of `count` sorted values that is `value` or more. */
export function lowerBound(sorted: Float64Array, count: number, value: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}
