import type { TriggerName } from "../../../core/delivery.ts"
import type { Write } from "../store.ts"
import type { Row } from "./lane.ts"
import { eachOpen, type Found, forget, putBack, type RowsPlace, takeOut } from "./open-rows.ts"

/** Drops a trigger's open deliveries, leased ones too; answers how many. See {@link eachOpen}. */
export async function dropOpen(place: RowsPlace, of: TriggerName): Promise<number> {
  let dropped = 0
  await eachOpen(place.store, of, async (found, isParked) => {
    const rows = await drop(place, found, isParked)
    dropped += rows.length
    return rows.length < found.length
  })
  return dropped
}

async function drop(place: RowsPlace, found: readonly Found[], isParked: boolean): Promise<readonly Row[]> {
  const writes: Write[] = []
  const rows: Row[] = []
  for (const each of found) {
    const known = place.lanes.find(each.lane)?.rows.get(each.delivery.id)
    if (known?.state !== "leaving") rows.push(takeOut(place, each, isParked, writes))
  }
  try {
    await place.store.write(writes)
  } catch (error) {
    putBack(place, rows)
    throw error
  }
  forget(place, rows)
  return rows
}
