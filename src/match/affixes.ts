import type { Matching, Slot } from "./matching.ts"

interface Affix<S> {
  readonly text: string
  readonly slot: S
}

/**
 * Slots by the prefix, or suffix, that a text must have. One pass over the text hashes all its prefixes; only lengths
 * that some prefix has are looked up, and a prefix that is found is compared, so a collision costs time only.
 */
export class Affixes<S extends Slot> {
  readonly #end: boolean
  readonly #byHash = new Map<number, Affix<S>[]>()
  /** How many affixes have each length. */
  readonly #lengths: number[] = []

  /** `end`: suffixes. */
  constructor(end: boolean) {
    this.#end = end
  }

  get empty(): boolean {
    return this.#byHash.size === 0
  }

  get(text: string): S | undefined {
    return this.#byHash.get(this.#hash(text))?.find((affix) => affix.text === text)?.slot
  }

  add(text: string, slot: S): void {
    const hash = this.#hash(text)
    const affixes = this.#byHash.get(hash)
    if (affixes === undefined) this.#byHash.set(hash, [{ text, slot }])
    else affixes.push({ text, slot })
    while (this.#lengths.length <= text.length) this.#lengths.push(0)
    this.#lengths[text.length]!++
  }

  delete(text: string): void {
    const hash = this.#hash(text)
    const affixes = this.#byHash.get(hash)!.filter((affix) => affix.text !== text)
    if (affixes.length === 0) this.#byHash.delete(hash)
    else this.#byHash.set(hash, affixes)
    this.#lengths[text.length]!--
  }

  collect(text: string, matching: Matching): void {
    const lengths = this.#lengths
    const most = Math.min(text.length, lengths.length - 1)
    let hash = seed
    for (let length = 1; length <= most; length++) {
      const code = text.charCodeAt(this.#end ? text.length - length : length - 1)
      hash = (Math.imul(hash, 31) + code) | 0
      if (lengths[length] !== 0) this.#collectHash(hash, text, matching)
    }
  }

  #collectHash(hash: number, text: string, matching: Matching): void {
    const affixes = this.#byHash.get(hash)
    if (affixes === undefined) return
    for (const affix of affixes) {
      if (this.#end ? text.endsWith(affix.text) : text.startsWith(affix.text)) affix.slot.collect(matching)
    }
  }

  #hash(text: string): number {
    let hash = seed
    for (let i = 0; i < text.length; i++) {
      hash = (Math.imul(hash, 31) + text.charCodeAt(this.#end ? text.length - 1 - i : i)) | 0
    }
    return hash
  }
}

const seed = 17
