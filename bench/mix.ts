import type { Cursor } from "../src/core/cursor.ts"
import { type Attributes, Event } from "../src/core/event.ts"
import type { StoredEvent } from "../src/core/log.ts"
import type { Filter, Trigger } from "../src/core/resources.ts"
import { EventView } from "../src/filters/view.ts"

/** Numbers in [0, 1) from a seed. */
export function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** How many types of event there are, so that an event fires about as many triggers however many there are. */
export interface Mix {
  readonly name: string
  /** Triggers to one type of event. */
  readonly perType: number
  /** Whether events take types and ids by Zipf's law, as those of a hub do, rather than evenly, which no cache helps. */
  readonly zipf?: boolean
}

export function typesOf({ perType }: Mix, triggers: number): number {
  return Math.max(1, Math.round(triggers / perType))
}

/** 60 % exact type, 10 % type prefix, 10 % source, 10 % a field of data, 5 % a number, 5 % wildcard or suffix. */
export function filterOf(chance: () => number, types: number): Filter {
  const type = `com.example.t${Math.floor(chance() * types)}`
  const kind = chance()
  const id = Math.floor(chance() * types * 2)
  if (kind < 0.6) return { exact: { type } }
  if (kind < 0.7) return { prefix: { type: `${type}.` } }
  if (kind < 0.8) return { exact: { source: `/shop/${id}` } }
  if (kind < 0.9) return { pattern: { data: { customer: [`c${id}`] } } }
  if (kind < 0.95) return { pattern: { data: { total: [{ numeric: [">=", id, "<", id + 2] }] } } }
  return chance() < 0.5 ? { suffix: { subject: `-${id}` } } : { path: { subject: `/orders/*/${id}/**` } }
}

const encoder = new TextEncoder()

/** An event as it comes out of the log: bytes, nothing parsed. */
export function eventOf(chance: () => number, types: number, index: number, zipf = false): StoredEvent {
  const below = (count: number) => Math.floor(zipf ? count ** chance() - 1 : chance() * count)
  const n = () => below(types * 2)
  const type = `com.example.t${below(types)}${chance() < 0.5 ? ".created" : ""}`
  const attributes: Attributes = {
    specversion: "1.0",
    id: `e${index}`,
    source: `/shop/${n()}`,
    type,
    subject: chance() < 0.5 ? `/orders/eu/${n()}/items` : `order-${n()}`,
    time: "2026-01-01T00:00:00Z",
    datacontenttype: "application/json",
  }
  const data = { customer: `c${n()}`, total: n() + chance(), items: [{ sku: "A1", n: 2 }] }
  return storedOf(attributes, data)
}

/** An event whose attributes and data are bytes only. */
export function storedOf(attributes: Attributes, data: unknown): StoredEvent {
  const event = Event.fromJson(encoder.encode(JSON.stringify(attributes)), encoder.encode(JSON.stringify(data)), "json")
  return { address: { tenant: "default", topic: "orders" }, cursor: "1" as Cursor, storedAt: 0, event }
}

/** The event's view with attributes and data parsed, and nothing else done to them. */
export function parsed({ event }: StoredEvent): EventView {
  void event.attributes
  const view = new EventView(event)
  view.data()
  return view
}

export function triggerOf(index: number, filters: readonly Filter[]): Trigger {
  return {
    id: `trg-${index}`,
    tenant: "default",
    topic: "orders",
    filters,
    createdAt: 0,
    updatedAt: 0,
    labels: {},
    destination: "d",
    retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1 },
    from: "0" as Cursor,
  }
}

export function triggersOf(chance: () => number, count: number, types: number): readonly Trigger[] {
  return Array.from({ length: count }, (_, index) => triggerOf(index, [filterOf(chance, types)]))
}
