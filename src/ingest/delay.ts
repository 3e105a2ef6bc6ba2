import type { Address } from "../core/address.ts"
import { decisionAttribute, deliverAtAttribute, deliverAtOf, unixMsOf, waitingAddress } from "../core/delayed.ts"
import { ExpectedLastError } from "../core/errors.ts"
import type { Event } from "../core/event.ts"
import type { Appended, EventLog, StoredEvent } from "../core/log.ts"
import type { Topic } from "../core/resources.ts"
import { isTimestamp } from "../formats/attributes.ts"
import { Refusal } from "./refusal.ts"

/** How far in the future an event may be due. */
export const delayMsMax = 366 * 86_400_000

/** An event that is durable; `deliverAt`: it waits until then, at this cursor, by which it can be cancelled. */
export interface Accepted extends Appended {
  /** Unix milliseconds. */
  readonly deliverAt?: number
}

const name = new TextEncoder().encode(deliverAtAttribute)
/** By a byte where the name may end: how far on it may end at the soonest. */
const skips = new Uint8Array(256).fill(name.length)
for (let i = 0; i < name.length - 1; i++) skips[name[i]!] = name.length - 1 - i

/** Whether the event may say until when it is delayed. It is asked of every event, and parses none. */
export function mayBeDelayed(event: Event): boolean {
  if (!event.mayBeExtended) return false
  const json = event.attributesJson
  const last = name.length - 1
  for (let end = last; end < json.length; end += skips[json[end]!]!) {
    if (json[end] === name[last] && isName(json, end - last)) return true
  }
  return false
}

function isName(json: Uint8Array, start: number): boolean {
  for (let i = 0; i < name.length; i++) if (json[start + i] !== name[i]) return false
  return true
}

/** Until when it is delayed, Unix milliseconds; undefined: it is not, or was. */
export function delayOf(event: Event, now: number): number | undefined | Refusal {
  const text = event.attribute(deliverAtAttribute)
  if (text === undefined) return undefined
  const at = typeof text === "string" && isTimestamp(text) ? unixMsOf(text) : Number.NaN
  if (Number.isNaN(at)) return refusal("must be an RFC 3339 time, like 2026-01-31T12:00:00Z")
  if (at <= now) return undefined
  if (at - now > delayMsMax) return refusal("may be 366 days from now at most")
  const expiry = unixMsOf(String(event.attribute("expirytime")))
  if (expiry <= at) return refusal("must be before expirytime: the event would be of no use when it is due")
  return at
}

/** The refusal of a condition on a topic's end together with events that do not go there yet. */
export const notConditional = refusal("cannot be used together with redcar-expected-last")

function refusal(message: string): Refusal {
  return new Refusal("invalid-argument", `${deliverAtAttribute} ${message}`, {
    errors: [{ field: deliverAtAttribute, message }],
  })
}

/** Stores an event where it waits. One that waits already, or is on the topic, is a duplicate; one that was cancelled is not. */
export async function putDelayed(log: EventLog, topic: Topic, address: Address, event: Event): Promise<Accepted> {
  const published = topic.dedupeWindowMs === 0 ? undefined : await log.find(address, event)
  if (published !== undefined) return { cursor: published.cursor, duplicate: true }
  const waiting = waitingAddress(topic, address, event)
  let expectedLast: Appended["cursor"] | "none" = "none"
  // Ends: each time somebody else has stored something there, which is done twice for an event at most.
  for (;;) {
    try {
      const [appended] = await log.append(waiting, [event], { expectedLast, dedupeWindowMs: 0 })
      return { cursor: appended!.cursor, duplicate: false, deliverAt: deliverAtOf(event) }
    } catch (error) {
      if (!(error instanceof ExpectedLastError)) throw error
    }
    const all = await allAt(log, waiting)
    const last = all.at(-1)
    const waits = all.findLast(({ event }) => event.attribute(decisionAttribute) === undefined)
    const isOver = waits === undefined || last?.event.attribute(decisionAttribute) === "cancelled"
    if (!isOver) return { cursor: waits.cursor, duplicate: true, deliverAt: deliverAtOf(waits.event) }
    expectedLast = last?.cursor ?? "none"
  }
}

async function allAt(log: EventLog, where: Address): Promise<readonly StoredEvent[]> {
  const all: StoredEvent[] = []
  const until = await log.last(where)
  if (until === undefined) return all
  for await (const { events } of log.read({ where, until })) all.push(...events)
  return all
}
