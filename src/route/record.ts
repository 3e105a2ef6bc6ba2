import { parseTopic } from "../core/address.ts"
import type { Delivery } from "../core/delivery.ts"
import { deliveryId } from "../core/delivery.ts"
import type { EventLog, StoredEvent } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"

export { mainReaderOf, pathOf, type RoutingRecord, readerOf, routingPrefix } from "../core/routing.ts"

export const triggerPrefix = "trigger/"

/** What partition of the log a trigger's events are in. */
export function partitionOf(log: EventLog, { tenant, topic }: Trigger): number {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") throw new TypeError(parsed)
  return log.partitionOf({ tenant, ...parsed })
}

/** Tells a trigger from an earlier one of the same id. */
export function incarnationOf(trigger: Trigger): string {
  return `${trigger.createdAt} ${trigger.from}`
}

export function deliveryOf(stored: StoredEvent, trigger: Trigger): Delivery {
  return {
    id: deliveryId(stored.cursor, trigger.id),
    tenant: trigger.tenant,
    trigger: trigger.id,
    destination: trigger.destination,
    cursor: stored.cursor,
  }
}
