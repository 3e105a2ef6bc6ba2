import type { Clock } from "../../../core/clock.ts"
import type { Delivery, TriggerName } from "../../../core/delivery.ts"
import type { Entry, Store, Write } from "../store.ts"
import type { Lanes } from "./lanes.ts"
import {
  decodeRow,
  heldKey,
  heldPrefix,
  parkedPrefix,
  pastHeld,
  pastSeparator,
  putDue,
  type RowState,
  removeParked,
  separator,
  splitKey,
} from "./row.ts"

/** Rows that are moved in one step. */
const stepRows = 256
/** Triggers that are found in one turn of the event loop. */
const stepTriggers = 1_000

/** Every trigger that something is held for: a step for each, however much that is. */
export async function heldTriggers(store: Store): Promise<readonly TriggerName[]> {
  // What was held before this call, and is still being written, is to be seen.
  await store.write([])
  const found: TriggerName[] = []
  // Ends: with the held rows: each step begins behind a trigger of them.
  for (let next = firstHeld(store, heldPrefix), steps = 1; next !== undefined; steps++) {
    const at = next.key.indexOf(separator)
    const { lane, id } = splitKey(next.key.slice(at + 1))
    const bytes = store.get("parked", parkedPrefix + next.key.slice(at + 1))
    if (bytes !== undefined) {
      const { tenant, trigger, incarnation } = decodeRow(lane, id, bytes).delivery
      found.push({ tenant, trigger, incarnation })
    }
    if (steps % stepTriggers === 0) await new Promise(setImmediate)
    next = firstHeld(store, next.key.slice(0, at) + pastSeparator)
  }
  return found
}

function firstHeld(store: Store, start: string): Entry | undefined {
  const [first] = store.range("parked", { start, end: pastHeld, limit: 1 })
  return first
}

/**
 * Makes due what is held for a trigger, in bounded steps; answers how many. The time for which a delivery was held does
 * not count against its age. The caller sees to it that no other such work runs meanwhile.
 */
export async function resumeHeld(
  { store, clock, lanes }: { readonly store: Store; readonly clock: Clock; readonly lanes: Lanes },
  of: Pick<Delivery, "tenant" | "trigger" | "incarnation">,
): Promise<number> {
  // What was held before this call, and is still being written, is to be seen.
  await store.write([])
  const prefix = heldKey(of)
  const end = prefix.slice(0, -1) + pastSeparator
  let resumed = 0
  // Ends: each step takes away the rows that it finds.
  for (;;) {
    const now = clock.now()
    const writes: Write[] = []
    const due: { readonly lane: string; readonly delivery: Delivery; readonly state: RowState }[] = []
    for (const { key } of store.range("parked", { start: prefix, end, limit: stepRows })) {
      const { lane, id } = splitKey(key.slice(prefix.length))
      const bytes = store.get("parked", parkedPrefix + key.slice(prefix.length))
      if (bytes === undefined) continue
      const row = decodeRow(lane, id, bytes)
      const heldMs = Math.max(0, now - row.state.dueAt)
      const state = { ...row.state, held: false, dueAt: now, firstDueAt: row.state.firstDueAt + heldMs }
      removeParked(writes, lane, row.delivery, row.state)
      writes.push(putDue(lane, row.delivery, state))
      due.push({ lane, delivery: row.delivery, state })
    }
    if (due.length === 0) return resumed
    await store.write(writes)
    resumed += due.length
    for (const { lane: name, delivery, state } of due) {
      const lane = lanes.ensure(name)
      lanes.loadOrLeave(lane, delivery, state)
      lanes.wake(lane)
    }
  }
}
