import { Serial } from "../../../core/serial.ts"
import type { Store, Write } from "../store.ts"
import { Block, blockEntries, type IndexEntry } from "./block.ts"
import { GoneCache, type GoneOptions, GonePlaces, type Ranges, windowPlacesDefault, withPlaces } from "./gone.ts"
import type { Hash } from "./hash.ts"
import { formatPosition, parsePosition } from "./position.ts"
import { type BlockHead, StoredBlocks } from "./stored-blocks.ts"
import { Waiters } from "./waiters.ts"

/** Rows deleted in one turn: a few milliseconds' worth. */
const rowsAtOnce = 600
/** Blocks written anew in one turn. */
const blocksAtOnce = 16

/** One bringing up to date of the store. */
export interface IndexFlush {
  readonly writes: readonly Write[]
  readonly done: () => void
  readonly failed: () => void
}

/** An event that is there. */
export interface Present {
  readonly position: number
  readonly bytes: number
}

/**
 * The events of one topic in log order: closed blocks in the store, the newest block in memory. The newest block is stored
 * too, again and again as it grows, so that only what came after the last flush has to be found again in the log.
 */
export class TopicIndex {
  readonly tenant: string
  readonly topic: string
  readonly #store: Store
  readonly #stored: StoredBlocks
  /** Blocks that the store does not hold as they are now, oldest first; the last one is the open one. */
  #recent: Block[] = []
  #dirty = false
  /** Events before this position are gone. */
  trimmedTo: number
  /** Where trims that are being written reach. */
  readonly #trimming = new Set<number>()
  /** Which of those behind it are gone as well. */
  readonly gone: GonePlaces
  /** The version of them that all blocks are without. */
  #appliedGone: number
  #isAppliedStored = true
  /** Drops are done one after the other; so many are under way. */
  readonly #drops = new Serial()
  #dropping = 0
  /** Readers at the end of the topic. */
  readonly waiters = new Waiters()

  constructor(store: Store, tenant: string, topic: string, gone?: GoneOptions) {
    this.#store = store
    this.tenant = tenant
    this.topic = topic
    this.#stored = new StoredBlocks(store, tenant, topic)
    this.trimmedTo = this.#storedTrim()
    this.gone = new GonePlaces(
      store,
      `${tenant}/${topic}`,
      gone ?? { windowPlaces: windowPlacesDefault, cache: new GoneCache() },
    )
    this.#appliedGone = this.#storedApplied()
    const newest = firstOf(this.#stored.heads({ reverse: true }), () => true)
    if (newest !== undefined && newest.count < blockEntries) this.#recent = [this.#stored.load(newest.first)]
  }

  #storedApplied(): number {
    const stored = this.#store.get("index", this.#appliedKey)
    return stored === undefined ? 0 : Number(Buffer.from(stored).toString("latin1"))
  }

  #storedTrim(): number {
    const trimmed = this.#store.get("meta", this.#trimKey)
    return trimmed === undefined ? 0 : parsePosition(Buffer.from(trimmed).toString("latin1"))
  }

  /** Sees what the store has come to hold of retention since. */
  reload(): void {
    this.trimmedTo = this.#storedTrim()
    this.gone.reload()
    this.#recent = this.#recent.filter(({ count, last }) => count > 0 && last >= this.trimmedTo)
  }

  get #trimKey(): string {
    return `trim/${this.tenant}/${this.topic}`
  }

  get #appliedKey(): string {
    return `a/${this.tenant}/${this.topic}`
  }

  add(entry: IndexEntry): void {
    let open = this.#recent.at(-1)
    if (open !== undefined && open.count > 0 && entry.position <= open.last) return
    if (this.gone.has(entry.position)) return
    if (open === undefined || open.isFull) {
      open = new Block()
      this.#recent.push(open)
    }
    open.add(entry)
    this.#dirty = true
  }

  /** Takes back what was added at or after `position`. */
  rollback(position: number): void {
    for (const block of this.#recent) block.count = block.lowerBound(position)
    // One whose entries are all gone may be stored with them.
    this.#recent = this.#recent.filter(({ count, origin }) => count > 0 || origin < position)
  }

  /** Whether everything is in the store and nobody waits: it can be made again from there. */
  get idle(): boolean {
    return !this.#dirty && !this.waiters.any && this.#dropping === 0
  }

  /** Whether retention has dropped what the topic had at this position, if it had something there. */
  isDropped(position: number): boolean {
    return position < this.trimmedTo || this.gone.has(position)
  }

  /** Whether an event is at exactly this position. */
  has(position: number): boolean {
    return this.sizeAt(position) !== undefined
  }

  /** How many bytes the event at exactly this position takes. */
  sizeAt(position: number): number | undefined {
    if (this.gone.has(position)) return undefined
    const block = this.#around(position) ?? firstOf(this.blocks(position), () => true)
    if (block === undefined) return undefined
    const at = block.lowerBound(position)
    return at < block.count && block.positions[at] === position ? block.sizes[at] : undefined
  }

  /** The block in memory that reaches around `position`. */
  #around(position: number): Block | undefined {
    const holds = (block: Block) => block.count > 0 && block.first <= position && position <= block.last
    const { loaded } = this.#stored
    if (loaded !== undefined && holds(loaded)) return loaded
    return this.#recent.find(holds)
  }

  /** From where on blocks are as they are in memory. */
  get #memoryFirst(): number {
    return this.#recent[0]?.origin ?? Number.POSITIVE_INFINITY
  }

  #newest(): BlockHead | undefined {
    const newest = this.#recent.findLast(({ count }) => count > 0)
    if (newest !== undefined) return headOf(newest)
    return firstOf(this.#stored.heads({ before: this.#memoryFirst, reverse: true }), () => true)
  }

  /** The newest entry's position; undefined where there is none. */
  get last(): number | undefined {
    const newest = this.#recent.at(-1)
    return newest !== undefined && newest.count > 0 ? newest.last : this.#newest()?.last
  }

  /** When the newest entry was stored; undefined where there is none. */
  get newestAt(): number | undefined {
    return this.#newest()?.lastAt
  }

  /** The writes that bring the store up to `durable`; what to do once they are in, and if they never will be. */
  flush(durable: number): IndexFlush | undefined {
    if (!this.#dirty) return undefined
    const writes: Write[] = []
    let later = false
    for (const block of this.#recent) {
      const count = block.lowerBound(durable)
      later ||= count < block.count
      if (count > 0) writes.push(...this.#stored.writesOf(block, count))
      else if (block.origin < durable) writes.push(...this.#stored.without(block.origin))
    }
    const emptied = new Set(this.#recent.filter(({ count, origin }) => count === 0 && origin < durable))
    const stored = new Set(this.#recent.filter((block) => block.count > 0 && block.isFull && block.last < durable))
    for (const block of stored) writes.push(this.#stored.filters.ofBlock(block.origin, block))
    if (stored.size > 0) writes.push(...this.#stored.groupWrites(this.#memoryFirst))
    writes.push(...this.#appliedWrites())
    this.#dirty = later
    const done = () => {
      this.#recent = this.#recent.filter((block) => !stored.has(block) && !(emptied.has(block) && block.count === 0))
    }
    const failed = () => {
      this.#dirty = true
      this.#isAppliedStored = false
    }
    return { writes, done, failed }
  }

  #appliedWrites(): readonly Write[] {
    if (this.#isAppliedStored) return []
    this.#isAppliedStored = true
    return [{ table: "index", key: this.#appliedKey, value: Buffer.from(String(this.#appliedGone), "latin1") }]
  }

  /** The block of one of the {@link heads}. */
  block(first: number): Block {
    return this.#recent.find((block) => block.count > 0 && block.origin === first) ?? this.#stored.load(first)
  }

  /** The blocks that may hold entries at or after `position`, in log order; each is read when it is its turn. */
  *blocks(position = 0): Iterable<Block> {
    let from = position
    // Ends: with the blocks: each look begins behind the last one.
    for (;;) {
      const memory = this.#recent.filter(({ count }) => count > 0)
      const memoryFirst = this.#memoryFirst
      const head = from < memoryFirst ? firstOf(this.#stored.heads({ from }), ({ last }) => last >= from) : undefined
      const block =
        head !== undefined && head.first < memoryFirst
          ? this.#stored.load(head.first)
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
    const end = Math.min(this.#memoryFirst, to + 1)
    const groups = [...this.#stored.filters.groups()]
    yield* this.#stored.holding(hash, Math.max(from, (groups[0]?.last ?? -1) + 1), end)
    for (const group of groups) {
      if (group.last < from) return
      if (group.first >= end || !this.#stored.filters.groupMayHold(group, hash)) continue
      yield* this.#stored.holding(hash, Math.max(from, group.first), Math.min(end, group.last + 1))
    }
  }

  /** Blocks' heads from the one that may hold `from` on, in log order, the newest ones' as they are in memory. */
  *heads(from = 0): Iterable<BlockHead> {
    const memory = this.#recent.filter(({ count }) => count > 0)
    const memoryFirst = this.#memoryFirst
    for (const head of this.#stored.heads({ from })) if (head.first < memoryFirst) yield head
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
    // What comes from here on begins a block of its own: rows that go are not written again meanwhile. One whose entries are all
    // gone may be stored with them.
    this.#recent = this.#recent.filter(({ count, last }) => count === 0 || last >= position)
    const rows: Write[] = []
    for (const head of this.heads()) {
      if (head.last >= position) break
      rows.push(...this.#stored.without(head.first))
    }
    rows.push(...this.#stored.filters.without(position))
    while (rows.length > 0) await this.#store.write(rows.splice(0, rowsAtOnce))
    const windows = [...this.gone.without(position)]
    while (windows.length > 0) await this.#store.write(windows.splice(0, rowsAtOnce))
  }

  /** Those of the places, in order, that hold events which are there. */
  present(places: readonly number[]): readonly Present[] {
    const sorted = [...new Set(places)].sort((a, b) => a - b)
    return sorted.flatMap((position) => {
      const bytes = position < this.trimmedTo ? undefined : this.sizeAt(position)
      return bytes === undefined ? [] : [{ position, bytes }]
    })
  }

  /** The windows that change when events go that are {@link present}, as they are then. */
  goneWith(present: readonly Present[]): ReadonlyMap<number, Ranges> {
    const rows = new Map<number, Ranges>()
    for (const [window, of] of Map.groupBy(present, ({ position }) => this.gone.windowOf(position))) {
      const gone = of.map(({ position }) => position)
      const [going, kept] = [new Set(gone), [] as number[]]
      const end = this.gone.startOf(window + 1)
      for (const block of this.blocks(this.gone.startOf(window))) {
        if (block.first >= end) break
        for (let i = block.lowerBound(this.gone.startOf(window)); i < block.count && block.positions[i]! < end; i++) {
          if (!going.has(block.positions[i]!)) kept.push(block.positions[i]!)
        }
      }
      rows.set(window, withPlaces(this.gone.in(window), gone, kept))
    }
    return rows
  }

  /** Forgets events wherever they are; a refusal or a crash changes nothing, or leaves entries to {@link mendGone}. */
  drop(places: readonly number[]): Promise<readonly Present[]> {
    return this.#inTurn(async () => {
      const going = this.present(places)
      if (going.length > 0) await this.#takeGone(this.goneWith(going), this.gone.version + 1)
      return going
    })
  }

  /** As {@link drop}, of what was found elsewhere to be gone: whole windows, and their version. */
  takeGone(rows: ReadonlyMap<number, Ranges>, version: number): Promise<void> {
    return this.#inTurn(async () => {
      if (version > this.gone.version) await this.#takeGone(rows, version)
    })
  }

  /** Whether entries may be left of what is gone. */
  get isToMend(): boolean {
    return this.#appliedGone !== this.gone.version
  }

  /** Takes out the entries that a crash has left. */
  mendGone(): Promise<void> {
    return this.#inTurn(() => this.#withoutGone(this.gone.windows()))
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#dropping++
    try {
      return await this.#drops.run(work)
    } finally {
      this.#dropping--
    }
  }

  async #takeGone(rows: ReadonlyMap<number, Ranges>, version: number): Promise<void> {
    const isWhole = !this.isToMend
    await this.#store.write(this.gone.writes(rows, version))
    await this.#store.flushed()
    this.gone.written(rows, version)
    await this.#withoutGone(isWhole ? rows.keys() : this.gone.windows())
  }

  async #withoutGone(windows: Iterable<number>): Promise<void> {
    const { version } = this.gone
    const isGone = (position: number) => this.gone.has(position)
    // Another block than before: what is being stored of it is stored once more.
    this.#recent = this.#recent.map((block) => block.without(isGone))
    this.#dirty = true
    let rows: Write[] = []
    for (const origin of this.#originsIn(windows, this.#memoryFirst)) {
      const block = this.#stored.load(origin)
      const left = block.without(isGone)
      if (left === block) continue
      rows.push(...(left.count === 0 ? this.#stored.without(origin) : this.#stored.writesOf(left)))
      if (rows.length < blocksAtOnce) continue
      await this.#store.write(rows)
      rows = []
    }
    if (rows.length > 0) await this.#store.write(rows)
    this.#stored.changed()
    this.#appliedGone = version
    this.#isAppliedStored = false
    this.#dirty = true
  }

  /** Stored blocks that reach into the windows, by their origins. */
  #originsIn(windows: Iterable<number>, before: number): ReadonlySet<number> {
    const origins = new Set<number>()
    for (const window of windows) {
      const end = this.gone.startOf(window + 1)
      for (const head of this.#stored.heads({ from: this.gone.startOf(window), before })) {
        if (head.first >= end) break
        origins.add(head.first)
      }
    }
    return origins
  }
}

function headOf(block: Block): BlockHead {
  const { origin, last, count, bytes } = block
  return { first: origin, last, count, bytes, firstAt: block.times[0]!, lastAt: block.times[count - 1]! }
}

function firstOf<T>(items: Iterable<T>, wanted: (item: T) => boolean): T | undefined {
  for (const item of items) if (wanted(item)) return item
  return undefined
}
