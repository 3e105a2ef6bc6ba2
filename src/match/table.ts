import { nothing, type Ref } from "./matching.ts"
import type { Texts } from "./texts.ts"

const capacityMin = 8

/**
 * Refs by text, at open addresses in flat arrays: to look for what is not there touches one line of memory, where a Map
 * of 10,000 texts touches several far apart. Callers bring the hash, for they often know it. Making room takes about two
 * milliseconds at 100,000 texts.
 */
export class Table {
  readonly #texts: Texts
  /** By place; 0 is a free one. */
  #hashes = new Int32Array(capacityMin)
  /** By place, a text's number and its ref. */
  #pairs = new Int32Array(capacityMin * 2)
  #size = 0

  constructor(texts: Texts) {
    this.#texts = texts
  }

  get size(): number {
    return this.#size
  }

  /** What stands under the part of a text that begins at `from` and is `length` long and whose hash this is. */
  get(hash: number, text: string, from = 0, length = text.length): Ref {
    const place = this.#placeOf(hash, text, from, length)
    return place < 0 ? nothing : this.#pairs[place * 2 + 1]!
  }

  /** Puts a ref under a text; nothing removes. The hash may be any, the same for the same text. */
  set(hash: number, text: string, ref: Ref): void {
    const place = this.#placeOf(hash, text, 0, text.length)
    if (place >= 0) {
      if (ref === nothing) this.#remove(place)
      else this.#pairs[place * 2 + 1] = ref
      return
    }
    if (ref === nothing) return
    if ((this.#size + 1) * 3 > this.#hashes.length * 2) this.#resize(this.#hashes.length * 2)
    this.#size++
    this.#put(marked(hash), this.#texts.add(text), ref)
  }

  #placeOf(hash: number, text: string, from: number, length: number): number {
    const hashes = this.#hashes
    const mask = hashes.length - 1
    const wanted = marked(hash)
    // Ends: a third of the places at least is free.
    for (let place = wanted & mask; ; place = (place + 1) & mask) {
      const found = hashes[place]!
      if (found === 0) return -1
      if (found === wanted && this.#texts.equals(this.#pairs[place * 2]!, text, from, length)) return place
    }
  }

  #put(hash: number, number: number, ref: Ref): void {
    const mask = this.#hashes.length - 1
    let place = hash & mask
    while (this.#hashes[place] !== 0) place = (place + 1) & mask
    this.#hashes[place] = hash
    this.#pairs[place * 2] = number
    this.#pairs[place * 2 + 1] = ref
  }

  /** Frees a place, and moves those who could not have theirs because of it. */
  #remove(gone: number): void {
    const hashes = this.#hashes
    const pairs = this.#pairs
    const mask = hashes.length - 1
    this.#texts.delete(pairs[gone * 2]!)
    let free = gone
    for (let place = (gone + 1) & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      const home = hashes[place]! & mask
      if (((place - home) & mask) < ((place - free) & mask)) continue
      hashes[free] = hashes[place]!
      pairs[free * 2] = pairs[place * 2]!
      pairs[free * 2 + 1] = pairs[place * 2 + 1]!
      free = place
    }
    hashes[free] = 0
    this.#size--
    if (hashes.length > capacityMin && this.#size * 6 < hashes.length) this.#resize(hashes.length / 2)
  }

  #resize(capacity: number): void {
    const [hashes, pairs] = [this.#hashes, this.#pairs]
    this.#hashes = new Int32Array(capacity)
    this.#pairs = new Int32Array(capacity * 2)
    for (let place = 0; place < hashes.length; place++) {
      if (hashes[place] !== 0) this.#put(hashes[place]!, pairs[place * 2]!, pairs[place * 2 + 1]!)
    }
  }
}

/** A hash that is not 0. */
function marked(hash: number): number {
  return hash === 0 ? 1 : hash
}
