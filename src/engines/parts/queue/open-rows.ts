import type { Delivery, TriggerName } from "../../../core/delivery.ts"
import type { Store, Table, Write } from "../store.ts"
import { Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Leases } from "./leases.ts"
import type { Order } from "./order.ts"
import type { Parking } from "./parking.ts"
import { decodeRow, laneKey, parkedPrefix, type RowState, removeOrder, removeParked, splitKey } from "./row.ts"

/** Rows that are looked at in one step. */
const stepRows = 512
/** How often what was just leaving where it was is looked for once more. */
const passesMax = 3

/** What going through a trigger's open deliveries works on. */
export interface RowsPlace {
  readonly store: Store
  readonly lanes: Lanes
  readonly leases: Leases
  readonly order: Order
  readonly parking: Parking
}

/** An open delivery as the store has it. */
export interface Found {
  readonly lane: string
  readonly delivery: Delivery
  readonly state: RowState
}

/** What is done with some of a trigger's rows; answers whether it met one that was just leaving where it was. */
export type Act = (found: readonly Found[], isParked: boolean) => Promise<boolean>

/**
 * Goes through a trigger's open deliveries, in bounded steps through all that its tenant has open. The caller sees to it that
 * nothing else moves parked or held rows meanwhile.
 */
export async function eachOpen(store: Store, of: TriggerName, act: Act): Promise<void> {
  for (let pass = 0; pass < passesMax; pass++) {
    // What was asked for before is to be seen.
    await store.write([])
    const missed = [await scan(store, of, "deliveries", act), await scan(store, of, "parked", act)]
    if (!missed.includes(true)) return
  }
}

async function scan(store: Store, of: TriggerName, table: Table, act: Act): Promise<boolean> {
  const { tenant, trigger, incarnation } = of
  const prefix = table === "parked" ? parkedPrefix : ""
  let start = `${prefix}${tenant}/`
  const end = `${prefix}${tenant}0`
  let missed = false
  // Ends: with the rows: each step begins behind the last one.
  for (;;) {
    const found: Found[] = []
    let seen = 0
    for (const { key, value } of store.range(table, { start, end, limit: stepRows })) {
      seen++
      start = `${key}\0`
      const { lane, id } = splitKey(key.slice(prefix.length))
      const { delivery, state } = decodeRow(lane, id, value)
      if (delivery.trigger === trigger && delivery.incarnation === incarnation) found.push({ lane, delivery, state })
    }
    if (found.length > 0) missed = (await act(found, table === "parked")) || missed
    else if (seen === stepRows) await new Promise(setImmediate)
    if (seen < stepRows) return missed
  }
}

/**
 * Takes a row out of memory, what is leased too; until {@link putBack} or {@link forget} a row without life stands for it there,
 * so that it is not read again. `writes` takes what removes it from the store.
 */
export function takeOut(
  place: RowsPlace,
  { lane: name, delivery, state }: Found,
  parked: boolean,
  writes: Write[],
): Row {
  const { lanes, leases } = place
  const known = lanes.find(name)?.rows.get(delivery.id)
  if (known !== undefined) {
    leases.end(known)
    lanes.remove(known, false)
  }
  const lane = lanes.ensure(name)
  const row = new Row(delivery, lane, state, parked)
  row.state = "gone"
  lane.rows.set(delivery.id, row)
  if (parked) removeParked(writes, name, delivery, state)
  else writes.push({ table: "deliveries", key: laneKey(name, delivery.id), value: undefined })
  removeOrder(writes, name, delivery)
  return row
}

/** The store refused to let these go. */
export function putBack({ lanes, order, parking }: RowsPlace, rows: readonly Row[]): void {
  for (const row of rows) {
    lanes.remove(row, false)
    order.end(row)
    if (row.kept !== undefined) continue
    if (row.behind) order.advance(row.lane, row.delivery)
    else if (row.parked) parking.added(row.dueAt, laneKey(row.lane.name, row.delivery.id))
    else row.lane.leftInStore(row.delivery.id)
  }
}

/** These are gone from the store. */
export function forget({ lanes, order }: RowsPlace, rows: readonly Row[]): void {
  for (const row of rows) lanes.remove(row, true)
  for (const row of rows) {
    order.end(row)
    order.advance(row.lane, row.delivery)
  }
}
