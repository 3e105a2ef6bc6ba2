import type { Store, Write } from "../store.ts"
import { Block, blockEntries } from "./block.ts"
import { BlockFilters, groupBlocks } from "./block-filters.ts"
import type { Hash } from "./hash.ts"
import { formatPosition, parsePosition } from "./position.ts"

const headBytes = 40

interface HeadRange {
  readonly from?: number
  /** Of blocks that begin before this. */
  readonly before?: number
  readonly reverse?: boolean
}

/** What is known of a block without reading it. */
export interface BlockHead {
  readonly first: number
  readonly last: number
  readonly count: number
  readonly bytes: number
  readonly firstAt: number
  readonly lastAt: number
}

/** The blocks of a topic as the store holds them, each under the place of the first entry that it ever had. */
export class StoredBlocks {
  readonly filters: BlockFilters
  readonly #store: Store
  readonly #name: string
  #loaded: Block | undefined

  constructor(store: Store, tenant: string, topic: string) {
    this.#store = store
    this.#name = `${tenant}/${topic}`
    this.filters = new BlockFilters(store, tenant, topic)
  }

  #key(kind: "b" | "h", first?: number): string {
    return `${kind}/${this.#name}/${first === undefined ? "" : formatPosition(first)}`
  }

  /** What stores the first `count` entries of a block. */
  writesOf(whole: Block, count = whole.count): readonly Write[] {
    const block = whole.upTo(count)
    const head = Float64Array.of(block.last, count, block.bytes, block.times[0]!, block.times[count - 1]!)
    return [
      { table: "index", key: this.#key("h", block.origin), value: new Uint8Array(head.buffer) },
      { table: "index", key: this.#key("b", block.origin), value: block.encode() },
    ]
  }

  /** What forgets the block that is stored under `origin`. */
  without(origin: number): readonly Write[] {
    return [
      { table: "index", key: this.#key("h", origin), value: undefined },
      { table: "index", key: this.#key("b", origin), value: undefined },
      this.filters.withoutBlock(origin),
    ]
  }

  /** The filter of the next group, once there are blocks enough in the store that are in none. */
  groupWrites(memoryFirst: number): readonly Write[] {
    const group: BlockHead[] = []
    for (const head of this.heads({ from: this.filters.grouped + 1, before: memoryFirst })) {
      if (head.last <= this.filters.grouped) continue
      if (group.push(head) === groupBlocks) break
    }
    if (group.length < groupBlocks) return []
    const range = { first: group[0]!.first, last: group.at(-1)!.last }
    const blocks = group.map(({ first }) => this.load(first))
    return this.filters.ofGroup(range, blocks)
  }

  /** Stored heads: from the block that may hold `from` on, or from the newest back. */
  *heads(range: HeadRange = {}): Iterable<BlockHead> {
    const prefix = this.#key("h")
    const { from, before = Number.POSITIVE_INFINITY, reverse = false } = range
    const end = before === Number.POSITIVE_INFINITY ? `${prefix}~` : this.#key("h", before)
    let start = from === undefined ? prefix : this.#key("h", from)
    if (from !== undefined) {
      for (const { key } of this.#store.range("index", { start: prefix, end: `${start}~`, reverse: true, limit: 1 }))
        start = key
    }
    for (const { key, value } of this.#store.range("index", { start, end, reverse })) {
      yield decodeHead(parsePosition(key.slice(prefix.length)), value)
    }
  }

  /** Closed blocks never change, and one is often asked for several times in a row. */
  load(first: number): Block {
    if (this.#loaded?.origin === first && this.#loaded.count >= blockEntries) return this.#loaded
    const encoded = this.#store.get("index", this.#key("b", first))
    const block = encoded === undefined ? new Block() : Block.decode(encoded, first)
    this.#loaded = block
    return block
  }

  /** The block that was read last, where it is closed. */
  get loaded(): Block | undefined {
    return this.#loaded !== undefined && this.#loaded.count >= blockEntries ? this.#loaded : undefined
  }

  /** Blocks were written anew. */
  changed(): void {
    this.#loaded = undefined
  }

  /** The blocks between two places that may hold an event with this hash, newest first. */
  *holding(hash: Hash, from: number, end: number): Iterable<Block> {
    if (from >= end) return
    for (const { first, last } of [...this.heads({ from, before: end, reverse: true })]) {
      if (last >= from && this.filters.blockMayHold(first, hash)) yield this.load(first)
    }
  }
}

function decodeHead(first: number, value: Uint8Array): BlockHead {
  const head = new Float64Array(new Uint8Array(value.subarray(0, headBytes)).buffer)
  return { first, last: head[0]!, count: head[1]!, bytes: head[2]!, firstAt: head[3]!, lastAt: head[4]! }
}
