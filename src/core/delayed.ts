import { createHash } from "node:crypto"
import type { Address } from "./address.ts"
import type { Cursor } from "./cursor.ts"
import { type Delivery, deliveryId } from "./delivery.ts"
import { ExpectedLastError } from "./errors.ts"
import { Event } from "./event.ts"
import { fingerprintOf } from "./fingerprint.ts"
import type { EventLog, StoredEvent } from "./log.ts"
import type { Topic } from "./resources.ts"

/** Where a tenant's delayed events are until they are due, with what was decided of each. Nobody can name it. */
export const delayedTopic = "redcar.delayed"

/** The attribute that says until when an event is delayed, RFC 3339. */
export const deliverAtAttribute = "deliverat"

/** Of a record that says what was decided of a delayed event: a {@link Decision}. Only the hub writes it. */
export const decisionAttribute = "redcardelayed"

/** The destination of deliveries that release an event; no name of a resource is like it. */
export const delayedDestination = "~delayed"

/** `claimed`: it is being published, and cannot be cancelled any more; it is dropped when it is. `cancelled`: when it is due. */
export type Decision = "claimed" | "cancelled"

/** Whether these are delayed events: no read, trigger or delivery sees them. */
export function isDelayed({ topic }: { readonly topic: string }): boolean {
  return topic === delayedTopic
}

/** When it is due, Unix milliseconds; of an event whose attribute was checked. */
export function deliverAtOf(event: Event): number {
  return unixMsOf(String(event.attribute(deliverAtAttribute)))
}

/** An RFC 3339 time as Unix milliseconds, a leap second as the one after it; NaN where it is none. */
export function unixMsOf(text: string): number {
  const isLeap = text.slice(16, 19) === ":60"
  return isLeap ? Date.parse(`${text.slice(0, 16)}:59${text.slice(19)}`) + 1_000 : Date.parse(text)
}

/**
 * Where an event waits that was published to `address`: one place for each `source` + `id` of a topic, and of none that was
 * deleted and made anew.
 */
export function waitingAddress(topic: Pick<Topic, "createdAt">, address: Address, event: Event): Address {
  const said = JSON.stringify([topic.createdAt, event.source, event.id])
  const hash = createHash("sha256").update(said).digest("base64url").slice(0, 22)
  const key = `${address.topic}.${hash}${address.key === undefined ? "" : `:${address.key}`}`
  return { tenant: address.tenant, topic: delayedTopic, key }
}

/** The inverse: where the event at a waiting address is to be published. */
export function targetOf({ tenant, key = "" }: Address): Address {
  const colon = key.indexOf(":")
  const topic = key.slice(0, key.indexOf("."))
  return colon < 0 ? { tenant, topic } : { tenant, topic, key: key.slice(colon + 1) }
}

/** The trigger that a topic's delayed events are deliveries of. */
export function delayedTriggerOf(topic: string): string {
  return `~${topic}`
}

/** What releases this event; undefined: it is a record of a decision. */
export function releaseOf(stored: StoredEvent): Delivery | undefined {
  const { address, cursor, event } = stored
  if (event.attribute(decisionAttribute) !== undefined) return undefined
  const trigger = delayedTriggerOf(targetOf(address).topic)
  return {
    ...{ id: deliveryId(cursor, trigger, ""), tenant: address.tenant, trigger, incarnation: "", cursor },
    ...{ destination: delayedDestination, fingerprint: fingerprintOf(stored) },
  }
}

/** What was decided of a delayed event, where that is noted, and where its address ends. */
export interface Standing {
  readonly decision: Decision | undefined
  readonly noted?: Cursor | undefined
  readonly last: Cursor
}

/** How a delayed event stands, as the log has it. */
export async function standingOf(log: EventLog, { address, cursor }: StoredEvent): Promise<Standing> {
  const last = await log.last(address)
  if (last === undefined || last === cursor) return { decision: undefined, last: cursor }
  for await (const { events } of log.read({ where: address, from: cursor, until: last })) {
    for (const { event, cursor: noted } of events) {
      const decision = event.attribute(decisionAttribute) as Decision | undefined
      // Where another event is next, this one was cancelled before it came.
      return decision === undefined ? { decision: "cancelled", last } : { decision, noted, last }
    }
  }
  return { decision: undefined, last }
}

/** Decides, unless somebody else has decided since `last`. Answers where the address ends then; undefined: somebody has. */
export async function decide(
  log: EventLog,
  { address, event }: StoredEvent,
  decision: Decision,
  last: Cursor,
): Promise<Cursor | undefined> {
  const record = Event.of({
    ...{ specversion: "1.0", id: `${event.id}.${decision}`, source: "/redcar/delayed", type: "redcar.delayed" },
    [decisionAttribute]: decision,
  })
  try {
    const [appended] = await log.append(address, [record], { expectedLast: last, dedupeWindowMs: 0 })
    return appended!.cursor
  } catch (error) {
    if (error instanceof ExpectedLastError) return undefined
    throw error
  }
}
