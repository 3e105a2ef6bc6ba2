import type { Store, Write } from "../store.ts"
import { avalanche, type Hash } from "./hash.ts"
import { formatPosition, parsePosition } from "./position.ts"

/** Closed blocks that one group is over; a power of two. */
export const groupBlocks = 32
const probes = 5
/** Of a hash in a page, at least: about one in 500 that is not there seems to be. */
const bitsPerHash = 12

/** What a filter is made of: the hashes of a block's ids, and of its keys. */
export interface Hashed {
  readonly count: number
  readonly lows: Uint32Array
  readonly highs: Uint32Array
  readonly keys: Uint32Array
}

/** A run of closed blocks that have a filter together. */
export interface Group {
  readonly first: number
  readonly last: number
}

/**
 * Which blocks of a topic may hold an event with some id or key: a Bloom filter for each closed block, and one for each group of
 * them, in as many pages, of which a question reads one. So a question reads one page for 65,536 events, and never much more.
 * A block without a filter may hold anything.
 */
export class BlockFilters {
  readonly #store: Store
  readonly #topic: string

  constructor(store: Store, tenant: string, topic: string) {
    this.#store = store
    this.#topic = `${tenant}/${topic}/`
  }

  #key(kind: "f" | "g" | "p", first: number, page?: number): string {
    const key = `${kind}/${this.#topic}${formatPosition(first)}`
    return page === undefined ? key : `${key}/${page.toString(36)}`
  }

  /** The filter of a closed block. */
  ofBlock(first: number, block: Hashed): Write {
    return { table: "index", key: this.#key("f", first), value: pagesOf([block], 1)[0]! }
  }

  /** The filter of a group, from its blocks. */
  ofGroup({ first, last }: Group, blocks: readonly Hashed[]): readonly Write[] {
    const head = new Uint8Array(Float64Array.of(last).buffer)
    const pages = pagesOf(blocks, groupBlocks)
    return [
      { table: "index", key: this.#key("g", first), value: head },
      ...pages.map((value, page): Write => ({ table: "index", key: this.#key("p", first, page), value })),
    ]
  }

  /** Newest first. */
  *groups(reverse = true): Iterable<Group> {
    const prefix = `g/${this.#topic}`
    for (const { key, value } of this.#store.range("index", { start: prefix, end: `${prefix}~`, reverse })) {
      yield { first: parsePosition(key.slice(prefix.length)), last: lastOf(value) }
    }
  }

  /** Where the newest group ends; -1 where there is none. */
  get grouped(): number {
    for (const { last } of this.groups()) return last
    return -1
  }

  blockMayHold(first: number, hash: Hash): boolean {
    return mayHold(this.#store.get("index", this.#key("f", first)), hash)
  }

  groupMayHold({ first }: Group, hash: Hash): boolean {
    return mayHold(this.#store.get("index", this.#key("p", first, pageOf(hash.low, hash.high, groupBlocks))), hash)
  }

  /** Forgets the block that begins at `first`. */
  withoutBlock(first: number): Write {
    return { table: "index", key: this.#key("f", first), value: undefined }
  }

  /** Forgets the groups that lie before `position`. */
  *without(position: number): Iterable<Write> {
    for (const { first, last } of this.groups(false)) {
      if (last >= position) return
      yield { table: "index", key: this.#key("g", first), value: undefined }
      for (let page = 0; page < groupBlocks; page++)
        yield { table: "index", key: this.#key("p", first, page), value: undefined }
    }
  }
}

/** What filters know a key by; `key` is hashKey's. */
export function hashOfKey(key: number): Hash {
  return { low: key, high: highOfKey(key) }
}

function highOfKey(key: number): number {
  return avalanche(key ^ 0x6b6579)
}

function lastOf(head: Uint8Array): number {
  return new Float64Array(new Uint8Array(head).buffer)[0]!
}

function pagesOf(blocks: readonly Hashed[], pages: number): readonly Uint8Array[] {
  let hashes = 0
  for (const { count, keys } of blocks) hashes += keys.some((key) => key !== 0) ? 2 * count : count
  const bytes = 2 ** Math.ceil(Math.log2(((hashes / pages) * bitsPerHash) / 8))
  const filter = Array.from({ length: pages }, () => new Uint8Array(bytes))
  for (const { count, lows, highs, keys } of blocks) {
    for (let i = 0; i < count; i++) {
      add(filter, lows[i]!, highs[i]!)
      const key = keys[i]!
      if (key !== 0 && key !== keys[i - 1]) add(filter, key, highOfKey(key))
    }
  }
  return filter
}

function add(pages: readonly Uint8Array[], low: number, high: number): void {
  const page = pages[pageOf(low, high, pages.length)]!
  const mask = page.length * 8 - 1
  for (let probe = 0; probe < probes; probe++) {
    const bit = bitOf(low, high, probe) & mask
    page[bit >>> 3]! |= 1 << (bit & 7)
  }
}

function mayHold(page: Uint8Array | undefined, { low, high }: Hash): boolean {
  if (page === undefined || page.length === 0) return true
  const mask = page.length * 8 - 1
  for (let probe = 0; probe < probes; probe++) {
    const bit = bitOf(low, high, probe) & mask
    if ((page[bit >>> 3]! & (1 << (bit & 7))) === 0) return false
  }
  return true
}

function pageOf(low: number, high: number, pages: number): number {
  return pages === 1 ? 0 : avalanche(low ^ Math.imul(high, 0x9e3779b1)) & (pages - 1)
}

function bitOf(low: number, high: number, probe: number): number {
  return low + Math.imul(probe, high | 1)
}
