import type { Address } from "../../../core/address.ts"
import type { Clock } from "../../../core/clock.ts"
import { StorageFullError } from "../../../core/errors.ts"
import type { Store, Write } from "../store.ts"
import type { IndexEntry } from "./block.ts"
import { GoneCache, type GoneOptions, windowPlacesDefault } from "./gone.ts"
import { hashKey } from "./hash.ts"
import { formatPosition, parsePosition } from "./position.ts"
import type { RecentIds } from "./recent-ids.ts"
import { TopicIndex } from "./topic-index.ts"

const flushAfterEntries = 32_768
const flushAfterMs = 1_000
const topicsMax = 5_000
const rebuildStepBytes = 64 << 20

/** An event that was found in the log: what its index entry is made of. */
export interface FoundEvent extends Omit<IndexEntry, "key"> {
  readonly address: Address
}

/** How far the log is durable, and where its last event ends. */
export interface Reached {
  durable: number
  eventsEnd: number
}

function readPlace(store: Store, key: string): number {
  const stored = store.get("index", key)
  return stored === undefined ? 0 : parsePosition(Buffer.from(stored).toString("latin1"))
}

function placeWrite(key: string, place: number): Write {
  return { table: "index", key, value: Buffer.from(formatPosition(place), "latin1") }
}

/** Up to where the store's index covers the log. */
export function readWatermark(store: Store): number {
  return readPlace(store, "watermark")
}

/** Where the last event ends that the store's index knows of. */
export function readEventsEnd(store: Store): number {
  return readPlace(store, "events-end")
}

function* storedTopics(store: Store): Iterable<Pick<Address, "tenant" | "topic">> {
  // Ends: with the keys: each look begins behind the last one.
  for (let start = "h/"; ; ) {
    const next = store.range("index", { start, end: "h/~", limit: 1 })[Symbol.iterator]().next()
    if (next.done) return
    const [, tenant, topic] = next.value.key.split("/") as [string, string, string]
    yield { tenant, topic }
    start = `h/${tenant}/${topic}/~`
  }
}

/** Whether the store's index knows of a kept event between two places. */
export function isIndexed(store: Store, from: number, to: number): boolean {
  for (const { tenant, topic } of storedTopics(store)) {
    const index = new TopicIndex(store, tenant, topic)
    const kept = Math.max(from, index.trimmedTo)
    for (const block of index.blocks(kept)) {
      const at = block.lowerBound(kept)
      if (at < block.count && block.positions[at]! < to) return true
      if (block.first >= to) break
    }
  }
  return false
}

/**
 * The indexes over the log: each topic's events, and the recent ids. They follow the log in memory at once and in the store
 * a little later; the watermark, stored with them, says from where the log is to be read again after a crash.
 */
export class LogIndex {
  readonly #store: Store
  readonly #clock: Clock
  readonly #ids: RecentIds
  readonly #reached: Reached
  readonly #gone: GoneOptions
  readonly #topics = new Map<string, TopicIndex>()
  readonly #unloaded = new WeakSet<TopicIndex>()
  #unflushed = 0
  #flushing: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #abandoned = false
  #watermark: number
  #failure: unknown

  /** `windowPlaces`: see {@link GoneOptions}. */
  constructor(
    store: Store,
    clock: Clock,
    ids: RecentIds,
    reached: Reached,
    windowPlaces: number = windowPlacesDefault,
  ) {
    this.#store = store
    this.#clock = clock
    this.#ids = ids
    this.#reached = reached
    this.#gone = { windowPlaces, cache: new GoneCache() }
    this.#watermark = readWatermark(store)
    reached.eventsEnd = readPlace(store, "events-end")
  }

  /** The store covers the log up to here. */
  get watermark(): number {
    return this.#watermark
  }

  /** Why the store lags behind, if it does. */
  get failure(): unknown {
    return this.#failure
  }

  topic(tenant: string, topic: string): TopicIndex {
    const name = `${tenant}/${topic}`
    let index = this.#topics.get(name)
    if (index === undefined) {
      index = new TopicIndex(this.#store, tenant, topic, this.#gone)
      this.#topics.set(name, index)
    }
    return index
  }

  /** Whether this is still the topic's index; one that is not in use may be unloaded. */
  holds(index: TopicIndex): boolean {
    return !this.#unloaded.has(index)
  }

  add(index: TopicIndex, entry: IndexEntry): void {
    index.add(entry)
    this.#unflushed++
    if (this.#unflushed >= flushAfterEntries) this.#startFlush()
    else this.flushLater()
  }

  /** The store is brought up to date a little later. */
  flushLater(): void {
    this.#cancelTimer ??= this.#clock.after(flushAfterMs, () => this.#onTimer())
  }

  /** As {@link add}, for a record found in the log after a start. */
  restore(record: FoundEvent): void {
    const { address, position, storedAt, hashLow, hashHigh, bytes } = record
    const key = address.key === undefined ? 0 : hashKey(address.key)
    this.add(this.topic(address.tenant, address.topic), { position, storedAt, hashLow, hashHigh, key, bytes })
  }

  /** Sees what the store has come to hold of retention since the topics were first asked for. */
  async reload(): Promise<void> {
    for (const index of this.#topics.values()) index.reload()
    await this.#mendGone()
  }

  /** Takes out what is left of events that were dropped one by one, where a crash came in between. */
  async #mendGone(): Promise<void> {
    const names = Array.from(this.#store.range("meta", { start: "gone-of/", end: "gone-of/~" }), ({ key }) => key)
    for (const name of names) {
      const [, tenant, topic] = name.split("/") as [string, string, string]
      const index = this.topic(tenant, topic)
      if (index.isToMend) await index.mendGone()
    }
  }

  /** Tells the ids memory again, after a start, what is in the log since the last generation that was put away. */
  restoreIds(end: number, now: number): void {
    const names = this.topics()
    for (let from = this.#ids.rebuildFrom; from < end; ) {
      const to = from + rebuildStepBytes
      // Places that were left out are many, and hold nothing.
      let next = end
      for (const { tenant, topic } of names) {
        next = Math.min(next, this.#restoreIdsOf(this.topic(tenant, topic), from, to))
      }
      this.#ids.turn(now)
      from = Math.max(to, next)
    }
  }

  /** Answers where the topic has more, from `to` on. */
  #restoreIdsOf(index: TopicIndex, from: number, to: number): number {
    for (const block of index.blocks(from)) {
      for (let i = block.lowerBound(from); i < block.count; i++) {
        if (block.positions[i]! >= to) return block.positions[i]!
        this.#ids.add(block.lows[i]!, block.highs[i]!, block.positions[i]!, block.times[i]!)
      }
    }
    return Number.POSITIVE_INFINITY
  }

  /** Every topic that has or had events. */
  topics(): readonly Address[] {
    const names = new Set(this.#topics.keys())
    for (const { tenant, topic } of storedTopics(this.#store)) names.add(`${tenant}/${topic}`)
    return [...names].sort().map((name) => {
      const [tenant, topic] = name.split("/") as [string, string]
      return { tenant, topic }
    })
  }

  /** When the newest event of all topics was stored; 0 where there is none. */
  newestAt(): number {
    return this.topics().reduce((at, { tenant, topic }) => Math.max(at, this.topic(tenant, topic).newestAt ?? 0), 0)
  }

  /** What was added at or after `position` could not be written. */
  rollback(position: number): void {
    for (const index of this.#topics.values()) index.rollback(position)
    this.#ids.rollback(position)
  }

  #onTimer(): void {
    this.#cancelTimer = undefined
    this.#startFlush()
  }

  #startFlush(): void {
    if (this.#abandoned) return
    this.#flushing ??= this.flush()
      .catch((error: unknown) => {
        this.#failure = error
        if (!this.#abandoned) this.#cancelTimer ??= this.#clock.after(flushAfterMs, () => this.#onTimer())
      })
      .finally(() => {
        this.#flushing = undefined
      })
  }

  /** Brings the store up to what is durable now. */
  async flush(): Promise<void> {
    this.#unflushed = 0
    const { durable, eventsEnd } = this.#reached
    const flushes = [...this.#topics.values()].flatMap((index) => index.flush(durable) ?? [])
    const writes: Write[] = flushes.flatMap(({ writes }) => writes)
    writes.push(placeWrite("watermark", durable), placeWrite("events-end", eventsEnd))
    try {
      await this.#store.write(writes)
    } catch (error) {
      for (const { failed } of flushes) failed()
      throw error
    }
    for (const { done } of flushes) done()
    this.#watermark = durable
    this.#failure = undefined
    this.#unload()
  }

  #unload(): void {
    if (this.#topics.size <= topicsMax) return
    for (const [name, index] of this.#topics) {
      if (this.#topics.size <= topicsMax) return
      if (!index.idle) continue
      this.#topics.delete(name)
      this.#unloaded.add(index)
    }
  }

  /** Ends without bringing the store up to date. */
  async abandon(): Promise<void> {
    this.#abandoned = true
    this.#cancelTimer?.()
    await this.#flushing
  }

  async close(): Promise<void> {
    this.#cancelTimer?.()
    await this.#flushing
    await this.flush().catch((error: unknown) => {
      // Without room the next start reads it from the log.
      if (!(error instanceof StorageFullError)) throw error
    })
    this.#cancelTimer?.()
  }
}
