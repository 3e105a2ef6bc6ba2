import { hashBackwards, hashOn, hashValue, seed } from "./hashing.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Table } from "./table.ts"

/**
 * Refs by the prefix, or suffix, that a text must have. One pass over the text hashes all its prefixes; only those of a
 * length that some prefix has, and of a last character that some prefix has, are looked up: no more than the text is long.
 */
export class Affixes {
  readonly #end: boolean
  readonly #table = new Table()
  /** How many affixes have each length. */
  readonly #lengths: number[] = []
  /** How many have each innermost character, by its lowest bits: a dot, or a slash, for most prefixes. */
  readonly #edges = new Int32Array(edges)

  /** `end`: suffixes. */
  constructor(end: boolean) {
    this.#end = end
  }

  get empty(): boolean {
    return this.#table.size === 0
  }

  get(text: string): Ref {
    return this.#table.getPart(this.#hash(text), text, 0, text.length)
  }

  set(text: string, ref: Ref): void {
    const before = this.#table.size
    this.#table.set(text, ref, this.#hash(text))
    const change = this.#table.size - before
    const { length } = text
    while (this.#lengths.length <= length) this.#lengths.push(0)
    this.#lengths[length]! += change
    this.#edges[text.charCodeAt(this.#end ? 0 : length - 1) % edges]! += change
  }

  collect(text: string, into: Collector): void {
    const lengths = this.#lengths
    const most = Math.min(text.length, lengths.length - 1)
    let hash = seed
    for (let length = 1; length <= most; length++) {
      const from = this.#end ? text.length - length : 0
      const code = text.charCodeAt(this.#end ? from : length - 1)
      hash = hashOn(hash, code)
      if (this.#edges[code % edges] === 0 || lengths[length] === 0) continue
      const ref = this.#table.getPart(hash, text, from, length)
      if (ref !== nothing) into.take(ref)
    }
  }

  #hash(text: string): number {
    return this.#end ? hashBackwards(text) : hashValue(text)
  }
}

const edges = 64
