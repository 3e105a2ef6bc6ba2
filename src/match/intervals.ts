import { type Collector, nothing, type Ref } from "./matching.ts"

/** A range of numbers; a limit that is not there is infinite. */
export interface Interval {
  readonly low: number
  readonly lowOpen: boolean
  readonly high: number
  readonly highOpen: boolean
}

/**
 * A node is a row of numbers: how many places it has, then for each place the lower limit, the first and the highest upper
 * limit, and what is there. In a leaf a place is an interval and its ref; above, a node: its first interval, how high it
 * reaches, and its number.
 */
const fan = 24
const lows = 1
const firsts = lows + fan
const highs = firsts + fan
const items = highs + fan
const stride = items + fan

/**
 * Refs by interval: a B-tree in order of the limits that knows how high each part of it reaches. Finding those around a
 * number takes time logarithmic in all intervals and linear in those found. The nodes lie in one array, for what is read
 * one after the other to be side by side.
 */
export class Intervals {
  #nodes = new Float64Array(stride)
  #used = 1
  readonly #free: number[] = []
  /** Where the root begins. */
  #root = 0
  /** Levels above the leaves. */
  #height = 0

  get empty(): boolean {
    return this.#nodes[this.#root] === 0
  }

  get(interval: Interval): Ref {
    const { low, high } = closed(interval)
    const place = this.#find(low, high)
    return place < 0 ? nothing : this.#nodes[place + items]!
  }

  /** Puts a ref under an interval; nothing removes. */
  set(interval: Interval, ref: Ref): void {
    const { low, high } = closed(interval)
    const place = this.#find(low, high)
    if (place >= 0 && ref !== nothing) this.#nodes[place + items] = ref
    else if (place >= 0) this.#delete(low, high)
    else if (ref !== nothing) this.#add(low, high, ref)
  }

  /** What has some number from `low` to `high`. */
  collect(low: number, high: number, into: Collector): void {
    this.#collect(this.#root, this.#height, low, high, into)
  }

  #collect(node: number, height: number, low: number, high: number, into: Collector): void {
    const nodes = this.#nodes
    const end = node + (nodes[node]! | 0)
    for (let at = node; at < end && nodes[at + lows]! <= high; at++) {
      if (nodes[at + highs]! < low) continue
      const item = nodes[at + items]! | 0
      if (height === 0) into.take(item)
      else this.#collect(item, height - 1, low, high, into)
    }
  }

  /** The place of an interval: where a node begins plus its number in it; below 0 where it is not there. */
  #find(low: number, high: number): number {
    let node = this.#root
    for (let height = this.#height; height > 0; height--) node = this.#nodes[this.#below(node, low, high) + items]!
    const at = this.#placeOf(node, low, high)
    const there = at < node + this.#nodes[node]! && this.#is(at, low, high)
    return there ? at : -1
  }

  #is(place: number, low: number, high: number): boolean {
    return this.#nodes[place + lows] === low && this.#nodes[place + firsts] === high
  }

  /** Where an interval is in a node, or would be. */
  #placeOf(node: number, low: number, high: number): number {
    const nodes = this.#nodes
    let [from, to] = [node, node + nodes[node]!]
    while (from < to) {
      const middle = (from + to) >> 1
      // Infinite limits that are equal differ by NaN, which is neither below 0 nor true.
      const before = nodes[middle + lows]! - low || nodes[middle + firsts]! - high
      if (before < 0) from = middle + 1
      else to = middle
    }
    return from
  }

  /** The last node below that begins at or before an interval, else the first. */
  #below(node: number, low: number, high: number): number {
    const at = this.#placeOf(node, low, high)
    const exact = at < node + this.#nodes[node]! && this.#is(at, low, high)
    return exact ? at : Math.max(node, at - 1)
  }

  #add(low: number, high: number, ref: Ref): void {
    if (this.#nodes[this.#root] === fan) {
      const root = this.#allocate()
      this.#insert(root, root, 0, 0, this.#root)
      this.#measure(root)
      this.#halve(root, root)
      this.#root = root
      this.#height++
    }
    this.#addTo(this.#root, this.#height, low, high, ref)
  }

  /** The node has room: those that are full are halved on the way down. */
  #addTo(node: number, height: number, low: number, high: number, ref: Ref): void {
    if (height === 0) {
      this.#insert(node, this.#placeOf(node, low, high), low, high, ref)
      return
    }
    let at = this.#below(node, low, high)
    if (this.#nodes[this.#nodes[at + items]!] === fan) {
      this.#halve(node, at)
      at = this.#below(node, low, high)
    }
    this.#addTo(this.#nodes[at + items]!, height - 1, low, high, ref)
    this.#measure(at)
  }

  /** Divides the node at a place of the one above it. */
  #halve(above: number, place: number): void {
    const after = this.#allocate()
    const nodes = this.#nodes
    const before = nodes[place + items]!
    const half = fan / 2
    for (const column of [lows, firsts, highs, items]) {
      nodes.copyWithin(after + column, before + column + half, before + column + fan)
    }
    nodes[before] = half
    nodes[after] = half
    this.#insert(above, place + 1, 0, 0, after)
    this.#measure(place)
    this.#measure(place + 1)
  }

  #insert(node: number, place: number, low: number, high: number, item: number): void {
    const nodes = this.#nodes
    const end = node + nodes[node]!
    for (const column of [lows, firsts, highs, items]) {
      nodes.copyWithin(place + column + 1, place + column, end + column)
    }
    nodes[place + lows] = low
    nodes[place + firsts] = high
    nodes[place + highs] = high
    nodes[place + items] = item
    nodes[node]!++
  }

  #delete(low: number, high: number): void {
    this.#deleteFrom(this.#root, this.#height, low, high)
    while (this.#height > 0 && this.#nodes[this.#root] === 1) {
      this.#free.push(this.#root)
      this.#root = this.#nodes[this.#root + items]!
      this.#height--
    }
  }

  /** Nodes that become empty go; others stay as they are, however few they hold. */
  #deleteFrom(node: number, height: number, low: number, high: number): void {
    let at = this.#placeOf(node, low, high)
    if (height > 0) {
      at = this.#below(node, low, high)
      const below = this.#nodes[at + items]!
      this.#deleteFrom(below, height - 1, low, high)
      if (this.#nodes[below]! > 0) {
        this.#measure(at)
        return
      }
      this.#free.push(below)
    }
    const nodes = this.#nodes
    const end = node + nodes[node]!
    for (const column of [lows, firsts, highs, items]) {
      nodes.copyWithin(at + column, at + column + 1, end + column)
    }
    nodes[node]!--
  }

  /** Writes at a place what the node that is there holds. */
  #measure(place: number): void {
    const nodes = this.#nodes
    const below = nodes[place + items]!
    nodes[place + lows] = nodes[below + lows]!
    nodes[place + firsts] = nodes[below + firsts]!
    let high = Number.NEGATIVE_INFINITY
    for (let at = below; at < below + nodes[below]!; at++) high = Math.max(high, nodes[at + highs]!)
    nodes[place + highs] = high
  }

  #allocate(): number {
    const known = this.#free.pop()
    const node = known ?? this.#used++ * stride
    if (node + stride > this.#nodes.length) {
      const nodes = new Float64Array(this.#nodes.length * 2)
      nodes.set(this.#nodes)
      this.#nodes = nodes
    }
    this.#nodes[node] = 0
    return node
  }
}

interface Closed {
  readonly low: number
  readonly high: number
}

/** Holds no number. */
const empty: Closed = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY }

/** The same numbers without open limits: above 1 is from the next number that there is. */
function closed({ low, lowOpen, high, highOpen }: Interval): Closed {
  if ((lowOpen && low === Number.POSITIVE_INFINITY) || (highOpen && high === Number.NEGATIVE_INFINITY)) return empty
  return { low: lowOpen ? next(low, 1) : low + 0, high: highOpen ? next(high, -1) : high + 0 }
}

const double = new Float64Array(1)
const bits = new BigInt64Array(double.buffer)

/** The numbers next to one, which may be infinite, as far as there are any. */
export function neighbours(value: number): readonly [low: number, high: number] {
  const low = value === Number.NEGATIVE_INFINITY ? value : next(value, -1)
  return [low, value === Number.POSITIVE_INFINITY ? value : next(value, 1)]
}

/** The next number above, or below. */
function next(value: number, direction: 1 | -1): number {
  if (value === 0) return direction * Number.MIN_VALUE
  double[0] = value
  bits[0]! += value > 0 === direction > 0 ? 1n : -1n
  return double[0]!
}
