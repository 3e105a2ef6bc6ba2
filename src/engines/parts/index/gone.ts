import type { Store, Write } from "../store.ts"
import { formatPosition, parsePosition } from "./position.ts"

/** Pairs of places, ends included, in order: between each two of them lies something that is kept, or they are in two windows. */
export type Ranges = readonly number[]

const none: Ranges = []
const cachedMax = 64

/** Windows of several topics that were asked about last. */
export class GoneCache {
  readonly #known = new Map<string, Ranges>()

  get(key: string): Ranges | undefined {
    return this.#known.get(key)
  }

  set(key: string, ranges: Ranges): void {
    this.#known.delete(key)
    this.#known.set(key, ranges)
    if (this.#known.size > cachedMax) this.#known.delete(this.#known.keys().next().value!)
  }

  delete(key: string): void {
    this.#known.delete(key)
  }

  clear(): void {
    this.#known.clear()
  }
}

export interface GoneOptions {
  /** Places that one row tells of. */
  readonly windowPlaces: number
  readonly cache: GoneCache
}

/** As many as a few thousand events of a log of bytes take. */
export const windowPlacesDefault = 2 ** 22

/**
 * The places of a topic whose events were dropped one by one, behind its mark: ranges in which nothing of the topic is kept. A
 * row for each window of the log, in `meta`, and a running number, by which the index sees that it lacks some.
 */
export class GonePlaces {
  readonly #store: Store
  readonly #name: string
  readonly #options: GoneOptions
  /** How often rows were changed; 0: never. */
  version = 0

  constructor(store: Store, name: string, options: GoneOptions) {
    this.#store = store
    this.#name = name
    this.#options = options
    this.reload()
  }

  /** Sees what the store has come to hold. */
  reload(): void {
    const stored = this.#store.get("meta", `gone-of/${this.#name}`)
    this.version = stored === undefined ? 0 : Number(Buffer.from(stored).toString("latin1"))
    if (this.version > 0) this.#options.cache.clear()
  }

  /** Whether there may be any. */
  get any(): boolean {
    return this.version > 0
  }

  has(position: number): boolean {
    if (this.version === 0) return false
    const ranges = this.in(this.windowOf(position))
    let low = 0
    let high = ranges.length >> 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (ranges[2 * middle + 1]! < position) low = middle + 1
      else high = middle
    }
    return 2 * low < ranges.length && ranges[2 * low]! <= position
  }

  windowOf(position: number): number {
    return Math.floor(position / this.#options.windowPlaces)
  }

  /** Where a window begins. */
  startOf(window: number): number {
    return window * this.#options.windowPlaces
  }

  in(window: number): Ranges {
    const key = this.#key(window)
    const known = this.#options.cache.get(key)
    if (known !== undefined) return known
    const stored = this.#store.get("meta", key)
    const ranges = stored === undefined ? none : decodeRanges(stored, this.startOf(window))
    this.#options.cache.set(key, ranges)
    return ranges
  }

  /** The windows that have any, from the first on that may hold `position`. */
  *windows(position = 0): Iterable<number> {
    const prefix = `gone/${this.#name}/`
    const start = this.#key(this.windowOf(position))
    for (const { key } of this.#store.range("meta", { start, end: `${prefix}~` })) {
      yield parsePosition(key.slice(prefix.length))
    }
  }

  /** What makes the rows these. */
  writes(rows: ReadonlyMap<number, Ranges>, version: number): readonly Write[] {
    const written = Array.from(rows, ([window, ranges]): Write => {
      return { table: "meta", key: this.#key(window), value: encodeRanges(ranges, this.startOf(window)) }
    })
    const number = Buffer.from(String(version), "latin1")
    return [...written, { table: "meta", key: `gone-of/${this.#name}`, value: number }]
  }

  /** Those writes are in the store. */
  written(rows: ReadonlyMap<number, Ranges>, version: number): void {
    for (const window of rows.keys()) this.#options.cache.delete(this.#key(window))
    this.version = version
  }

  /** What forgets the windows that lie before `position`. */
  without(position: number): readonly Write[] {
    if (this.version === 0) return []
    const range = { start: `gone/${this.#name}/`, end: this.#key(this.windowOf(position)) }
    return Array.from(this.#store.range("meta", range), ({ key }): Write => {
      this.#options.cache.delete(key)
      return { table: "meta", key, value: undefined }
    })
  }

  #key(window: number): string {
    return `gone/${this.#name}/${formatPosition(window)}`
  }
}

/** Ranges with some more places in them; what lies between two ranges and holds nothing of `kept` is one with them. All ascending. */
export function withPlaces(ranges: Ranges, places: readonly number[], kept: readonly number[]): Ranges {
  const made: number[] = []
  let [range, place, keep] = [0, 0, 0]
  while (range < ranges.length || place < places.length) {
    const isRange = place >= places.length || ranges[range]! <= places[place]!
    const [from, to] = isRange ? [ranges[range]!, ranges[range + 1]!] : [places[place]!, places[place]!]
    if (isRange) range += 2
    else place++
    const last = made.at(-1) ?? Number.NEGATIVE_INFINITY
    while (keep < kept.length && kept[keep]! <= last) keep++
    const isApart = made.length === 0 || (keep < kept.length && kept[keep]! < from)
    if (isApart) made.push(from, to)
    else made[made.length - 1] = Math.max(last, to)
  }
  return made
}

/** Ranges as bytes: the distances between their ends, seven bits in each byte, the lowest first. */
export function encodeRanges(ranges: Ranges, start: number): Uint8Array {
  const bytes: number[] = []
  let before = start
  for (const end of ranges) {
    let distance = end - before
    before = end
    for (; distance >= 128; distance = Math.floor(distance / 128)) bytes.push(128 + (distance % 128))
    bytes.push(distance)
  }
  return Uint8Array.from(bytes)
}

/** The inverse of {@link encodeRanges}. */
export function decodeRanges(bytes: Uint8Array, start: number): Ranges {
  const ranges: number[] = []
  let [before, distance, unit] = [start, 0, 1]
  for (const byte of bytes) {
    distance += (byte & 127) * unit
    unit *= 128
    if (byte >= 128) continue
    before += distance
    ranges.push(before)
    distance = 0
    unit = 1
  }
  return ranges
}
