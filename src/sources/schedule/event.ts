import type { Event } from "../../core/event.ts"
import type { Schedule } from "../../core/schedules.ts"
import { hubAttributes } from "../../formats/attributes.ts"
import type { InvalidEvent } from "../../formats/invalid-event.ts"
import { JsonDecoder } from "../../formats/json-decode.ts"

/** Attributes that a schedule's event has from elsewhere: they are no extensions. */
const ownNames: readonly string[] = [
  ...["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data", "data_base64"],
  ...hubAttributes,
]

/** What makes an event of a schedule. */
export type Made = Pick<Schedule, "id" | "incarnation" | "event">

/**
 * The event of a schedule's run at `tick`, checked as one that is published; each time the same one. Its id holds the schedule, its
 * incarnation and the tick: no other run has it.
 */
export function eventOf({ id, incarnation, event }: Made, tick: number): Event | InvalidEvent {
  const { type, source = `/schedules/${id}`, subject, data, dataContentType, extensions } = event
  const time = timeText(tick)
  const attributes = { specversion: "1.0", id: `${id}.${incarnation}.${time}`, source, type, time }
  const more = { subject, datacontenttype: dataContentType, ...extensions, data }
  return new JsonDecoder().decode(Buffer.from(JSON.stringify({ ...attributes, ...more })))
}

/** Whether an extension may not have this name. */
export function isOwnName(name: string): boolean {
  return ownNames.includes(name)
}

/** `2026-01-31T12:00:00Z`, with fractions of a second where there are any. */
export function timeText(instant: number): string {
  return new Date(instant).toISOString().replace(".000Z", "Z")
}
