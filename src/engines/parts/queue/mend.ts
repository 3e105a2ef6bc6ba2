import { type Delivery, laneOf, partsOfLane } from "../../../core/delivery.ts"
import type { Range, Store, Table, Write } from "../store.ts"
import { decodeBuried, findDead } from "./dead.ts"
import {
  decodeRow,
  heldPrefix,
  indexOf,
  isHolding,
  keptPrefix,
  laneKey,
  orderMark,
  orderPrefix,
  parkedPrefix,
  pastHeld,
  pastKept,
  pastOrder,
  pastParked,
  pastTime,
  putOrder,
  putParked,
  removeParked,
  separator,
  splitKey,
  splitOrderKey,
  splitTimeKey,
  timePrefix,
} from "./row.ts"

/** Rows that are looked at in one step. */
const stepRows = 1_000

/**
 * Makes the rows agree with each other again where changes of them are lost. A delivery whose move was lost is in two places:
 * it stays where more attempts are told of. What finds a parked row leads to one, and each is found.
 */
export async function mendRows(store: Store): Promise<void> {
  await eachStep(store, "dead", {}, (key, value) => mendDead(store, key, value))
  await eachStep(store, "parked", parkedRows, (key, value) => mendParked(store, key, value))
  for (const index of indexes) {
    await eachStep(store, "parked", index, (key) => (leadsToRow(store, key) ? [] : [gone("parked", key)]))
  }
  await eachStep(store, "deliveries", {}, (key, value) => mendDue(store, key, value))
  await eachStep(store, "parked", orderIndex, (key, value) =>
    leadsToOrdered(store, key, value) ? [] : [gone("parked", key)],
  )
}

const parkedRows: Range = { start: parkedPrefix, end: pastParked }
const orderIndex: Range = { start: orderMark, end: pastOrder }
const indexes: readonly Range[] = [
  { start: heldPrefix, end: pastHeld },
  { start: timePrefix, end: pastTime },
  { start: keptPrefix, end: pastKept },
]

function gone(table: Table, key: string): Write {
  return { table, key, value: undefined }
}

/** One that is open as well was redriven since, or what it was buried from is left over. */
function mendDead(store: Store, deadKey: string, value: Uint8Array): readonly Write[] {
  const { letter, attempts } = decodeBuried(value)
  const key = laneKey(laneOf(letter), letter.id)
  const places = [
    ["deliveries", key],
    ["parked", parkedPrefix + key],
  ] as const
  const open = places.filter(([table, key]) => store.get(table, key) !== undefined)
  if (open.length === 0) return []
  const isNewer = open.some(([table, key]) => attemptsOf(store, table, key, letter) >= attempts)
  return isNewer ? [gone("dead", deadKey)] : open.map(([table, key]) => gone(table, key))
}

function attemptsOf(store: Store, table: Table, key: string, delivery: Delivery): number {
  return decodeRow(laneOf(delivery), delivery.id, store.get(table, key)!).state.attempts
}

function mendParked(store: Store, parkedKey: string, value: Uint8Array): readonly Write[] {
  const key = parkedKey.slice(parkedPrefix.length)
  const { lane, id } = splitKey(key)
  const { delivery, state } = decodeRow(lane, id, value)
  const writes: Write[] = []
  const due = store.get("deliveries", key)
  if (due !== undefined && decodeRow(lane, id, due).state.attempts > state.attempts) {
    removeParked(writes, lane, delivery, state)
    return writes
  }
  if (due !== undefined) writes.push(gone("deliveries", key))
  const index = indexOf(delivery, state)
  if (index !== undefined && store.get("parked", index + key) === undefined) putParked(writes, lane, delivery, state)
  orderAgain(store, writes, lane, delivery)
  return writes
}

/** What has an order key has its place in the order. */
function orderAgain(store: Store, writes: Write[], lane: string, delivery: Delivery): void {
  const prefix = orderPrefix(lane, delivery)
  const known = prefix === undefined ? undefined : store.get("parked", prefix + delivery.id)
  if (prefix !== undefined && (known === undefined || isHolding(known))) putOrder(writes, lane, delivery)
}

function mendDue(store: Store, key: string, value: Uint8Array): readonly Write[] {
  const { lane, id } = splitKey(key)
  const writes: Write[] = []
  orderAgain(store, writes, lane, decodeRow(lane, id, value).delivery)
  return writes
}

/** Whether what a key of the order index names is open, or dead and said to hold its key. */
function leadsToOrdered(store: Store, indexKey: string, value: Uint8Array): boolean {
  const { lane, id } = splitOrderKey(indexKey)
  const key = laneKey(lane, id)
  const row = store.get("parked", parkedPrefix + key) ?? store.get("deliveries", key)
  if (row !== undefined) return orderPrefix(lane, decodeRow(lane, id, row).delivery) + id === indexKey
  return isHolding(value) && findDead(store, partsOfLane(lane).tenant, id) !== undefined
}

/** The key of the row that a key of an index names. */
function keyOfIndexed(indexKey: string): string {
  if (indexKey.startsWith(timePrefix)) return splitTimeKey(indexKey).key
  return indexKey.slice(indexKey.lastIndexOf(separator, indexKey.lastIndexOf(separator) - 1) + 1)
}

/** Whether what a key of an index names is parked, held or kept, and for this time, trigger or order. */
function leadsToRow(store: Store, indexKey: string): boolean {
  const key = keyOfIndexed(indexKey)
  const row = store.get("parked", parkedPrefix + key)
  if (row === undefined) return false
  const { lane, id } = splitKey(key)
  const { delivery, state } = decodeRow(lane, id, row)
  const index = indexOf(delivery, state)
  return index !== undefined && index + key === indexKey
}

/** In steps: what else the process does goes on meanwhile. */
async function eachStep(
  store: Store,
  table: Table,
  range: Range,
  mend: (key: string, value: Uint8Array) => readonly Write[],
): Promise<void> {
  // Ends: with the rows: each step begins behind the last one.
  for (let start = range.start ?? ""; ; ) {
    const rows = Array.from(store.range(table, { ...range, start, limit: stepRows }), ({ key, value }) => ({
      key,
      value: Uint8Array.from(value),
    }))
    const writes = rows.flatMap(({ key, value }) => mend(key, value))
    if (writes.length > 0) await store.write(writes)
    if (rows.length < stepRows) return
    start = `${rows.at(-1)!.key}\0`
    await new Promise(setImmediate)
  }
}
