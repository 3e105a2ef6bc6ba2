import type { Clock } from "../../../core/clock.ts"
import type { LeaseName } from "../../../core/deliveries.ts"
import type { Delivery } from "../../../core/delivery.ts"
import type { Store, Write } from "../store.ts"
import { Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Leases } from "./leases.ts"
import type { Order } from "./order.ts"
import { decodeRow, laneKey, parkedPrefix, putDue, putParked, type RowState, removeParked } from "./row.ts"

/** What keeping and unlocking work on. */
export interface KeptPlace {
  readonly store: Store
  readonly clock: Clock
  readonly lanes: Lanes
  readonly leases: Leases
  readonly order: Order
}

/** What takes a row away from where it is in the store. */
export function removalOf(row: Row): Write[] {
  const writes: Write[] = []
  const { lane, delivery } = row
  if (row.parked) removeParked(writes, lane.name, delivery, row)
  else writes.push({ table: "deliveries", key: lane.prefix + delivery.id, value: undefined })
  return writes
}

/** A row as it is put into the store again: in no lease. */
export function stateOf(row: Row): RowState {
  const { attempts, forgiven, firstDueAt, dueAt, held, behind, unended } = row
  return { attempts, forgiven, firstDueAt, dueAt, held, behind, unended }
}

/** Puts a row where it is in the store, as `state` says. */
export function putAgain({ delivery, lane, parked }: Row, state: RowState): Write {
  const put = putDue(lane.name, delivery, state)
  return parked ? { ...put, table: "parked", key: parkedPrefix + put.key } : put
}

/** A delivery in a lease that never lapses, and that lease's token. */
export interface Kept {
  readonly delivery: Delivery
  readonly state: RowState
  readonly token: number
}

/** One of which memory has no row; undefined: there is none, or it is just being ended. */
export function findKept({ store, lanes }: KeptPlace, lane: string, id: string): Kept | undefined {
  if (lanes.find(lane)?.rows.has(id) !== false) return undefined
  const bytes = store.get("parked", parkedPrefix + laneKey(lane, id))
  const found = bytes && decodeRow(lane, id, bytes)
  const token = found?.state.kept
  return token === undefined ? undefined : { ...found!, token }
}

/** Takes one that {@link findKept} finds into memory, as what is leased. Whoever does lets it go again by {@link letGo}. */
export function takeKept(place: KeptPlace, lane: string, id: string, token?: number): Row | undefined {
  const found = findKept(place, lane, id)
  if (found === undefined || (token !== undefined && found.token !== token)) return undefined
  const row = new Row(found.delivery, place.lanes.ensure(lane), found.state, true)
  row.state = "leased"
  row.token = found.token
  row.lane.rows.set(id, row)
  place.order.again(row)
  return row
}

/** The store alone has the row: memory lets it go. */
export function letGo({ lanes, order }: Pick<KeptPlace, "lanes" | "order">, row: Row): void {
  if (row.state !== "gone") lanes.remove(row, false)
  order.end(row)
}

/** See LeasingAnywhere.keep. */
export async function keepRows(
  place: KeptPlace,
  lane: string,
  names: readonly LeaseName[],
): Promise<readonly boolean[]> {
  const { leases, order } = place
  const writes: Write[] = []
  const rows: Row[] = []
  order.keeping()
  const kept = names.map(({ token, id }) => {
    const row = leases.find(token)
    if (row === undefined || row.delivery.id !== id || row.lane.name !== lane)
      return findKept(place, lane, id)?.token === token
    leases.leave(row)
    rows.push(row)
    writes.push(...removalOf(row))
    putParked(writes, lane, row.delivery, { ...stateOf(row), dueAt: row.begunAt, behind: false, kept: token })
    return true
  })
  await written(place, rows, writes)
  for (const row of rows) {
    leases.end(row)
    letGo(place, row)
  }
  return kept
}

/** See LeasingAnywhere.unlock. */
export async function unlockRows(place: KeptPlace, lane: string, ids: readonly string[]): Promise<readonly string[]> {
  const rows: Row[] = []
  for (const id of new Set(ids)) {
    const row = place.lanes.find(lane)?.rows.get(id) ?? takeKept(place, lane, id)
    if (row?.state === "leased") rows.push(row)
  }
  await makeDue(place, rows, unlocked)
  return rows.map(({ delivery }) => delivery.id)
}

/** Ends the leases of these rows, which are due at once. */
export async function makeDue(
  place: KeptPlace,
  rows: readonly Row[],
  as: (row: Row, now: number) => RowState,
): Promise<void> {
  const { clock, lanes, leases } = place
  const writes: Write[] = []
  const states = rows.map((row) => as(row, clock.now()))
  for (const [i, row] of rows.entries()) {
    leases.leave(row)
    writes.push(...removalOf(row), putDue(row.lane.name, row.delivery, states[i]!))
  }
  await written(place, rows, writes)
  for (const [i, row] of rows.entries()) {
    leases.end(row)
    if (row.state === "gone") continue
    letGo(place, row)
    const lane = lanes.ensure(row.lane.name)
    lanes.loadOrLeave(lane, row.delivery, states[i]!)
    lanes.wake(lane)
  }
}

/** As if it had not been leased. */
export function released(row: Row, now: number): RowState {
  return { ...stateOf(row), dueAt: now, behind: false }
}

function unlocked(row: Row, now: number): RowState {
  const { attempts, forgiven } = row
  return { ...released(row, now), attempts: attempts + 1, forgiven: forgiven + 1, unended: false }
}

/** All of it, on disk; where the store refuses, the leases are as they were. */
async function written(place: KeptPlace, rows: readonly Row[], writes: readonly Write[]): Promise<void> {
  if (writes.length === 0) return
  try {
    await place.store.write(writes)
  } catch (error) {
    for (const row of rows) stay(place, row)
    throw error
  }
  await place.store.flushed()
}

/** The end of a lease could not be written: it goes on. */
export function stay(place: KeptPlace, row: Row): void {
  if (row.state !== "leaving") return
  if (row.kept === undefined) place.leases.stay(row)
  else letGo(place, row)
}
