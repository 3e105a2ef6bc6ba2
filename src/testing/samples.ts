import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { type Attributes, Event } from "../core/event.ts"
import type { Destination, Trigger } from "../core/resources.ts"

/** When a simulated machine begins, and what is in the samples was made. */
export const startMs = Date.UTC(2030, 0, 1)

export const ordersAddress: Address = { tenant: "default", topic: "orders" }

export function createEvent(id: string, attributes: Partial<Attributes> = {}): Event {
  const known = { specversion: "1.0", id, source: "/shop", type: "order.created" }
  return Event.of({ ...known, ...attributes } as Attributes, new TextEncoder().encode(`{"id":"${id}"}`), "json")
}

export function createTrigger(id: string, from: Cursor, rest: Partial<Trigger> = {}): Trigger {
  return {
    id,
    tenant: "default",
    createdAt: startMs,
    updatedAt: startMs,
    labels: {},
    topic: "orders",
    filters: [],
    destination: "there",
    retry: { delaysMs: [1_000], jitter: 0, attemptsMax: 3, ageMaxMs: 86_400_000 },
    from,
    ...rest,
  }
}

export function createDestination(id: string, rest: Partial<Destination> = {}): Destination {
  return {
    id,
    tenant: "default",
    createdAt: startMs,
    updatedAt: startMs,
    labels: {},
    kind: "test",
    config: {},
    concurrency: 32,
    signingKeys: [],
    ...rest,
  }
}
