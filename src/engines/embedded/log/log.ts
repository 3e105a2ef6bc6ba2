import type { Address } from "../../../core/address.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { Event } from "../../../core/event.ts"
import type { Figures } from "../../../core/figures.ts"
import type {
  Appended,
  AppendOptions,
  Batch,
  EventLog,
  GetOptions,
  Needed,
  ReadOptions,
  StoredEvent,
  TopicStats,
  Trimmable,
} from "../../../core/log.ts"
import type { RetentionLimits } from "../../../core/resources.ts"
import type { Condition } from "../../../core/troubles.ts"
import { neededFrom, type Over, statsOf, trimmableOf, trimPoint } from "../../parts/index/kept.ts"
import type { JournalStore } from "../../parts/journal/journal-store.ts"
import { type Appender, diskFull, logGone } from "./appender.ts"
import { cursorBefore, formatCursor, parseCursor } from "./cursor.ts"
import { damageLine } from "./health.ts"
import { dropped, find, lastKept, unreadable } from "./lookup.ts"
import { type LogOptions, type OpenedLog, openLog } from "./open.ts"
import { atTime, readLog } from "./read.ts"
import { Reclaimer } from "./reclaim.ts"
import { addBytes, countBytes } from "./segment-bytes.ts"
import type { LogState } from "./state.ts"

/** The event log on segment files, with its indexes and the hub's other tables in the store. */
export class SegmentLog implements EventLog {
  readonly partitions = 1
  /** The tables of the hub: every change of them is in the log before it is there. */
  readonly tables: JournalStore
  readonly #opened: OpenedLog
  readonly #state: LogState
  readonly #appender: Appender
  readonly #reclaimer: Reclaimer

  private constructor(opened: OpenedLog) {
    const { state, appender, tables } = opened
    this.#opened = opened
    this.#state = state
    this.#appender = appender
    this.tables = tables
    this.#reclaimer = new Reclaimer(state)
    state.journal.onPurged = (from, to) => void this.#reclaimer.run(from, to).catch(() => {}) // Tried again.
  }

  /** Throws LogRefusedError where the files are not to be read, StorageError, StorageFullError. */
  static async open(options: LogOptions): Promise<SegmentLog> {
    return new SegmentLog(await openLog(options))
  }

  /** Whether nothing is left of what the tables held at first; told by the start that finds it. */
  get isBeginningLost(): boolean {
    return this.#opened.isBeginningLost
  }

  /** Whether changes of the tables are lost, and they have not been told anew since. */
  get isTorn(): boolean {
    return this.#opened.isTorn
  }

  /** What follows from it is all there: until this was called the next start begins anew. */
  opened(): Promise<void> {
    return this.#opened.opened()
  }

  /** Every topic that has or had events. */
  topics(): readonly Address[] {
    return this.#state.index.topics()
  }

  append(address: Address, events: readonly Event[], options: AppendOptions = {}): Promise<readonly Appended[]> {
    return this.#appender.append(address, events, options)
  }

  read(options: ReadOptions): AsyncIterable<Batch> {
    return readLog(this.#state, options)
  }

  async get(cursor: Cursor, { of }: GetOptions = {}): Promise<StoredEvent | undefined> {
    const position = parseCursor(cursor)
    return (await this.#at(position)) ?? (of && position > 0 ? dropped(this.#state, position, of) : undefined)
  }

  async #at(position: number): Promise<StoredEvent | undefined> {
    const { reader, writer } = this.#state
    if (position >= writer.durable) return undefined
    const record = await reader.record(position, writer.durable)
    if (record !== undefined) {
      const index = this.#state.index.topic(record.address.tenant, record.address.topic)
      return position >= index.trimmedTo && index.has(position) ? record : undefined
    }
    if (this.#state.health.covers(position)) await reader.record(position, writer.durable, true)
    return unreadable(this.#state, position)
  }

  find(address: Address, identity: { readonly source: string; readonly id: string }): Promise<StoredEvent | undefined> {
    return find(this.#state, address, identity)
  }

  partitionOf(): number {
    return 0
  }

  /** Behind the last event: what the hub itself has written since is no event. */
  async head(): Promise<Cursor> {
    return cursorBefore(this.#state.reached.eventsEnd)
  }

  oldest(): Cursor {
    return formatCursor(0)
  }

  async at(time: number): Promise<Cursor> {
    return cursorBefore(atTime(this.#state, time, {}))
  }

  /** Only what is durable: after a crash another event could be at a cursor that was named too early. */
  async last(address: Address): Promise<Cursor | undefined> {
    const position = await lastKept(this.#state, address)
    return position === undefined ? undefined : formatCursor(position)
  }

  compare(a: Cursor, b: Cursor): number {
    return parseCursor(a) - parseCursor(b)
  }

  async stats(address: Address, after?: Cursor, until?: Cursor): Promise<TopicStats> {
    const from = after === undefined ? 0 : parseCursor(after) + 1
    const end = until === undefined ? undefined : parseCursor(until) + 1
    return statsOf(this.#state.index.topic(address.tenant, address.topic), from, end)
  }

  async dropped({ tenant, topic }: Address): Promise<Cursor | undefined> {
    const { trimmedTo } = this.#state.index.topic(tenant, topic)
    return trimmedTo === 0 ? undefined : formatCursor(trimmedTo - 1)
  }

  async trim(address: Address, keep: RetentionLimits, needed: Needed = {}): Promise<number> {
    const index = this.#state.index.topic(address.tenant, address.topic)
    const from = index.trimmedTo
    const { position, events } = this.#over(address, keep, needed)
    if (events === 0) {
      this.#reclaimer.later()
      return 0
    }
    const dropped = new Map<string, number>()
    countBytes(dropped, index, this.#state.segments, { from, to: position })
    await index.trim(position)
    await this.#reclaimer.run(from, position, dropped)
    return events
  }

  async trimmable(address: Address, keep: RetentionLimits, needed: Needed = {}): Promise<Trimmable> {
    const index = this.#state.index.topic(address.tenant, address.topic)
    return trimmableOf(index, this.#over(address, keep, needed), formatCursor)
  }

  async drop({ tenant, topic }: Address, cursors: readonly Cursor[]): Promise<number> {
    const { index, segments, writer } = this.#state
    const places = cursors.map(parseCursor).filter((place) => place < writer.durable)
    const went = await index.topic(tenant, topic).drop(places)
    if (went.length === 0) {
      this.#reclaimer.later()
      return 0
    }
    index.flushLater()
    const dropped = new Map<string, number>()
    for (const { position, bytes } of went) addBytes(dropped, segments.at(position), bytes)
    await this.#reclaimer.run(went[0]!.position, went.at(-1)!.position + 1, dropped)
    return went.length
  }

  #over({ tenant, topic }: Address, keep: RetentionLimits, needed: Needed): Over {
    const { index, clock, writer } = this.#state
    const end = Math.min(writer.durable, neededFrom(needed, parseCursor))
    return trimPoint(index.topic(tenant, topic), keep, clock.now(), end)
  }

  /** What of the log cannot be read: one line each. */
  damaged(): readonly string[] {
    return this.#state.health.damages.map(damageLine)
  }

  /** Why nothing can be stored at present, where that is so. */
  outage(): string | undefined {
    if (this.#appender.gone) return logGone
    return this.#appender.full ? diskFull : undefined
  }

  health(): readonly string[] {
    return [...this.#state.health.lines(), ...this.#passing().map(({ line }) => line)]
  }

  troubles(): readonly Condition[] {
    const full = { line: diskFull, over: "the disk has room again: events are taken" }
    return [...(this.#appender.full ? [full] : []), ...this.#passing()]
  }

  #passing(): readonly Condition[] {
    const found: Condition[] = []
    const { blind } = this.#appender
    if (blind !== undefined) {
      const line = `how much room the disk has cannot be told: ${blind}`
      found.push({ key: "blind", line, over: "how much room the disk has can be told again" })
    }
    if (this.#state.index.failure !== undefined) {
      found.push({ line: "the indexes cannot be written: the disk may be full", over: "the indexes are written again" })
    }
    if (this.tables.localTrouble !== undefined) {
      found.push({ line: "the state cannot be written: the disk may be full", over: "the state is written again" })
    }
    return found
  }

  figures(): Figures {
    const { segments, writer } = this.#state
    return {
      log_bytes: segments.list.reduce((sum, { bytes }) => sum + bytes, 0),
      log_segments: segments.list.length,
      log_end_position_bytes: writer.durable,
      log_pending_bytes: writer.pendingBytes,
      log_damages: this.#state.health.damages.length,
      log_damaged_bytes: this.#state.health.bytes(({ kind }) => kind !== "missing"),
      log_missing_bytes: this.#state.health.bytes(({ kind }) => kind === "missing"),
      ...this.#appender.room,
      journal_bytes: this.tables.figures().grownBytes,
    }
  }

  /** It is about to be closed: tables that have no room are not waited for. */
  ending(): void {
    this.tables.ending()
    this.#opened.ending()
  }

  async close(): Promise<void> {
    this.#appender.stop()
    this.ending()
    await this.tables.drain()
    await this.#reclaimer.stop()
    await this.#state.writer.close()
    this.#state.waiters.close()
    await this.#state.index.close()
    await this.#state.segments.close()
  }
}
