import { type Clock, forwardTime } from "../../../core/clock.ts"
import type { Serial } from "../../../core/serial.ts"
import type { Store, Write } from "../store.ts"
import type { Lanes } from "./lanes.ts"
import { isRefusal } from "./refusal.ts"
import {
  decodeRow,
  laneKey,
  parkedPrefix,
  putDue,
  removeParked,
  splitKey,
  splitTimeKey,
  timeKey,
  timePrefix,
} from "./row.ts"

/** Parked rows that are looked at in one step. */
const stepRows = 256
/** Past every key of the time index. */
const timeEnd = String.fromCharCode(timePrefix.charCodeAt(0) + 1)
/** How long a step waits that could not write. */
const againMs = 1_000
/** It is looked again at least so often: the clock may have been set forward. */
const lookMs = 5_000

/**
 * Finds parked deliveries when their time comes: those whose lane has room go into memory, the others move to the
 * lane's due rows in the store. One timer, for the earliest; bounded steps, so that many that come due at once block
 * nobody.
 */
export class Parking {
  readonly #store: Store
  readonly #clock: Clock
  /** What the time is for what is parked: it goes on when the clock is set back. */
  readonly now: () => number
  readonly #lanes: Lanes
  readonly #serial: Serial
  /** Keys of the time index before this one have been seen; from here on they are looked at when due. */
  #unseen = timePrefix
  #timerAt = Number.POSITIVE_INFINITY
  #cancel: (() => void) | undefined
  readonly #moving = new Set<string>()
  #looking = false
  #resting = 0
  #closed = false

  constructor(store: Store, clock: Clock, lanes: Lanes, serial: Serial) {
    this.#store = store
    this.#clock = clock
    this.now = forwardTime(clock)
    this.#lanes = lanes
    this.#serial = serial
  }

  /** Begins with what was parked before; the first that are due already are when it resolves. */
  async start(): Promise<void> {
    const more = await this.#serial
      .run(() => this.#step())
      .catch((error: unknown) => {
        if (!isRefusal(error)) throw error
        return true
      })
    if (more) this.#arm(this.now())
    else this.#armForNext()
  }

  /** A delivery of this key (`<lane> <id>`) has been parked until `dueAt`. */
  added(dueAt: number, key: string): void {
    const time = timeKey(dueAt) + key
    if (time < this.#unseen) this.#unseen = time
    this.#arm(dueAt)
  }

  /** Whether the row of this key is on its way to the due ones: what is parked of it is about to be gone. */
  isMoving(key: string): boolean {
    return this.#moving.has(key)
  }

  /** From now on nothing is moved, until what is answered is called. What is being moved now is not waited for. */
  rest(): () => void {
    this.#resting++
    return () => {
      this.#resting--
      this.#arm(this.now())
    }
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
  }

  #arm(at: number): void {
    if (this.#closed || this.#looking || at >= this.#timerAt) return
    this.#cancel?.()
    this.#timerAt = at
    this.#cancel = this.#clock.after(Math.min(Math.max(0, at - this.now()), lookMs), () => {
      this.#timerAt = Number.POSITIVE_INFINITY
      void this.#look()
    })
  }

  #armForNext(): void {
    for (const { key } of this.#store.range("parked", { start: this.#unseen, end: timeEnd, limit: 1 })) {
      this.#arm(splitTimeKey(key).dueAt)
    }
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    let failed = false
    try {
      // Ends: each step takes away the rows that it finds to be due.
      while (!this.#closed && (await this.#serial.run(() => this.#step()))) await new Promise(setImmediate)
    } catch (error) {
      if (!isRefusal(error)) throw error
      failed = true
    }
    this.#looking = false
    if (this.#closed) return
    if (this.#resting > 0) return
    if (failed) this.#arm(this.now() + againMs)
    else this.#armForNext()
  }

  /** Answers whether there may be more that is due. */
  async #step(): Promise<boolean> {
    if (this.#closed || this.#resting > 0) return false
    const start = this.#unseen
    const range = { start, end: timeKey(this.now() + 1), limit: stepRows }
    const moves: Write[] = []
    const moved: { readonly lane: string; readonly id: string }[] = []
    let seen = 0
    for (const { key } of this.#store.range("parked", range)) {
      seen++
      this.#unseen = `${key}\0`
      this.#comeDue(splitTimeKey(key).key, moves, moved)
    }
    if (moves.length === 0) return seen === stepRows
    const keys = moved.map(({ lane, id }) => laneKey(lane, id))
    for (const key of keys) this.#moving.add(key)
    try {
      await this.#store.write(moves)
    } catch (error) {
      if (start < this.#unseen) this.#unseen = start
      throw error
    } finally {
      for (const key of keys) this.#moving.delete(key)
    }
    for (const { lane: name, id } of moved) {
      const lane = this.#lanes.ensure(name)
      lane.leftInStore(id)
      this.#lanes.wake(lane)
    }
    return seen === stepRows
  }

  #comeDue(key: string, moves: Write[], moved: { readonly lane: string; readonly id: string }[]): void {
    const names = splitKey(key)
    const lane = this.#lanes.ensure(names.lane)
    if (lane.rows.has(names.id)) return
    const bytes = this.#store.get("parked", parkedPrefix + key)
    if (bytes === undefined) return
    const { delivery, state } = decodeRow(names.lane, names.id, bytes)
    if (lane.ready.size === 0) this.#lanes.prepare(lane, 1)
    if (this.#lanes.hasRoom(lane)) {
      this.#lanes.load(lane, delivery, state, true)
      this.#lanes.wake(lane)
      return
    }
    removeParked(moves, names.lane, delivery, state)
    moves.push(putDue(names.lane, delivery, state))
    moved.push(names)
  }
}
