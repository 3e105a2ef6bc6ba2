import type { Address } from "../../../core/address.ts"
import { sleep } from "../../../core/clock.ts"
import { ExpectedLastError, OverloadError, StorageFullError, UnavailableError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { Figures } from "../../../core/figures.ts"
import type { Appended, AppendOptions } from "../../../core/log.ts"
import { SerialByKey } from "../../../core/serial.ts"
import { type Hash, hashInto, hashKey } from "../../parts/index/hash.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import { Repeats } from "../../parts/repeats.ts"
import type { Disk } from "../disk.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import { isDuplicate, lastOf } from "./lookup.ts"
import { type EncodedAddress, encodeAddress, recordBytes, recordBytesMax } from "./record.ts"
import type { LogState } from "./state.ts"

const checkDiskMs = 2_000
const targetsMax = 10_000
const triesMax = 10
/** The turn of copies; no topic is named so. */
const copies = ""
/** Appends of more than this are written in parts. */
const partBytesMax = 2 << 20

/** Why nothing is taken for now. */
export const diskFull = "the disk is nearly full: publishing is refused"

/** Why nothing is taken once the log's files were not where they belong. */
export const logGone =
  "the files of log/ were removed or replaced while the hub ran, and what is published now would be lost: stop the hub, bring back log/ where it is not there, and start it again"

/** What is known of an address that is appended to. */
interface Target {
  readonly topic: string
  readonly encoded: EncodedAddress
  readonly index: TopicIndex
  readonly key: number
}

/** Puts events into the log: duplicates found, conditions checked, order kept. */
export class Appender {
  readonly #state: LogState
  readonly #disk: Disk
  readonly #reserveBytes: number
  readonly #onGone: (line: string) => void
  readonly #targets = new Map<string, Target>()
  /** By the address object itself: callers keep one for each address. */
  readonly #known = new WeakMap<Address, Target>()
  readonly #hash: Hash = { low: 0, high: 0 }
  /** Appends that must look something up first, or are written in parts: what comes after them on their topic waits. */
  readonly #serial = new SerialByKey()
  /** How often a failed write took back what had been put. */
  #discards = 0
  #touched = new Set<TopicIndex>()
  #lastStoredAt = 0
  #full = false
  #gone = false
  #blind: string | undefined
  #freeBytes: number | undefined
  #stopped = false
  #cancelCheck: (() => void) | undefined
  windowMaxMs = 0

  /** `onGone` is told once when the log is not there any more. */
  constructor(state: LogState, disk: Disk, reserveBytes: number, onGone: (line: string) => void) {
    this.#onGone = onGone
    this.#state = state
    this.#disk = disk
    this.#reserveBytes = reserveBytes
    this.#lastStoredAt = state.index.newestAt()
  }

  /** Whether appends are refused for want of room. */
  get full(): boolean {
    return this.#full
  }

  /** What is free on the disk, when that was last to be told, and what of it is not for events. */
  get room(): Pick<Figures, "disk_free_bytes" | "disk_reserve_bytes"> {
    const free = this.#freeBytes
    return { ...(free !== undefined && { disk_free_bytes: free }), disk_reserve_bytes: this.#reserveBytes }
  }

  /** Why it is not known at present whether the disk has room. */
  get blind(): string | undefined {
    return this.#blind
  }

  /** Whether appends are refused, up to the next start, because the file that they would go to was not in the directory. */
  get gone(): boolean {
    return this.#gone
  }

  /**
   * Looks how much room the disk has, and whether the log is still there, now and ever again; where it cannot be told, what was
   * known last holds.
   */
  async start(): Promise<void> {
    try {
      await this.#look()
      this.#freeBytes = await this.#disk.freeBytes()
      this.#full = this.#freeBytes < this.#reserveBytes
      this.#blind = undefined
    } catch (error) {
      this.#blind = error instanceof Error ? error.message : String(error)
    }
    if (!this.#stopped) this.#cancelCheck = this.#state.clock.after(checkDiskMs, () => void this.start())
  }

  async #look(): Promise<void> {
    const isGone = await this.#state.segments.isGone()
    if (!isGone || this.#gone) return
    // Whatever is put there later: this process has not read it.
    this.#gone = true
    this.#onGone(logGone)
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

  /** What had been put last could not be written, and is gone. */
  onDiscard(): void {
    this.#discards++
  }

  append(address: Address, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const { dedupeWindowMs = 0, expectedLast, storedAt } = options
    if (dedupeWindowMs > this.windowMaxMs) this.windowMaxMs = dedupeWindowMs
    if (this.#gone) return Promise.reject(new UnavailableError(logGone))
    if (this.#full) return Promise.reject(new StorageFullError("the disk is nearly full"))
    const target = this.#target(address)
    const waits =
      expectedLast !== undefined ||
      this.#serial.isBusy(target.topic) ||
      (storedAt !== undefined && this.#serial.isBusy(copies))
    if (!waits && (dedupeWindowMs === 0 || this.#allNew(address, events)) && !this.#isLarge(target, events)) {
      return this.#put(new Putting(address, events, options), events.length)
    }
    const take = () => this.#serial.run(target.topic, () => this.#appendInTurn(new Putting(address, events, options)))
    // Copies keep the order of calls beyond their topic.
    const turn = storedAt === undefined ? take() : this.#serial.run(copies, take)
    return turn.then(({ appended }) => appended)
  }

  #isLarge(target: Target, events: readonly Event[]): boolean {
    return events.length > 1 && this.#partEnd(target, events, 0) < events.length
  }

  /** How many of the events, from the first `from` on, are written as one. */
  #partEnd({ encoded }: Target, events: readonly Event[], from: number): number {
    let bytes = 0
    for (let i = from; i < events.length; i++) {
      bytes += recordBytes(encoded.bytes.length, events[i]!)
      if (bytes > partBytesMax && i > from) return i
    }
    return events.length
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
      target = { topic: `${address.tenant}/${address.topic}`, encoded: encodeAddress(address), index, key }
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

  /**
   * While this goes on, nothing else is put on the topic: what was looked up holds, unless a failed write took it back.
   * Answers inside an object, so that whoever takes the next turn need not wait for this one's disk.
   */
  async #appendInTurn(putting: Putting): Promise<{ readonly appended: Promise<readonly Appended[]> }> {
    const { expectedLast } = putting.options
    if (expectedLast !== undefined && expectedLast !== "none") parseCursor(expectedLast)
    for (let tries = 0; tries < triesMax; tries++) {
      const discards = this.#discards
      putting.known = await this.#duplicates(putting)
      const holds = await this.#meetsCondition(putting)
      if (holds && discards === this.#discards) return this.#putAll(putting)
      await sleep(this.#state.clock, tries)
    }
    throw new OverloadError(1_000, "what is on the topic cannot be told while writing to the disk fails")
  }

  /** False where what decides it was taken back meanwhile. Throws ExpectedLastError. */
  async #meetsCondition({ address, events, known, options: { expectedLast } }: Putting): Promise<boolean> {
    if (expectedLast === undefined || known.size === events.length) return true
    const last = await lastOf(this.#state, address)
    const cursor = last === undefined ? undefined : formatCursor(last)
    if ((cursor ?? "none") === expectedLast) return true
    if (last !== undefined && !(await this.#state.writer.isKept(last))) return false
    throw new ExpectedLastError(cursor)
  }

  /** Where the events are that were stored within the window, by their place in the call. */
  async #duplicates({ address, events, options: { dedupeWindowMs = 0 } }: Putting): Promise<Map<number, number>> {
    const known = new Map<number, number>()
    if (dedupeWindowMs === 0) return known
    const since = this.#state.clock.now() - dedupeWindowMs
    for (const [i, event] of events.entries()) {
      if (this.#isNew(address, event)) continue
      const position = await isDuplicate(this.#state, this.#target(address).index, { ...this.#hash }, event, since)
      if (position !== undefined) known.set(i, position)
    }
    return known
  }

  /** In parts where it is large: each when the one before it is durable, the last one in this turn's answer. */
  async #putAll(putting: Putting): Promise<{ readonly appended: Promise<readonly Appended[]> }> {
    const { address, events, appended } = putting
    const next = () => this.#partEnd(this.#target(address), events, appended.length)
    while (next() < events.length) await this.#put(putting, next())
    return { appended: this.#put(putting, events.length) }
  }

  /**
   * Puts the call's events up to the `end`th. Without an await before the last of them is in its place, so that what was
   * checked still holds.
   */
  #put(putting: Putting, end: number): Promise<readonly Appended[]> {
    const { writer, ids, clock } = this.#state
    const { address, events, appended } = putting
    const target = this.#target(address)
    let bytes = 0
    let largest = 0
    for (let i = appended.length; i < end; i++) {
      const size = recordBytes(target.encoded.bytes.length, events[i]!)
      bytes += size
      if (size > largest) largest = size
    }
    try {
      if (largest > recordBytesMax)
        throw new RangeError(`an event takes ${largest} bytes, a record has ${recordBytesMax} at most`)
      writer.reserve(bytes)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#lastStoredAt = Math.max(this.#lastStoredAt, putting.options.storedAt ?? clock.now())
    ids.turn(this.#lastStoredAt)
    let wait = 0
    let stored = false
    while (appended.length < end) {
      const position = putting.known.get(appended.length) ?? this.#repeated(putting, appended.length)
      stored ||= position === undefined
      if (position !== undefined) wait = Math.max(wait, position)
      appended.push({
        cursor: formatCursor(position ?? this.#putOne(putting, target, events[appended.length]!)),
        duplicate: position !== undefined,
      })
    }
    const durable = stored ? writer.commit() : writer.settled(wait)
    return durable.then(
      () => appended,
      (error) => this.#failed(error),
    )
  }

  #failed(error: unknown): never {
    if (error instanceof StorageFullError) this.#full = true
    if (error instanceof UnavailableError) void this.#look().catch(() => {}) // The next look is soon.
    throw error
  }

  #putOne({ address, options: { dedupeWindowMs = 0 } }: Putting, target: Target, event: Event): number {
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
  #repeated({ address, events, options, appended, repeats }: Putting, i: number): number | undefined {
    if (i === 0 || !options.dedupeWindowMs || this.#isNew(address, events[i]!)) return undefined
    const earlier = repeats.before(i)
    return earlier === undefined ? undefined : parseCursor(appended[earlier]!.cursor)
  }
}

const nothing: ReadonlyMap<number, number> = new Map()

/** One call, and how far it has come. */
class Putting {
  readonly address: Address
  readonly events: readonly Event[]
  readonly options: AppendOptions
  readonly appended: Appended[] = []
  readonly repeats: Repeats
  /** Where events of it are that were there before, by their place in the call. */
  known = nothing

  constructor(address: Address, events: readonly Event[], options: AppendOptions) {
    this.address = address
    this.events = events
    this.options = options
    this.repeats = new Repeats(events)
  }
}
