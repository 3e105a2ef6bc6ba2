import { parseTopic } from "../core/address.ts"
import type { Delivery } from "../core/delivery.ts"
import { deliveryId } from "../core/delivery.ts"
import { fingerprintOf } from "../core/fingerprint.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import { orderKeyOf } from "../filters/order-key.ts"
import { EventView } from "../filters/view.ts"

export { mainReaderOf, pathOf, type RoutingRecord, readerOf } from "../core/routing.ts"

/** What partition of the log a trigger's events are in. */
export function partitionOf(log: EventLog, { tenant, topic }: Trigger): number {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") throw new TypeError(parsed)
  return log.partitionOf({ tenant, ...parsed })
}

/** Tells a trigger from an earlier one of the same id, in what is kept of it; also those that have no incarnation. */
export function markOf({ incarnation, createdAt, from }: Trigger): string {
  return incarnation ?? `${createdAt} ${from}`
}

/** The incarnation of the trigger that has this mark. */
export function incarnationIn(mark: string): string {
  return mark.includes(" ") ? "" : mark
}

/** What an event owes to each of the triggers that it fired. */
export function deliveriesOf(stored: StoredEvent, triggers: readonly Trigger[]): readonly Delivery[] {
  if (triggers.length === 0) return []
  const { cursor } = stored
  const fingerprint = fingerprintOf(stored)
  let view: EventView | undefined
  return triggers.map(({ tenant, id: trigger, incarnation = "", destination, ordering }) => {
    const id = deliveryId(cursor, trigger, incarnation)
    const delivery = { id, tenant, trigger, incarnation, destination, cursor, fingerprint }
    if (ordering === undefined) return delivery
    view ??= new EventView(stored.event)
    const orderKey = orderKeyOf(ordering, view)
    return orderKey === undefined ? delivery : { ...delivery, orderKey }
  })
}
