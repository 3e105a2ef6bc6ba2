import type { Range, Store, Write } from "../store.ts"
import {
  decodeRow,
  heldKey,
  heldPrefix,
  parkedPrefix,
  pastHeld,
  pastParked,
  pastTime,
  putParked,
  removeParked,
  splitKey,
  splitTimeKey,
  timeKey,
  timePrefix,
} from "./row.ts"

/** Rows that are looked at in one step. */
const stepRows = 1_000

/**
 * Makes the rows agree with each other again where changes of them are lost. A delivery whose move was lost is in two places:
 * it stays in the one that tells of more attempts. What finds a parked row leads to one, and each is found.
 */
export async function mendRows(store: Store): Promise<void> {
  await eachStep(store, { start: parkedPrefix, end: pastParked }, (key, value) => mendParked(store, key, value))
  for (const range of [
    { start: heldPrefix, end: pastHeld },
    { start: timePrefix, end: pastTime },
  ]) {
    await eachStep(store, range, (key) => (leadsToRow(store, key) ? [] : [{ table: "parked", key, value: undefined }]))
  }
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
  if (due !== undefined) writes.push({ table: "deliveries", key, value: undefined })
  const index = state.held ? heldKey(delivery) : timeKey(state.dueAt)
  if (store.get("parked", index + key) === undefined) putParked(writes, lane, delivery, state)
  return writes
}

/** Whether what a key of an index names is parked or held, and for this time or trigger. */
function leadsToRow(store: Store, indexKey: string): boolean {
  const isHeld = indexKey.startsWith(heldPrefix)
  const key = isHeld ? indexKey.slice(indexKey.indexOf(" ") + 1) : splitTimeKey(indexKey).key
  const row = store.get("parked", parkedPrefix + key)
  if (row === undefined) return false
  const { lane, id } = splitKey(key)
  const { delivery, state } = decodeRow(lane, id, row)
  return (state.held ? heldKey(delivery) : timeKey(state.dueAt)) + key === indexKey
}

/** In steps: what else the process does goes on meanwhile. */
async function eachStep(
  store: Store,
  range: Range,
  mend: (key: string, value: Uint8Array) => readonly Write[],
): Promise<void> {
  // Ends: with the rows: each step begins behind the last one.
  for (let start = range.start; start !== undefined; ) {
    const rows = Array.from(store.range("parked", { ...range, start, limit: stepRows }), ({ key, value }) => ({
      key,
      value: Uint8Array.from(value),
    }))
    const writes = rows.flatMap(({ key, value }) => mend(key, value))
    if (writes.length > 0) await store.write(writes)
    start = rows.length < stepRows ? undefined : `${rows.at(-1)!.key}\0`
  }
}
