import type { Clock } from "../../../core/clock.ts"
import { type Delivery, laneOf, type TriggerName } from "../../../core/delivery.ts"
import type { Write } from "../store.ts"
import type { Enqueuing } from "./enqueue.ts"
import type { Row } from "./lane.ts"
import { eachOpen, type Found, forget, putBack, type RowsPlace, takeOut } from "./open-rows.ts"

/** What moving works on. */
export interface MovePlace extends RowsPlace {
  readonly clock: Clock
  readonly enqueuing: Enqueuing
}

/** Adds deliveries to the queue that has their lane; durable when it resolves, and idempotent. */
export type EnqueueElsewhere = (deliveries: readonly Delivery[]) => Promise<void>

/**
 * Brings a trigger's open deliveries to another destination, as they would be had they just been found; leased ones stay.
 * Answers how many. In this queue it is one step for each, so that a crash leaves none twice; `elsewhere` takes them before
 * they are gone from here. See {@link eachOpen}.
 */
export async function moveOpen(
  place: MovePlace,
  of: TriggerName,
  destination: string,
  elsewhere?: EnqueueElsewhere,
): Promise<number> {
  const to = laneOf({ tenant: of.tenant, destination })
  let moved = 0
  await eachOpen(place.store, of, async (found, isParked) => {
    const away = found.filter(({ lane, delivery }) => lane !== to && delivery.replay === undefined)
    const state = ({ lane, delivery }: Found) => place.lanes.find(lane)?.rows.get(delivery.id)?.state
    const free = away.filter(
      (each) => each.state.kept === undefined && !["leaving", "leased"].includes(state(each) ?? ""),
    )
    const leaving = away.some((each) => state(each) === "leaving")
    await move(place, free, isParked, destination, elsewhere)
    moved += free.length
    return leaving
  })
  return moved
}

async function move(
  place: MovePlace,
  found: readonly Found[],
  isParked: boolean,
  destination: string,
  elsewhere: EnqueueElsewhere | undefined,
): Promise<void> {
  if (found.length === 0) return
  const { store, clock, enqueuing } = place
  const writes: Write[] = []
  const rows: Row[] = found.map((each) => takeOut(place, each, isParked, writes))
  const deliveries = found.map(({ delivery }) => ({ ...delivery, destination }))
  try {
    await elsewhere?.(deliveries)
    await (elsewhere === undefined ? enqueuing.add(deliveries, clock.now(), writes) : store.write(writes))
  } catch (error) {
    putBack(place, rows)
    throw error
  }
  forget(place, rows)
}
