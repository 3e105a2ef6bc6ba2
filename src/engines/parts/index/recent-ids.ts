import type { Store } from "../store.ts"
import { formatPosition, parsePosition } from "./position.ts"

/** Ids of one generation; a full one makes room for the next. */
export const generationIds = 1 << 19
const bloomBits = generationIds * 24
const bloomProbes = 12
const prefix = "ids/"

/** Open addressing over three columns; grows by doubling until it is full. */
class Generation {
  count = 0
  newestAt = 0
  from = Number.POSITIVE_INFINITY
  to = 0
  #mask = 1023
  #lows = new Uint32Array(1024)
  #highs = new Uint32Array(1024)
  #positions = new Float64Array(1024).fill(-1)

  add(low: number, high: number, position: number): void {
    if (this.count * 2 > this.#mask) this.#grow()
    this.#place(low, high, position)
    this.count++
    if (position < this.from) this.from = position
    if (position > this.to) this.to = position
  }

  #place(low: number, high: number, position: number): void {
    let slot = low & this.#mask
    while (this.#positions[slot]! >= 0) slot = (slot + 1) & this.#mask
    this.#lows[slot] = low
    this.#highs[slot] = high
    this.#positions[slot] = position
  }

  #grow(): void {
    const [lows, highs, positions] = [this.#lows, this.#highs, this.#positions]
    const slots = positions.length * 2
    this.#mask = slots - 1
    this.#lows = new Uint32Array(slots)
    this.#highs = new Uint32Array(slots)
    this.#positions = new Float64Array(slots).fill(-1)
    for (let i = 0; i < positions.length; i++) {
      if (positions[i]! >= 0) this.#place(lows[i]!, highs[i]!, positions[i]!)
    }
  }

  find(low: number, high: number, into: number[]): void {
    for (let slot = low & this.#mask; this.#positions[slot]! >= 0; slot = (slot + 1) & this.#mask) {
      if (this.#lows[slot] === low && this.#highs[slot] === high) into.push(this.#positions[slot]!)
    }
  }

  has(low: number, high: number): boolean {
    for (let slot = low & this.#mask; this.#positions[slot]! >= 0; slot = (slot + 1) & this.#mask) {
      if (this.#lows[slot] === low && this.#highs[slot] === high) return true
    }
    return false
  }

  /** The same without what is at or after `position`. */
  before(position: number): Generation {
    const kept = new Generation()
    kept.newestAt = this.newestAt
    for (let i = 0; i < this.#positions.length; i++) {
      const at = this.#positions[i]!
      if (at >= 0 && at < position) kept.add(this.#lows[i]!, this.#highs[i]!, at)
    }
    return kept
  }

  bloom(): Bloom {
    const bits = new Uint8Array(bloomBits / 8)
    for (let i = 0; i < this.#positions.length; i++) {
      if (this.#positions[i]! < 0) continue
      for (let probe = 0; probe < bloomProbes; probe++) {
        const bit = bitOf(this.#lows[i]!, this.#highs[i]!, probe)
        bits[bit >>> 3]! |= 1 << (bit & 7)
      }
    }
    return { from: this.from, to: this.to, newestAt: this.newestAt, bits }
  }
}

/** What is left of a generation that is no longer in memory: whether an id may have been in it. */
interface Bloom {
  readonly from: number
  readonly to: number
  readonly newestAt: number
  readonly bits: Uint8Array
}

function bitOf(low: number, high: number, probe: number): number {
  return ((low + Math.imul(probe, high | 1)) >>> 0) % bloomBits
}

function mayHold(bloom: Bloom, low: number, high: number): boolean {
  for (let probe = 0; probe < bloomProbes; probe++) {
    const bit = bitOf(low, high, probe)
    if ((bloom.bits[bit >>> 3]! & (1 << (bit & 7))) === 0) return false
  }
  return true
}

/** A stretch of the log where an id may be that memory no longer knows exactly. */
export interface Suspect {
  readonly from: number
  readonly to: number
}

/**
 * The ids of recent events, so that a repeated one is caught before the answer: exactly for the newest two to three
 * generations, by a Bloom filter (3 bytes an id) for those before, as far back as the longest dedupe window. Every hit is
 * confirmed by the caller.
 */
export class RecentIds {
  readonly #store: Store
  readonly #windowMs: () => number
  #newest = new Generation()
  #older: Generation[] = []
  #blooms: Bloom[] = []

  /** `windowMs`: the longest window that any append asked for. */
  constructor(store: Store, windowMs: () => number) {
    this.#store = store
    this.#windowMs = windowMs
    for (const { key, value } of store.range("index", { start: prefix, end: `${prefix}~` })) {
      this.#blooms.push(decodeBloom(key, value))
    }
  }

  /** Ids at or after this position are to be added again after a start. */
  get rebuildFrom(): number {
    return Math.max(0, ...this.#blooms.map(({ to }) => to + 1))
  }

  /** In log order; {@link turn} is called at places that split the log in two. */
  add(low: number, high: number, position: number, storedAt: number): void {
    this.#newest.add(low, high, position)
    if (storedAt > this.#newest.newestAt) this.#newest.newestAt = storedAt
  }

  /** Everything added so far lies before everything to come: a full generation may end here. */
  turn(now: number): void {
    if (this.#newest.count >= generationIds) this.#turn(now)
  }

  /** Whether the id is certainly new: the answer for nearly all. */
  isNew(low: number, high: number): boolean {
    if (this.#newest.has(low, high)) return false
    for (const generation of this.#older) if (generation.has(low, high)) return false
    for (const bloom of this.#blooms) if (mayHold(bloom, low, high)) return false
    return true
  }

  /** Where events with this hash are, and where others may be. */
  find(low: number, high: number): { readonly positions: readonly number[]; readonly suspects: readonly Suspect[] } {
    const positions: number[] = []
    this.#newest.find(low, high, positions)
    for (const generation of this.#older) generation.find(low, high, positions)
    return { positions, suspects: this.#blooms.filter((bloom) => mayHold(bloom, low, high)) }
  }

  /** Forgets ids at or after `position`: they could not be written. */
  rollback(position: number): void {
    this.#newest = this.#newest.before(position)
    this.#older = this.#older.map((generation) =>
      generation.to >= position ? generation.before(position) : generation,
    )
  }

  #turn(now: number): void {
    this.#older.unshift(this.#newest)
    this.#newest = new Generation()
    for (const aged of this.#older.splice(2)) this.#retire(aged)
    const oldestAt = now - this.#windowMs()
    const stale = this.#blooms.slice(0, -1).filter(({ newestAt }) => newestAt < oldestAt) // The last one says where to rebuild from.
    if (stale.length === 0) return
    this.#blooms = this.#blooms.filter((bloom) => !stale.includes(bloom))
    const writes = stale.map((bloom) => ({ table: "index" as const, key: keyOf(bloom), value: undefined }))
    this.#store.write(writes).catch(() => {}) // They go at the next turn.
  }

  #retire(generation: Generation): void {
    if (generation.count === 0) return
    const bloom = generation.bloom()
    this.#blooms.push(bloom)
    this.#store.write([{ table: "index", key: keyOf(bloom), value: encodeBloom(bloom) }]).catch(() => {}) // Rebuilt at a start.
  }
}

function keyOf(bloom: Bloom): string {
  return `${prefix}${formatPosition(bloom.from)}`
}

function encodeBloom(bloom: Bloom): Uint8Array {
  const head = Float64Array.of(bloom.to, bloom.newestAt)
  return Buffer.concat([new Uint8Array(head.buffer), bloom.bits])
}

function decodeBloom(key: string, value: Uint8Array): Bloom {
  const head = new Float64Array(new Uint8Array(value.subarray(0, 16)).buffer)
  return {
    from: parsePosition(key.slice(prefix.length)),
    to: head[0]!,
    newestAt: head[1]!,
    bits: new Uint8Array(value.subarray(16)),
  }
}
