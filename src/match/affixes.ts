import { hashBackwards, hashOn, hashText, seed } from "./hashing.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Table } from "./table.ts"
import type { Texts } from "./texts.ts"

/** Innermost characters are told apart by so many lowest values. */
const edges = 64

/**
 * Refs by the prefix, or suffix, that a text must have. One pass over the text hashes all its prefixes; only those of a
 * length that some prefix has, and of a last character that some prefix has, are looked up: no more than the text is long.
 */
export class Affixes {
  readonly #end: boolean
  readonly #table: Table
  /** How many affixes have each length. */
  readonly #lengths: number[] = []
  /** How many have each innermost character: for most prefixes a dot or a slash. */
  readonly #edges = new Int32Array(edges)

  /** `end`: suffixes. */
  constructor(texts: Texts, end: boolean) {
    this.#table = new Table(texts)
    this.#end = end
  }

  get empty(): boolean {
    return this.#table.size === 0
  }

  get(text: string): Ref {
    return this.#table.get(this.#hash(text), text)
  }

  /** Puts a ref under an affix, which is not empty; nothing removes. */
  set(text: string, ref: Ref): void {
    const before = this.#table.size
    this.#table.set(this.#hash(text), text, ref)
    const change = this.#table.size - before
    const { length } = text
    while (this.#lengths.length <= length) this.#lengths.push(0)
    this.#lengths[length]! += change
    this.#edges[text.charCodeAt(this.#end ? 0 : length - 1) % edges]! += change
  }

  /** Takes what stands under the text's prefixes, and under the text itself in `whole`: one pass serves both. */
  collect(text: string, into: Collector, whole?: Table): void {
    const lengths = this.#lengths
    const most = Math.min(text.length, lengths.length - 1)
    let hash = seed
    for (let length = 1; length <= most; length++) {
      const from = this.#end ? text.length - length : 0
      const code = text.charCodeAt(this.#end ? from : length - 1)
      hash = hashOn(hash, code)
      if (this.#edges[code % edges] === 0 || lengths[length] === 0) continue
      const ref = this.#table.get(hash, text, from, length)
      if (ref !== nothing) into.take(ref)
    }
    if (whole === undefined) return
    const ref = whole.get(hashText(text, most, text.length, hash), text)
    if (ref !== nothing) into.take(ref)
  }

  #hash(text: string): number {
    return this.#end ? hashBackwards(text) : hashText(text)
  }
}
