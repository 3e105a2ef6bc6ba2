import type { Store, Write } from "../store.ts"
import { Block, blockEntries, type IndexEntry } from "./block.ts"
import { BlockFilters, groupBlocks } from "./block-filters.ts"
import type { Hash } from "./hash.ts"
import { formatPosition, parsePosition } from "./position.ts"
import { Waiters } from "./waiters.ts"

const headBytes = 40
/** Rows deleted in one turn: a few milliseconds' worth. */
const rowsAtOnce = 600

/** One bringing up to date of the store. */
export interface IndexFlush {
  readonly writes: readonly Write[]
  readonly done: () => void
  readonly failed: () => void
}

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

/**
 * The events of one topic in log order: closed blocks in the store, the newest block in memory. The newest block is stored
 * too, again and again as it grows, so that only what came after the last flush has to be found again in the log.
 */
export class TopicIndex {
  readonly tenant: string
  readonly topic: string
  readonly #store: Store
  readonly #filters: BlockFilters
  /** Blocks that the store does not hold as they are now, oldest first; the last one is the open one. */
  #recent: Block[] = []
  #loaded: Block | undefined
  #dirty = false
  /** Events before this position are gone. */
  trimmedTo: number
  /** Where trims that are being written reach. */
  readonly #trimming = new Set<number>()
  /** Readers at the end of the topic. */
  readonly waiters = new Waiters()

  constructor(store: Store, tenant: string, topic: string) {
    this.#store = store
    this.tenant = tenant
    this.topic = topic
    this.#filters = new BlockFilters(store, tenant, topic)
    this.trimmedTo = this.#storedTrim()
    const newest = firstOf(this.#heads({ reverse: true }), () => true)
    if (newest !== undefined && newest.count < blockEntries) this.#recent = [this.#load(newest.first)]
  }

  #storedTrim(): number {
    const trimmed = this.#store.get("meta", this.#trimKey)
    return trimmed === undefined ? 0 : parsePosition(Buffer.from(trimmed).toString("latin1"))
  }

  /** Sees what the store has come to hold of retention since. */
  reload(): void {
    this.trimmedTo = this.#storedTrim()
    this.#recent = this.#recent.filter(({ count, last }) => count > 0 && last >= this.trimmedTo)
  }

  get #trimKey(): string {
    return `trim/${this.tenant}/${this.topic}`
  }

  #key(kind: "b" | "h", first?: number): string {
    return `${kind}/${this.tenant}/${this.topic}/${first === undefined ? "" : formatPosition(first)}`
  }

  add(entry: IndexEntry): void {
    let open = this.#recent.at(-1)
    if (open !== undefined && open.count > 0 && entry.position <= open.last) return
    if (open === undefined || open.count >= blockEntries) {
      open = new Block()
      this.#recent.push(open)
    }
    open.add(entry)
    this.#dirty = true
  }

  /** Takes back what was added at or after `position`. */
  rollback(position: number): void {
    for (const block of this.#recent) block.count = block.lowerBound(position)
    this.#recent = this.#recent.filter(({ count }) => count > 0)
  }

  /** Whether everything is in the store and nobody waits: it can be made again from there. */
  get idle(): boolean {
    return !this.#dirty && !this.waiters.any
  }

  /** Whether an event is at exactly this position. */
  has(position: number): boolean {
    return this.sizeAt(position) !== undefined
  }

  /** How many bytes the event at exactly this position takes. */
  sizeAt(position: number): number | undefined {
    const block = this.#around(position) ?? firstOf(this.blocks(position), () => true)
    if (block === undefined) return undefined
    const at = block.lowerBound(position)
    return at < block.count && block.positions[at] === position ? block.sizes[at] : undefined
  }

  /** The block in memory that reaches around `position`. */
  #around(position: number): Block | undefined {
    const holds = (block: Block) => block.count > 0 && block.first <= position && position <= block.last
    const loaded = this.#loaded
    if (loaded !== undefined && loaded.count >= blockEntries && holds(loaded)) return loaded
    return this.#recent.find(holds)
  }

  /** The newest entry's position; undefined where there is none. */
  get last(): number | undefined {
    const newest = this.#recent.at(-1)
    if (newest !== undefined && newest.count > 0) return newest.last
    return firstOf(this.#heads({ reverse: true }), () => true)?.last
  }

  /** When the newest entry was stored; undefined where there is none. */
  get newestAt(): number | undefined {
    const newest = this.#recent.at(-1)
    if (newest !== undefined && newest.count > 0) return newest.times[newest.count - 1]
    return firstOf(this.#heads({ reverse: true }), () => true)?.lastAt
  }

  /** The writes that bring the store up to `durable`; what to do once they are in, and if they never will be. */
  flush(durable: number): IndexFlush | undefined {
    if (!this.#dirty) return undefined
    const writes: Write[] = []
    let later = false
    for (const block of this.#recent) {
      const count = block.lowerBound(durable)
      later ||= count < block.count
      if (count > 0) writes.push(...this.#writesOf(block, count))
    }
    const stored = new Set(this.#recent.filter((block) => block.count >= blockEntries && block.last < durable))
    for (const block of stored) writes.push(this.#filters.ofBlock(block.first, block))
    if (stored.size > 0) writes.push(...this.#groupWrites())
    this.#dirty = later
    const done = () => {
      this.#recent = this.#recent.filter((block) => !stored.has(block))
    }
    const failed = () => {
      this.#dirty = true
    }
    return { writes, done, failed }
  }

  #writesOf(whole: Block, count: number): Write[] {
    const block = Object.assign(new Block(), whole, { count })
    const head = Float64Array.of(block.last, count, block.bytes, block.times[0]!, block.times[count - 1]!)
    return [
      { table: "index", key: this.#key("h", block.first), value: new Uint8Array(head.buffer) },
      { table: "index", key: this.#key("b", block.first), value: block.encode() },
    ]
  }

  /** The filter of the next group, once there are blocks enough in the store that are in none. */
  #groupWrites(): readonly Write[] {
    const memoryFirst = this.#recent[0]?.first ?? Number.POSITIVE_INFINITY
    const group: BlockHead[] = []
    for (const head of this.#heads({ from: this.#filters.grouped + 1, before: memoryFirst })) {
      if (head.last <= this.#filters.grouped) continue
      if (group.push(head) === groupBlocks) break
    }
    if (group.length < groupBlocks) return []
    const range = { first: group[0]!.first, last: group.at(-1)!.last }
    const blocks = group.map(({ first }) => this.#load(first))
    return this.#filters.ofGroup(range, blocks)
  }

  /** Stored heads: from the block that may hold `from` on, or from the newest back. */
  *#heads(range: HeadRange = {}): Iterable<BlockHead> {
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
  #load(first: number): Block {
    if (this.#loaded?.first === first && this.#loaded.count >= blockEntries) return this.#loaded
    const encoded = this.#store.get("index", this.#key("b", first))
    const block = encoded === undefined ? new Block() : Block.decode(encoded)
    this.#loaded = block
    return block
  }

  /** The block of one of the {@link heads}. */
  block(first: number): Block {
    return this.#recent.find((block) => block.count > 0 && block.first === first) ?? this.#load(first)
  }

  /** The blocks that may hold entries at or after `position`, in log order; each is read when it is its turn. */
  *blocks(position = 0): Iterable<Block> {
    let from = position
    // Ends: with the blocks: each look begins behind the last one.
    for (;;) {
      const memory = this.#recent.filter(({ count }) => count > 0)
      const memoryFirst = memory[0]?.first ?? Number.POSITIVE_INFINITY
      const head = from < memoryFirst ? firstOf(this.#heads({ from }), ({ last }) => last >= from) : undefined
      const block =
        head !== undefined && head.first < memoryFirst
          ? this.#load(head.first)
          : memory.find(({ last }) => last >= from)
      if (block === undefined) return
      const { last } = block
      yield block
      from = last + 1
    }
  }

  /** The blocks that may hold an event with this hash (of its id, or {@link hashOfKey}) between two places, newest first. */
  *holding(hash: Hash, from = 0, to = Number.POSITIVE_INFINITY): Iterable<Block> {
    const memory = this.#recent.filter(({ count }) => count > 0)
    for (const block of memory.toReversed()) if (block.first <= to && block.last >= from) yield block
    const end = Math.min(memory[0]?.first ?? Number.POSITIVE_INFINITY, to + 1)
    const groups = [...this.#filters.groups()]
    yield* this.#holding(hash, Math.max(from, (groups[0]?.last ?? -1) + 1), end)
    for (const group of groups) {
      if (group.last < from) return
      if (group.first >= end || !this.#filters.groupMayHold(group, hash)) continue
      yield* this.#holding(hash, Math.max(from, group.first), Math.min(end, group.last + 1))
    }
  }

  *#holding(hash: Hash, from: number, end: number): Iterable<Block> {
    if (from >= end) return
    for (const { first, last } of [...this.#heads({ from, before: end, reverse: true })]) {
      if (last >= from && this.#filters.blockMayHold(first, hash)) yield this.#load(first)
    }
  }

  /** Blocks' heads from the one that may hold `from` on, in log order, the newest ones' as they are in memory. */
  *heads(from = 0): Iterable<BlockHead> {
    const memory = this.#recent.filter(({ count }) => count > 0)
    const memoryFirst = memory[0]?.first ?? Number.POSITIVE_INFINITY
    for (const head of this.#heads({ from })) if (head.first < memoryFirst) yield head
    for (const block of memory) yield headOf(block)
  }

  /** Forgets what lies before `position`; a refusal or a crash changes nothing, or leaves rows for the next time. */
  async trim(wanted: number): Promise<void> {
    // One that is on its way may reach further, and must not be taken back by what is written after it.
    const position = Math.max(wanted, ...this.#trimming)
    this.#trimming.add(position)
    try {
      await this.#trim(position)
    } finally {
      this.#trimming.delete(position)
    }
  }

  async #trim(position: number): Promise<void> {
    const mark: Write = { table: "meta", key: this.#trimKey, value: Buffer.from(formatPosition(position), "latin1") }
    await this.#store.write([mark])
    await this.#store.flushed()
    this.trimmedTo = Math.max(this.trimmedTo, position)
    // What comes from here on begins a block of its own: rows that go are not written again meanwhile.
    this.#recent = this.#recent.filter(({ count, last }) => count > 0 && last >= position)
    const rows: Write[] = []
    for (const head of this.heads()) {
      if (head.last >= position) break
      rows.push({ table: "index", key: this.#key("h", head.first), value: undefined })
      rows.push({ table: "index", key: this.#key("b", head.first), value: undefined })
      rows.push(this.#filters.withoutBlock(head.first))
    }
    rows.push(...this.#filters.without(position))
    while (rows.length > 0) await this.#store.write(rows.splice(0, rowsAtOnce))
  }
}

function headOf(block: Block): BlockHead {
  const { first, last, count, bytes } = block
  return { first, last, count, bytes, firstAt: block.times[0]!, lastAt: block.times[count - 1]! }
}

function decodeHead(first: number, value: Uint8Array): BlockHead {
  const head = new Float64Array(new Uint8Array(value.subarray(0, headBytes)).buffer)
  return { first, last: head[0]!, count: head[1]!, bytes: head[2]!, firstAt: head[3]!, lastAt: head[4]! }
}

function firstOf<T>(items: Iterable<T>, wanted: (item: T) => boolean): T | undefined {
  for (const item of items) if (wanted(item)) return item
  return undefined
}
