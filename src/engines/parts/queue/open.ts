import { type Delivery, laneOf, lanesOf } from "../../../core/delivery.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery, OpenState } from "../../../core/open-delivery.ts"
import type { Entry, Store } from "../store.ts"
import type { Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Order } from "./order.ts"
import type { Parking } from "./parking.ts"
import { decodeRow, laneKey, parkedPrefix, pastSeparator } from "./row.ts"

/** What looking for open deliveries works on. */
export interface OpenPlace {
  readonly store: Store
  readonly lanes: Lanes
  readonly order: Order
  readonly parking: Pick<Parking, "now">
}

/** See DeliveryQueue.open. */
export function findOpen(place: OpenPlace, delivery: Delivery): OpenDelivery | undefined {
  const name = laneOf(delivery)
  const row = place.lanes.find(name)?.rows.get(delivery.id)
  if (row !== undefined) return openOf(place, row)
  const key = laneKey(name, delivery.id)
  const parked = place.store.get("parked", parkedPrefix + key)
  const bytes = parked ?? place.store.get("deliveries", key)
  return bytes && storedOf(place, { lane: name, id: delivery.id, bytes, parked: parked !== undefined })
}

function openOf(place: OpenPlace, row: Row): OpenDelivery | undefined {
  const { delivery, lane, attempts, dueAt, firstDueAt, state } = row
  if (state === "gone") return undefined
  const where = state === "ready" ? dueOrWaiting(place, lane.name, delivery) : "leased"
  return { delivery, attempts, dueAt, firstDueAt, state: where }
}

function dueOrWaiting({ order }: OpenPlace, lane: string, delivery: Delivery): OpenState {
  return order.isFirst(lane, delivery) ? "due" : "waiting"
}

interface StoredRow {
  readonly lane: string
  readonly id: string
  readonly bytes: Uint8Array
  readonly parked: boolean
}

/** Of a row that memory has not. */
function storedOf(place: OpenPlace, { lane, id, bytes, parked }: StoredRow): OpenDelivery {
  const { delivery, state } = decodeRow(lane, id, bytes)
  const { attempts, dueAt, firstDueAt, held, kept } = state
  if (kept !== undefined) return { delivery, attempts, dueAt, firstDueAt, state: "leased" }
  const isParked = parked && dueAt > place.parking.now()
  const where = held ? "held" : isParked ? "parked" : dueOrWaiting(place, lane, delivery)
  return { delivery, attempts, dueAt, firstDueAt, state: where }
}

/** Rows that one call looks at, about; beside the first one of each lane. */
const scanRows = 10_000
/** Rows that are looked at in one turn of the event loop. */
const stepRows = 500
/** Rows of one lane that are read at once. */
const readRowsMax = 256

/** See DeliveryQueue.openDeliveries: the lanes of the tenant, each in order of id, put together. */
export async function listOpen(place: OpenPlace, query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
  const { tenant, destination, after, limit } = query
  const names = destination === undefined ? allLanes(place.lanes, tenant) : lanesOf({ tenant, destination })
  const readMin = Math.max(1, Math.min(readRowsMax, Math.ceil(limit / names.length)))
  const pace = new Pace()
  const lanes: LaneRows[] = []
  for (const name of names) {
    const lane = new LaneRows(place, { name, after, readMin, pace })
    if (lane.first !== undefined) lanes.push(lane)
    await pace.pause()
  }
  lanes.sort((a, b) => (a.first!.id < b.first!.id ? -1 : 1))
  const found: OpenDelivery[] = []
  let last = after
  for (let seen = 0; lanes.length > 0; seen++) {
    if (found.length === limit || seen === scanRows)
      return { deliveries: found, ...(last !== undefined && { next: last }) }
    const lane = lanes[0]!
    const row = lane.take()
    last = row.id
    if (row.open !== undefined && matches(row.open, query)) found.push(row.open)
    moveFirst(lanes)
    await pace.pause()
  }
  return { deliveries: found }
}

function allLanes(lanes: Lanes, tenant: string): readonly string[] {
  return Array.from(lanes.all(), ({ name }) => name).filter((name) => name.startsWith(`${tenant}/`))
}

/** Has others go on, whenever so much was looked at. */
class Pace {
  #rows = 0

  looked(rows: number): void {
    this.#rows += rows
  }

  pause(): Promise<void> | undefined {
    if (this.#rows < stepRows) return undefined
    this.#rows = 0
    return new Promise(setImmediate)
  }
}

function matches({ delivery, state }: OpenDelivery, query: OpenDeliveryQuery): boolean {
  return (
    (query.trigger === undefined || delivery.trigger === query.trigger) &&
    (query.state === undefined || state === query.state)
  )
}

/** The lanes are in order of their first rows again, after the first lane has lost one. */
function moveFirst(lanes: LaneRows[]): void {
  const id = lanes[0]!.first?.id
  if (id !== undefined && (lanes.length === 1 || id < lanes[1]!.first!.id)) return
  const [moved] = lanes.splice(0, 1)
  if (id === undefined) return
  let [low, high] = [0, lanes.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (lanes[middle]!.first!.id < id) low = middle + 1
    else high = middle
  }
  lanes.splice(low, 0, moved!)
}

interface ListedRow {
  readonly id: string
  /** Undefined where it is open no more. */
  readonly open: OpenDelivery | undefined
}

/**
 * The open rows of one lane in order of id, some of them read ahead. Both places of a lane's rows are read in one turn, so
 * that what moves from one to the other is neither missed nor met twice.
 */
class LaneRows {
  readonly #place: OpenPlace
  readonly #name: string
  readonly #pace: Pace
  #after: string | undefined
  #readRows: number
  #rows: readonly ListedRow[] = []
  #at = 0
  #isOver = false

  constructor(place: OpenPlace, lane: { name: string; after: string | undefined; readMin: number; pace: Pace }) {
    this.#place = place
    this.#name = lane.name
    this.#pace = lane.pace
    this.#after = lane.after
    this.#readRows = lane.readMin
    this.#read()
  }

  /** The next row; undefined at the end. */
  get first(): ListedRow | undefined {
    return this.#rows[this.#at]
  }

  /** The next row, which there is. */
  take(): ListedRow {
    const row = this.#rows[this.#at++]!
    if (this.#at === this.#rows.length && !this.#isOver) this.#read()
    return row
  }

  #read(): void {
    const limit = this.#readRows
    const due = this.#entries("deliveries", "", limit)
    const parked = this.#entries("parked", parkedPrefix, limit)
    // Looking costs as much as some rows, also where there are none.
    this.#pace.looked(due.length + parked.length + 10)
    // Beyond the last one of a full list there are others.
    const ends = [due, parked].flatMap((rows) => (rows.length === limit ? [rows.at(-1)!.id] : []))
    const end = ends.sort()[0]
    const rows = [...due, ...parked].filter(({ id }) => end === undefined || id <= end)
    this.#rows = rows.sort((a, b) => (a.id < b.id ? -1 : 1))
    this.#at = 0
    this.#isOver = end === undefined
    this.#after = this.#rows.at(-1)?.id
    this.#readRows = Math.min(readRowsMax, 4 * limit)
  }

  #entries(table: "deliveries" | "parked", prefix: string, limit: number): readonly ListedRow[] {
    const before = prefix + laneKey(this.#name, "")
    const start = this.#after === undefined ? before : `${before}${this.#after}\0`
    const range = { start, end: prefix + this.#name + pastSeparator, limit }
    return Array.from(this.#place.store.range(table, range), ({ key, value }: Entry) => {
      const id = key.slice(before.length)
      const row = this.#place.lanes.find(this.#name)?.rows.get(id)
      const stored = { lane: this.#name, id, bytes: value, parked: table === "parked" }
      return { id, open: row === undefined ? storedOf(this.#place, stored) : openOf(this.#place, row) }
    })
  }
}
