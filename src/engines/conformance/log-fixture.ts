import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Attributes, type DataKind, Event } from "../../core/event.ts"
import type { EventLog, ReadOptions, StoredEvent } from "../../core/log.ts"

export const orders: Address = { tenant: "acme", topic: "orders" }
export const users: Address = { tenant: "acme", topic: "users" }
/** One key of `orders`. */
export const key = (key: string): Address => ({ ...orders, key })

export function event(id: string, attributes: Attributes = {}, data?: Uint8Array, kind?: DataKind): Event {
  return Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created", ...attributes }, data, kind)
}

export const events = (count: number, prefix = "e") => Array.from({ length: count }, (_, i) => event(`${prefix}${i}`))

export async function all(log: EventLog, options: ReadOptions = {}): Promise<readonly StoredEvent[]> {
  const stored: StoredEvent[] = []
  for await (const batch of log.read(options)) stored.push(...batch.events)
  return stored
}

export const ids = (stored: readonly StoredEvent[]) => stored.map((one) => one.event.id)

export const read = async (log: EventLog, options: ReadOptions = {}) => ids(await all(log, options))

/** Appends one; its cursor. */
export async function append(log: EventLog, address: Address, one: Event): Promise<Cursor> {
  const [appended] = await log.append(address, [one])
  return appended!.cursor
}
