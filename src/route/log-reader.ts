import type { Cursor } from "../core/cursor.ts"
import { isDelayed, releaseOf } from "../core/delayed.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Fence, Position } from "../core/positions.ts"
import type { Trigger } from "../core/resources.ts"
import type { Matcher } from "../match/matcher.ts"
import { Pace } from "./pace.ts"
import { persist, type RetryContext } from "./persist.ts"
import { deliveriesOf } from "./record.ts"

export interface ReaderLimits {
  /** Without matches the position is saved after so much time, or so many events. */
  readonly saveAfterMs: number
  readonly saveAfterEvents: number
}

export interface LogReaderOptions {
  readonly engine: Engine
  /** Under which its position is saved. */
  readonly name: string
  readonly fence?: Fence
  readonly retrying: RetryContext
  readonly matcher: Matcher
  readonly limits: ReaderLimits
  /** Deliveries of one write, unless one event alone has more. */
  enqueueMax(): number
  /** Whether it serves this tenant's events; it passes over the others. Changes between two calls of `gather` only. */
  serves(tenant: string): boolean
  /** Whether this event is its own for this trigger. */
  admits(trigger: Trigger, cursor: Cursor): boolean
  /** Calls `save` when the reader stands still. */
  whenStill(save: () => Promise<void>): void
}

/** What some events owe: those before the one at `end`. */
export interface Gathered {
  readonly deliveries: readonly Delivery[]
  readonly end: number
}

/** Reads the log for attached triggers, and knows how far it has come. One call at a time. */
export class LogReader {
  readonly #options: LogReaderOptions
  readonly #pace: Pace
  /** Everything up to here that it serves is routed. */
  #here: Cursor
  /** What is saved of that. */
  #saved: Cursor | undefined
  #savedAt: number
  #eventsSinceSaved = 0
  #cancelSave: (() => void) | undefined

  /** It goes on where it was saved, or else at `from`. */
  constructor(options: LogReaderOptions, saved: Cursor | undefined, from: Cursor) {
    this.#options = options
    this.#pace = new Pace(options.retrying)
    this.#saved = saved
    this.#here = saved ?? from
    this.#savedAt = options.retrying.clock.steady()
  }

  get here(): Cursor {
    return this.#here
  }

  /** Matches the events from the one at `start` on, until there is enough for one write. Rejects with StoppedError. */
  async gather(events: readonly StoredEvent[], start: number): Promise<Gathered> {
    const { matcher, serves, admits } = this.#options
    const max = this.#options.enqueueMax()
    const deliveries: Delivery[] = []
    let end = start
    for (; end < events.length && deliveries.length < max; end++) {
      const stored = events[end]!
      if (!serves(stored.address.tenant)) continue
      if (isDelayed(stored.address)) {
        const release = releaseOf(stored)
        if (release !== undefined) deliveries.push(release)
        continue
      }
      const matched = this.#pace.match(matcher, stored)
      const all = matched instanceof Promise ? await matched : matched
      const fired = all.filter((trigger) => admits(trigger, stored.cursor))
      for (const delivery of deliveriesOf(stored, fired)) deliveries.push(delivery)
    }
    return { deliveries, end }
  }

  /** Enqueues what the events up to `cursor` owe; it is there then. */
  async moveTo(cursor: Cursor, deliveries: readonly Delivery[]): Promise<void> {
    const { engine, retrying } = this.#options
    if (deliveries.length > 0) {
      const position = this.#position(cursor)
      await persist(retrying, "routing", () => engine.queue.enqueue(deliveries, position))
      this.#wasSaved(cursor)
    }
    this.#here = cursor
  }

  /** It has moved over so many events: saves its position now and then. */
  async saveLazily(events: number): Promise<void> {
    if (this.#here === this.#saved) return
    const { retrying, limits } = this.#options
    this.#eventsSinceSaved += events
    const { saveAfterMs, saveAfterEvents } = limits
    const due = retrying.clock.steady() - this.#savedAt >= saveAfterMs || this.#eventsSinceSaved >= saveAfterEvents
    if (due) await this.save()
    else this.#saveLater()
  }

  /** Makes durable how far it has come. */
  save(): Promise<void> {
    return persist(this.#options.retrying, "saving the router's position", () => this.trySave())
  }

  /** As {@link LogReader.save}; rejects where the engine does not do it at once. */
  async trySave(): Promise<void> {
    const here = this.#here
    if (here === this.#saved) return
    await this.#options.engine.queue.enqueue([], this.#position(here))
    this.#wasSaved(here)
  }

  /** Saves nothing more by itself. */
  stop(): void {
    this.#cancelSave?.()
  }

  /** When nothing more comes, the position is saved all the same: it tells others what has been judged. */
  #saveLater(): void {
    const { retrying, limits, whenStill } = this.#options
    this.#cancelSave ??= retrying.clock.after(limits.saveAfterMs, () => {
      this.#cancelSave = undefined
      whenStill(() => this.save())
    })
  }

  #position(cursor: Cursor): Position {
    const { name, fence } = this.#options
    return { reader: name, cursor, ...(fence && { fence }) }
  }

  #wasSaved(cursor: Cursor): void {
    this.#saved = cursor
    this.#savedAt = this.#options.retrying.clock.steady()
    this.#eventsSinceSaved = 0
  }
}
