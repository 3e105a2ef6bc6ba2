import { parseTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Delivery } from "../core/delivery.ts"
import { deliveryId } from "../core/delivery.ts"
import type { EventLog, StoredEvent } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"

/** What the router keeps of a trigger in the catalog. */
export interface RoutingRecord {
  /** Which trigger of this id: one that was deleted and made anew is another one. */
  readonly of: string
  /** What partition of the log its topic is in; absent: the first. */
  readonly partition?: number
  /** Set while the main reader serves the trigger: for the events after this cursor. */
  readonly attachedAfter?: Cursor
}

export const triggerPrefix = "trigger/"
export const routingPrefix = "routing/"
/** The name of a partition's main reader. */
export function mainReaderOf(partition: number): string {
  return partition === 0 ? "router" : `router-${partition}`
}

/** What partition of the log a trigger's events are in. */
export function partitionOf(log: EventLog, { tenant, topic }: Trigger): number {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") throw new TypeError(parsed)
  return log.partitionOf({ tenant, ...parsed })
}

/** The trigger's own place among triggers, and the name of its reader. */
export function readerOf(path: string): string {
  return `${triggerPrefix}${path}`
}

export function pathOf(trigger: { readonly tenant: string; readonly id: string }): string {
  return `${trigger.tenant}/${trigger.id}`
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
