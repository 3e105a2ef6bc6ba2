import type { Clock } from "../../../core/clock.ts"
import { type DeadLetter, type Delivery, laneOf } from "../../../core/delivery.ts"
import type { Serial } from "../../../core/serial.ts"
import type { Carried, CarriedDelivery, CarriedLetter } from "../../../core/transfer.ts"
import type { Store, Table, Write } from "../store.ts"
import { listBuried, putDead } from "./dead.ts"
import type { Enqueuing } from "./enqueue.ts"
import type { Lanes } from "./lanes.ts"
import type { Order } from "./order.ts"
import type { Parking } from "./parking.ts"
import {
  decodeRow,
  isHolding,
  laneKey,
  orderPrefix,
  parkedPrefix,
  pastParked,
  putFresh,
  putOrder,
  putParked,
  type RowState,
  splitKey,
} from "./row.ts"

/** Rows that are read in one step. */
const stepRows = 512

/** What carrying works on. */
export interface CarryPlace {
  readonly store: Store
  readonly clock: Clock
  readonly lanes: Lanes
  readonly order: Order
  readonly parking: Parking
  readonly enqueuing: Enqueuing
  readonly serial: Serial
}

/** See DeliveryQueue.carried. Parked rows stay where they are until the end, so that none is met twice or missed. */
export async function* readCarried({ store, parking, serial }: CarryPlace): AsyncIterable<readonly Carried[]> {
  const wake = parking.rest()
  try {
    // What is being moved, and what was asked for before, is to be seen.
    await serial.run(() => store.write([]))
    yield* readOpen(store, "parked", parkedPrefix, pastParked)
    yield* readOpen(store, "deliveries", "", undefined)
    for (const buried of listBuried(store, stepRows)) {
      yield buried.map(({ letter, attempts }) => {
        const holdsKey = isHeldBy(store, letter)
        return { kind: "dead", letter, attempts, ...(holdsKey && { holdsKey }) }
      })
    }
  } finally {
    wake()
  }
}

function* readOpen(store: Store, table: Table, prefix: string, end: string | undefined): Iterable<readonly Carried[]> {
  // Ends: with the rows: each step begins behind the last one.
  for (let start = prefix; ; ) {
    const found: Carried[] = []
    for (const { key, value } of store.range(table, { start, limit: stepRows, ...(end !== undefined && { end }) })) {
      start = `${key}\0`
      const { lane, id } = splitKey(key.slice(prefix.length))
      const { delivery, state } = decodeRow(lane, id, value)
      const { forgiven: attemptsForgiven, behind: _, unended: __, ...rest } = state
      found.push({ kind: "open", delivery, attemptsForgiven, ...rest })
    }
    if (found.length > 0) yield found
    if (found.length < stepRows) return
  }
}

/** Whether those behind this dead one wait for it. */
function isHeldBy(store: Store, letter: DeadLetter): boolean {
  const prefix = orderPrefix(laneOf(letter), letter)
  const known = prefix === undefined ? undefined : store.get("parked", prefix + letter.id)
  return known !== undefined && isHolding(known)
}

interface Taken {
  readonly lane: string
  readonly delivery: Delivery
  readonly state: RowState
  readonly due: boolean
}

/** See DeliveryQueue.carry. The caller sees to it that no other such work runs meanwhile. */
export async function carryIn(place: CarryPlace, items: readonly Carried[]): Promise<void> {
  const { store, lanes, order, parking, enqueuing, clock } = place
  const now = clock.now()
  const ids = new Set<string>()
  const writes: Write[] = []
  const taken: Taken[] = []
  for (const item of items) {
    const delivery = item.kind === "dead" ? item.letter : item.delivery
    if (ids.has(delivery.id) || enqueuing.knows(delivery)) continue
    ids.add(delivery.id)
    if (item.kind === "dead") takeDead(item, writes)
    else taken.push(takeOpen(item, now, writes))
  }
  order.keeping()
  const end = enqueuing.announce(ids)
  try {
    await store.write(writes)
  } finally {
    end()
  }
  for (const { lane: name, delivery, state, due } of taken) {
    const lane = lanes.ensure(name)
    lane.open++
    if (state.behind) {
      order.advance(lane, delivery)
    } else if (due) {
      lanes.loadOrLeave(lane, delivery, state)
      lanes.wake(lane)
    } else if (!state.held && state.kept === undefined) {
      parking.added(state.dueAt, laneKey(name, delivery.id))
    }
  }
  await store.flushed()
}

function takeDead({ letter, attempts, holdsKey = false }: CarriedLetter, writes: Write[]): void {
  writes.push(putDead(letter, attempts))
  if (holdsKey) putOrder(writes, laneOf(letter), letter, true)
}

function takeOpen(item: CarriedDelivery, now: number, writes: Write[]): Taken {
  const { delivery, attempts, attemptsForgiven: forgiven, firstDueAt, held, kept } = item
  const dueAt = Math.max(0, Math.ceil(item.dueAt))
  const lane = laneOf(delivery)
  const due = !held && kept === undefined && dueAt <= now
  const behind = due && delivery.orderKey !== undefined
  const state: RowState = { attempts, forgiven, firstDueAt, dueAt, held, behind, ...(kept !== undefined && { kept }) }
  if (due) putFresh(writes, lane, delivery, state)
  else {
    putParked(writes, lane, delivery, state)
    putOrder(writes, lane, delivery)
  }
  return { lane, delivery, state, due }
}
