import Type, { type Static } from "typebox"
import { parseTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { isFaulty, parseRetry } from "../../deliver/policies.ts"
import { isTimestamp } from "../../formats/attributes.ts"
import { joinPath } from "../../resources/check-schema.ts"
import type { Faults } from "../../resources/faults.ts"
import { readFilters } from "../../resources/filters.ts"
import { triggerFields } from "../../resources/triggers.ts"
import type { Judge } from "./verdict.ts"

const { id, description, labels, retry, start, paused } = triggerFields

/** The members of a trigger that is not saved. What only says where its deliveries go may be there, and decides nothing. */
export const unsavedFields = {
  id,
  description,
  labels,
  topic: Type.Optional(triggerFields.topic),
  filters: triggerFields.filters,
  destination: Type.Optional(triggerFields.destination),
  retry,
  start,
  paused,
}

type Unsaved = Static<ReturnType<typeof unsavedObject>>

function unsavedObject() {
  return Type.Object(unsavedFields)
}

/** What of an unsaved trigger decides about events; what is wrong with it is told to `faults`. */
export function readUnsaved(body: Unsaved, now: number, faults: Faults): Judge {
  const filters = readFilters(body.filters, faults)
  const retry = parseRetry(body.retry)
  if (isFaulty(retry)) for (const fault of retry) faults.add(joinPath("retry", fault.field), fault.message)
  const topic = faults.clean("topic") && body.topic !== undefined ? parseTopic(body.topic) : {}
  if (typeof topic === "string") faults.add("topic", topic)
  const from = faults.clean("start") ? readStart(body.start, faults) : undefined
  return {
    filters,
    ...(body.topic !== undefined && { topic: body.topic }),
    ...(from !== undefined && { from }),
    ...(body.paused === true && { paused: { since: now, reason: "as it was sent" } }),
  }
}

/** A trigger that is to start now would have no event yet: that is not what a question about one means. */
function readStart(start: Unsaved["start"], faults: Faults): Judge["from"] {
  if (start === undefined || typeof start === "string") return undefined
  if ("cursor" in start) return start.cursor as Cursor
  if (isTimestamp(start.time)) return { time: Date.parse(start.time) }
  faults.add("start.time", "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z")
  return undefined
}
