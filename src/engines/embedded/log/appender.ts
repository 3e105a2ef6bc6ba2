import type { Address } from "../../../core/address.ts"
import type { Appended, AppendOptions } from "../../../core/engine.ts"
import { ExpectedLastError, StorageFullError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { Disk } from "../disk.ts"
import { formatCursor } from "./cursor.ts"
import { type Hash, hashInto, hashKey } from "./hash.ts"
import { isDuplicate, lastOf } from "./lookup.ts"
import { type EncodedAddress, encodeAddress, recordBytes } from "./record.ts"
import type { LogState } from "./state.ts"
import type { TopicIndex } from "./topic-index.ts"

const checkDiskMs = 2_000
const targetsMax = 10_000
/** Appends of more than this are written in parts. */
const partBytesMax = 2 << 20

/** What is known of an address that is appended to. */
interface Target {
  readonly encoded: EncodedAddress
  readonly index: TopicIndex
  readonly key: number
}

/** Puts events into the log: duplicates found, conditions checked, order kept. */
export class Appender {
  readonly #state: LogState
  readonly #disk: Disk
  readonly #reserveBytes: number
  readonly #targets = new Map<string, Target>()
  /** By the address object itself: callers keep one for each address. */
  readonly #known = new WeakMap<Address, Target>()
  readonly #hash: Hash = { low: 0, high: 0 }
  /** Appends that had to look something up go one after another. */
  #turn: Promise<unknown> = Promise.resolve()
  #touched = new Set<TopicIndex>()
  #lastStoredAt = 0
  #full = false
  #stopped = false
  #cancelCheck: (() => void) | undefined
  windowMaxMs = 0

  constructor(state: LogState, disk: Disk, reserveBytes: number) {
    this.#state = state
    this.#disk = disk
    this.#reserveBytes = reserveBytes
    this.#lastStoredAt = state.index.newestAt()
  }

  /** Whether appends are refused for want of room. */
  get full(): boolean {
    return this.#full
  }

  async start(): Promise<void> {
    this.#full = (await this.#disk.freeBytes()) < this.#reserveBytes
    if (!this.#stopped)
      this.#cancelCheck = this.#state.clock.after(checkDiskMs, () => void this.start().catch(() => {}))
  }

  stop(): void {
    this.#stopped = true
    this.#cancelCheck?.()
  }

  /** The log is durable further than before: wakes the readers of topics that have more. */
  onDurable(): void {
    const { durable } = this.#state.writer
    for (const index of this.#touched) {
      index.waiters.wake()
      if ((index.last ?? 0) < durable) this.#touched.delete(index)
    }
  }

  append(address: Address, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const { dedupeWindowMs = 0, expectedLast } = options
    if (dedupeWindowMs > this.windowMaxMs) this.windowMaxMs = dedupeWindowMs
    if (this.#full) return Promise.reject(new StorageFullError("the disk is nearly full"))
    const target = this.#target(address)
    if (expectedLast === undefined && (dedupeWindowMs === 0 || this.#allNew(address, events))) {
      return this.#put(address, target, events, options)
    }
    const turn = this.#turn.then(() => this.#appendChecked(address, target, events, options))
    this.#turn = turn.catch(() => {})
    return turn.then(({ appended }) => appended)
  }

  #target(address: Address): Target {
    const known = this.#known.get(address)
    if (known !== undefined && this.#state.index.holds(known.index)) return known
    const target = this.#findTarget(address)
    this.#known.set(address, target)
    return target
  }

  #findTarget(address: Address): Target {
    const name = `${address.tenant}/${address.topic}:${address.key ?? ""}`
    let target = this.#targets.get(name)
    // The index may have been unloaded since: then it is another object now.
    const index = this.#state.index.topic(address.tenant, address.topic)
    if (target === undefined || target.index !== index) {
      const key = address.key === undefined ? 0 : hashKey(address.key)
      target = { encoded: encodeAddress(address), index, key }
      if (this.#targets.size >= targetsMax) this.#targets.clear()
      this.#targets.set(name, target)
    }
    return target
  }

  /** Leaves the last event's hash behind. */
  #allNew(address: Address, events: readonly Event[]): boolean {
    for (const event of events) if (!this.#isNew(address, event)) return false
    return true
  }

  #isNew(address: Address, event: Event): boolean {
    hashInto(this.#hash, address.tenant, address.topic, event.source, event.id)
    return this.#state.ids.isNew(this.#hash.low, this.#hash.high)
  }

  /** Answers inside an object, so that whoever takes the next turn need not wait for this one's disk. */
  async #appendChecked(address: Address, target: Target, events: readonly Event[], options: AppendOptions) {
    const { dedupeWindowMs = 0, expectedLast } = options
    for (;;) {
      const seen = target.index.last ?? -1
      const known = dedupeWindowMs === 0 ? new Map() : await this.#duplicates(address, target, events, dedupeWindowMs)
      const conditional = expectedLast !== undefined && known.size < events.length
      const last = conditional ? await lastOf(this.#state, address) : undefined
      // Other appends had their turn meanwhile: what they put may answer both questions anew.
      if (conditional && target.index.hasSince(seen, target.key)) continue
      if (dedupeWindowMs > 0 && this.#hasTwinSince(address, events, seen)) continue
      const cursor = last === undefined ? undefined : formatCursor(last)
      if (conditional && (cursor ?? "none") !== expectedLast) {
        if (last === undefined || (await this.#state.writer.isKept(last))) throw new ExpectedLastError(cursor)
        continue
      }
      return { appended: this.#put(address, target, events, options, known) }
    }
  }

  /** Where the events are that were stored within the window, by their place in the call. */
  async #duplicates(
    address: Address,
    target: Target,
    events: readonly Event[],
    windowMs: number,
  ): Promise<Map<number, number>> {
    const known = new Map<number, number>()
    for (const [i, event] of events.entries()) {
      if (this.#isNew(address, event)) continue
      const position = await isDuplicate(
        this.#state,
        target.index,
        { ...this.#hash },
        event,
        this.#state.clock.now() - windowMs,
      )
      if (position !== undefined) known.set(i, position)
    }
    return known
  }

  /** Whether an event with the hash of one of these was put after `position`. */
  #hasTwinSince(address: Address, events: readonly Event[], position: number): boolean {
    return events.some((event) => {
      if (this.#isNew(address, event)) return false
      const { positions } = this.#state.ids.find(this.#hash.low, this.#hash.high)
      return positions.some((at) => at > position)
    })
  }

  /** Without an await before the last event is in its place, so that what was checked still holds. */
  #put(
    address: Address,
    target: Target,
    events: readonly Event[],
    options: AppendOptions,
    known?: ReadonlyMap<number, number>,
  ): Promise<readonly Appended[]> {
    const { writer, ids, clock } = this.#state
    const { dedupeWindowMs = 0, storedAt = clock.now() } = options
    const addressBytes = target.encoded.bytes.length
    let bytes = 0
    for (const event of events) bytes += recordBytes(addressBytes, event)
    if (bytes > partBytesMax && events.length > 1) return this.#putParts(address, target, events, options, known)
    try {
      writer.reserve(bytes)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#lastStoredAt = Math.max(this.#lastStoredAt, storedAt)
    ids.turn(this.#lastStoredAt)
    const appended: Appended[] = []
    let wait: number | undefined
    for (let i = 0; i < events.length; i++) {
      const position = known?.get(i) ?? this.#repeated(address, events, i, appended, dedupeWindowMs)
      if (position !== undefined) {
        wait = Math.max(wait ?? 0, position)
        appended.push({ cursor: formatCursor(position), duplicate: true })
      } else {
        appended.push({
          cursor: formatCursor(this.#putOne(address, target, events[i]!, dedupeWindowMs)),
          duplicate: false,
        })
      }
    }
    if (known === undefined || known.size < events.length) return writer.commit().then(() => appended)
    return writer.settled(wait ?? 0).then(() => appended)
  }

  #putOne(address: Address, target: Target, event: Event, dedupeWindowMs: number): number {
    const { writer, ids, index } = this.#state
    const hash = this.#hash
    hashInto(hash, address.tenant, address.topic, event.source, event.id)
    const storedAt = this.#lastStoredAt
    const bytes = recordBytes(target.encoded.bytes.length, event)
    const position = writer.put(event, target.encoded, storedAt, hash.low, hash.high)
    const entry = { position, storedAt, hashLow: hash.low, hashHigh: hash.high, key: target.key, bytes }
    index.add(target.index, entry)
    if (dedupeWindowMs > 0) ids.add(hash.low, hash.high, position, storedAt)
    this.#touched.add(target.index)
    return position
  }

  /** The position of an equal event earlier in the same call. */
  #repeated(
    address: Address,
    events: readonly Event[],
    i: number,
    appended: readonly Appended[],
    dedupeWindowMs: number,
  ): number | undefined {
    if (i === 0 || dedupeWindowMs === 0 || this.#isNew(address, events[i]!)) return undefined
    const { id, source } = events[i]!
    for (let earlier = 0; earlier < i; earlier++) {
      const other = events[earlier]!
      if (other.id === id && other.source === source) return Number.parseInt(appended[earlier]!.cursor, 36)
    }
    return undefined
  }

  async #putParts(
    address: Address,
    target: Target,
    events: readonly Event[],
    options: AppendOptions,
    known?: ReadonlyMap<number, number>,
  ): Promise<readonly Appended[]> {
    const middle = events.length >> 1
    const half = (from: number, to: number) => {
      const part =
        known && new Map([...known].flatMap(([i, at]) => (i >= from && i < to ? [[i - from, at] as const] : [])))
      return this.#put(address, target, events.slice(from, to), options, part)
    }
    const first = await half(0, middle)
    return [...first, ...(await half(middle, events.length))]
  }
}
