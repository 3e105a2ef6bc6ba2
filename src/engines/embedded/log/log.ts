import type { Address } from "../../../core/address.ts"
import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type {
  Appended,
  AppendOptions,
  Batch,
  EventLog,
  GetOptions,
  ReadOptions,
  StoredEvent,
  TopicStats,
} from "../../../core/engine.ts"
import type { Event } from "../../../core/event.ts"
import type { Retention } from "../../../core/resources.ts"
import type { Disk } from "../disk.ts"
import type { Store } from "../store.ts"
import { Appender } from "./appender.ts"
import { cursorBefore, formatCursor, parseCursor } from "./cursor.ts"
import { LogIndex } from "./log-index.ts"
import { dropped, find, lastKept } from "./lookup.ts"
import { atTime, readLog } from "./read.ts"
import { type Damage, Reader } from "./reader.ts"
import { RecentIds } from "./recent-ids.ts"
import { Reclaimer } from "./reclaim.ts"
import { recover } from "./recovery.ts"
import { statsOf, trimPoint } from "./retention.ts"
import { Segments } from "./segments.ts"
import type { LogState } from "./state.ts"
import { Waiters } from "./waiters.ts"
import { Writer } from "./writer.ts"

export interface LogOptions {
  readonly disk: Disk
  readonly store: Store
  readonly clock: Clock
  readonly segmentBytes: number
  /** Memory for events that wait for the disk; more is refused. */
  readonly pendingBytesMax: number
  /** Appends are refused while less than this is free on the disk. */
  readonly reserveBytes: number
  defer(run: () => void): void
  onDamage(damage: Damage): void
}

const damagesMax = 100

/** The event log on segment files, with its indexes in the store. */
export class SegmentLog implements EventLog {
  readonly partitions = 1
  readonly #state: LogState
  readonly #appender: Appender
  readonly #reclaimer: Reclaimer

  private constructor(state: LogState, appender: Appender, reclaimer: Reclaimer) {
    this.#state = state
    this.#appender = appender
    this.#reclaimer = reclaimer
  }

  static async open(options: LogOptions): Promise<SegmentLog> {
    const { disk, store, clock } = options
    const segments = await Segments.open(disk, options)
    const appenderOf: { appender?: Appender } = {}
    const ids = new RecentIds(store, () => appenderOf.appender?.windowMaxMs ?? 0)
    const position = { durable: 0 }
    const index = new LogIndex(store, clock, ids, () => position.durable)
    const recovered = await recover(segments, index.watermark, (record, bytes) => index.restore(record, bytes))
    position.durable = recovered.tail
    index.restoreIds(recovered.tail, clock.now())

    const waiters = new Waiters()
    const damages: Damage[] = [...recovered.damages]
    const onDamage = (damage: Damage) => {
      if (damages.some(({ position }) => position === damage.position)) return
      if (damages.length < damagesMax) damages.push(damage)
      options.onDamage(damage)
    }
    for (const damage of recovered.damages) options.onDamage(damage)
    const writer = new Writer(segments, recovered.tail, {
      pendingBytesMax: options.pendingBytesMax,
      defer: options.defer,
      onDurable(end) {
        position.durable = end
        appenderOf.appender?.onDurable()
        waiters.wake()
      },
      onDiscard(from) {
        index.rollback(from)
        appenderOf.appender?.onDiscard()
      },
    })
    const reader = new Reader(segments, writer.ring, onDamage)
    const state: LogState = { segments, writer, reader, index, ids, clock, store, waiters, damages }
    const appender = new Appender(state, disk, options.reserveBytes)
    appenderOf.appender = appender
    await appender.start()
    return new SegmentLog(state, appender, new Reclaimer(state))
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
      const { trimmedTo } = this.#state.index.topic(record.address.tenant, record.address.topic)
      return position < trimmedTo ? undefined : record
    }
    if (
      this.#state.damages.some(
        (damage) => position >= damage.position && position < damage.position + damage.to - damage.from,
      )
    ) {
      await reader.record(position, writer.durable, true)
    }
    return undefined
  }

  find(address: Address, identity: { readonly source: string; readonly id: string }): Promise<StoredEvent | undefined> {
    return find(this.#state, address, identity)
  }

  partitionOf(): number {
    return 0
  }

  async head(): Promise<Cursor> {
    return cursorBefore(this.#state.writer.durable)
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

  async stats(address: Address): Promise<TopicStats> {
    return statsOf(this.#state.index.topic(address.tenant, address.topic))
  }

  async trim(address: Address, keep: Retention): Promise<number> {
    const index = this.#state.index.topic(address.tenant, address.topic)
    const from = index.trimmedTo
    const { position, events } = trimPoint(index, keep, this.#state.clock.now(), this.#state.writer.durable)
    if (events === 0) return 0
    await index.trim(position)
    await this.#reclaimer.run(from, position)
    return events
  }

  get damages(): readonly Damage[] {
    return this.#state.damages
  }

  health(): readonly string[] {
    const lines = this.#state.damages.map(
      ({ segment, from, to }) => `damaged: ${segment}, bytes ${from} to ${to}; the events in them cannot be read`,
    )
    if (this.#appender.blind !== undefined) {
      lines.push(`how much room the disk has cannot be told: ${this.#appender.blind}`)
    }
    if (this.#appender.full) lines.push("the disk is nearly full: publishing is refused")
    if (this.#state.index.failure !== undefined) lines.push("the indexes cannot be written: the disk may be full")
    return lines
  }

  figures(): Readonly<Record<string, number>> {
    const { segments, writer } = this.#state
    return {
      log_bytes: segments.list.reduce((sum, { bytes }) => sum + bytes, 0),
      log_segments: segments.list.length,
      log_end_position: writer.durable,
      log_pending_bytes: writer.pendingBytes,
      log_damages: this.#state.damages.length,
    }
  }

  async close(): Promise<void> {
    this.#appender.stop()
    await this.#state.writer.close()
    this.#state.waiters.close()
    await this.#state.index.close()
    await this.#state.segments.close()
  }
}
