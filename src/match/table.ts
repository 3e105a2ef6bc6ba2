import { hashValue } from "./hashing.ts"
import { nothing, type Ref } from "./matching.ts"

type Key = string | number | boolean | null

const capacityMin = 8

/**
 * A map from values to refs, of open addresses in flat arrays: looking for what is not there touches one line of
 * memory, where a Map of 10,000 entries touches several far apart. Callers bring the hash, for they often know it.
 * Making room takes about 1 ms at 100,000 keys.
 */
export class Table {
  /** By place; 0 is a free one. */
  #hashes = new Int32Array(capacityMin)
  /** By place, a key and its ref: side by side, for they are read together. */
  #pairs: (Key | Ref | undefined)[] = emptyPairs(capacityMin)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** What stands under a value. */
  get(value: Key): Ref {
    const place = this.#placeOf(value, marked(hashValue(value)))
    return place < 0 ? nothing : (this.#pairs[place * 2 + 1] as Ref)
  }

  /** What stands under the part of a text that begins at `from` and is `length` long and whose hash this is. */
  getPart(hash: number, text: string, from: number, length: number): Ref {
    const hashes = this.#hashes
    const mask = hashes.length - 1
    const wanted = marked(hash)
    for (let place = wanted & mask; ; place = (place + 1) & mask) {
      const found = hashes[place]!
      if (found === 0) return nothing
      if (found !== wanted) continue
      const key = this.#pairs[place * 2]
      if (typeof key !== "string" || key.length !== length) continue
      if (length === text.length ? key === text : text.startsWith(key, from)) return this.#pairs[place * 2 + 1] as Ref
    }
  }

  /** Puts a ref under a value, whose hash may be another than its own where getPart is asked with it; nothing removes. */
  set(value: Key, ref: Ref, hash = hashValue(value)): void {
    const wanted = marked(hash)
    const place = this.#placeOf(value, wanted)
    if (place >= 0) {
      if (ref === nothing) this.#remove(place)
      else this.#pairs[place * 2 + 1] = ref
      return
    }
    if (ref === nothing) return
    if ((this.#size + 1) * 2 > this.#hashes.length) this.#resize(this.#hashes.length * 2)
    this.#size++
    this.#put(value, ref, wanted)
  }

  #placeOf(value: Key, wanted: number): number {
    const hashes = this.#hashes
    const mask = hashes.length - 1
    for (let place = wanted & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      if (hashes[place] === wanted && this.#pairs[place * 2] === value) return place
    }
    return -1
  }

  #put(value: Key, ref: Ref, hash: number): void {
    const mask = this.#hashes.length - 1
    let place = hash & mask
    while (this.#hashes[place] !== 0) place = (place + 1) & mask
    this.#hashes[place] = hash
    this.#pairs[place * 2] = value
    this.#pairs[place * 2 + 1] = ref
  }

  /** Frees a place, and moves those who could not have theirs because of it. */
  #remove(gone: number): void {
    const hashes = this.#hashes
    const mask = hashes.length - 1
    let free = gone
    for (let place = (gone + 1) & mask; hashes[place] !== 0; place = (place + 1) & mask) {
      const home = hashes[place]! & mask
      if (((place - home) & mask) < ((place - free) & mask)) continue
      hashes[free] = hashes[place]!
      this.#pairs[free * 2] = this.#pairs[place * 2]
      this.#pairs[free * 2 + 1] = this.#pairs[place * 2 + 1]
      free = place
    }
    hashes[free] = 0
    this.#pairs[free * 2] = undefined
    this.#size--
    if (hashes.length > capacityMin && this.#size * 8 < hashes.length) this.#resize(hashes.length / 2)
  }

  #resize(capacity: number): void {
    const [hashes, pairs] = [this.#hashes, this.#pairs]
    this.#hashes = new Int32Array(capacity)
    this.#pairs = emptyPairs(capacity)
    for (let place = 0; place < hashes.length; place++) {
      if (hashes[place] !== 0) this.#put(pairs[place * 2] as Key, pairs[place * 2 + 1] as Ref, hashes[place]!)
    }
  }
}

/** A hash that is not 0. */
function marked(hash: number): number {
  return hash === 0 ? 1 : hash
}

function emptyPairs(capacity: number): (Key | Ref | undefined)[] {
  return new Array<Key | Ref | undefined>(capacity * 2).fill(undefined)
}
