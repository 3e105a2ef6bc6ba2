import { type Delivery, partsOfLane } from "../../../core/delivery.ts"
import type { LaneBacklog } from "../../../core/figures.ts"
import type { Store, Table } from "../store.ts"
import { Announcer } from "./announcer.ts"
import { Lane, Row } from "./lane.ts"
import { decodeRow, parkedPrefix, type RowState } from "./row.ts"

/** How much of what is due is held in memory; the rest waits in the store. */
export interface LaneLimits {
  /** Rows of one lane. */
  readonly laneReadyMax: number
  /** Rows of all lanes; beyond it a lane still gets {@link laneReadyMin}, so that none starves. */
  readonly readyMax: number
}

const laneReadyMin = 16

/** The lanes that have anything open, and what of their due work is in memory. */
export class Lanes {
  readonly #store: Store
  readonly #limits: LaneLimits
  readonly #lanes = new Map<string, Lane>()
  readonly #announcer = new Announcer()
  #ready = 0

  constructor(store: Store, limits: LaneLimits) {
    this.#store = store
    this.#limits = limits
  }

  /** How many lanes have anything open; how many due rows are in memory; how many deliveries are open. */
  figures(): { readonly lanes: number; readonly ready: number; readonly open: number } {
    let open = 0
    for (const lane of this.#lanes.values()) open += lane.open
    return { lanes: this.#lanes.size, ready: this.#ready, open }
  }

  /** Lanes with open deliveries, and how many. */
  backlog(): readonly LaneBacklog[] {
    return [...this.#lanes.values()]
      .filter(({ open }) => open > 0)
      .map((lane) => ({
        ...partsOfLane(lane.name),
        open: lane.open,
        oldestDueAt: () => this.oldestDueAt(lane),
      }))
  }

  /** When the delivery of the lane's oldest event first became due. Ids are in the order of events, among due rows as among parked ones. */
  oldestDueAt({ name, prefix, end }: Lane): number | undefined {
    const first = (table: Table, before: string) => {
      const [row] = this.#store.range(table, { start: before + prefix, end: before + end, limit: 1 })
      return row && decodeRow(name, row.key.slice(before.length + prefix.length), row.value)
    }
    const found = [first("deliveries", ""), first("parked", parkedPrefix)].filter((row) => row !== undefined)
    found.sort((a, b) => (a.delivery.id < b.delivery.id ? -1 : 1))
    return found[0]?.state.firstDueAt
  }

  all(): IterableIterator<Lane> {
    return this.#lanes.values()
  }

  find(name: string): Lane | undefined {
    return this.#lanes.get(name)
  }

  /** The lane, made where nothing of it was open. */
  ensure(name: string): Lane {
    let lane = this.#lanes.get(name)
    if (lane === undefined) {
      lane = new Lane(name)
      this.#lanes.set(name, lane)
    }
    return lane
  }

  /** Whether one more due row of the lane may be held in memory, and nothing before it waits in the store. */
  hasRoom(lane: Lane): boolean {
    const size = lane.ready.size
    if (lane.unread !== undefined || size >= this.#limits.laneReadyMax) return false
    return size < laneReadyMin || this.#ready < this.#limits.readyMax
  }

  /** Whether it may have some more rows in memory than it is to have, where `wanted` are to be taken. */
  hasSlack(lane: Lane, wanted: number): boolean {
    return lane.ready.size < 2 * Math.max(this.#limits.laneReadyMax, wanted)
  }

  /** Takes a due delivery into memory. */
  load(lane: Lane, delivery: Delivery, state: RowState, parked: boolean): Row {
    const row = new Row(delivery, lane, state, parked)
    lane.rows.set(delivery.id, row)
    this.makeReady(row)
    return row
  }

  /** Takes a due delivery that is in the store's `deliveries` into memory, or leaves it there to be read in its turn. */
  loadOrLeave(lane: Lane, delivery: Delivery, state: RowState): void {
    if (lane.rows.has(delivery.id)) return
    if (this.hasRoom(lane)) this.load(lane, delivery, state, false)
    else lane.leftInStore(delivery.id)
  }

  makeReady(row: Row): void {
    row.state = "ready"
    row.lane.ready.add(row)
    this.#ready++
  }

  /** The lane's first due row in memory. */
  take(lane: Lane): Row | undefined {
    const row = lane.ready.take()
    if (row !== undefined) this.#ready--
    return row
  }

  /** A row that was taken is let go; the store has it. */
  setAside(row: Row): void {
    row.state = "gone"
    row.lane.rows.delete(row.delivery.id)
  }

  /** Sees to it that the lane's `max` oldest due rows are in memory, as far as they can be had. */
  prepare(lane: Lane, max: number): void {
    if (lane.unread === undefined) return
    const size = lane.ready.size
    // Older ones may have come when memory was full; no more are read than are taken, so memory does not grow by this.
    const older = size > 0 && lane.unread < lane.ready.id(Math.min(max, size) - 1)
    if (size < max) {
      const share = Math.min(this.#limits.laneReadyMax, Math.max(laneReadyMin, this.#limits.readyMax - this.#ready))
      this.#read(lane, older ? Math.max(max, share - size) : Math.max(max, share) - size)
    } else if (older && lane.unread !== lane.spillingFrom) {
      this.#read(lane, max)
    }
  }

  /** Reads on in the store, `room` due rows at most. */
  #read(lane: Lane, room: number): void {
    const start = lane.prefix + lane.unread
    // Rows that memory knows are met again on the way, so no more than this many have to be read to find `room` others.
    const limit = room + lane.rows.size + 1
    const range = { start, end: lane.end, limit }
    let left = room
    lane.unread = undefined
    for (const { key, value } of this.#store.range("deliveries", range)) {
      const id = key.slice(lane.prefix.length)
      if (lane.rows.has(id)) continue
      if (left === 0) {
        lane.unread = id
        break
      }
      const { delivery, state } = decodeRow(lane.name, id, value)
      this.load(lane, delivery, state, false)
      left--
    }
    // What is still being written was not to be seen yet.
    if (lane.spillingFrom !== undefined) lane.leftInStore(lane.spillingFrom)
  }

  /** Takes a row out of memory; `ended`: the delivery is open no more. */
  remove(row: Row, ended: boolean): void {
    const lane = row.lane
    if (row.state === "ready") {
      lane.ready.remove(row)
      this.#ready--
    }
    row.state = "gone"
    lane.rows.delete(row.delivery.id)
    if (ended) lane.open--
    this.dropIfIdle(lane)
  }

  dropIfIdle(lane: Lane): void {
    if (lane.idle) this.#lanes.delete(lane.name)
  }

  /** Tells the listeners of a lane that has come to have due work. */
  wake(lane: Lane): void {
    if (lane.told) return
    lane.told = true
    this.#announcer.tell(lane.name)
  }

  /** Tells them in the next turn of the event loop. */
  wakeSoon(lane: Lane): void {
    setImmediate(() => this.wake(lane))
  }

  listen(stop: AbortSignal): AsyncIterable<string> {
    const due = () => [...this.#lanes.values()].filter((lane) => lane.hasDue).map((lane) => lane.name)
    return this.#announcer.listen(due, stop)
  }

  /** Resolves once the lane's due work is news, or when `stop` aborts, or with `close`. */
  due(name: string, stop: AbortSignal): Promise<void> {
    return this.#lanes.get(name)?.told ? Promise.resolve() : this.#announcer.next(name, stop)
  }

  close(): void {
    this.#announcer.close()
  }
}
