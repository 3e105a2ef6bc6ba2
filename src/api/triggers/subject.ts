import Type from "typebox"
import { type Address, formatTopic, parseTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Event } from "../../core/event.ts"
import { InvalidEvent } from "../../formats/invalid-event.ts"
import { JsonDecoder } from "../../formats/json-decode.ts"
import { joinPath } from "../../resources/check-schema.ts"
import type { Faults } from "../../resources/faults.ts"
import { isObject } from "../../resources/merge-patch.ts"
import { checkedElsewhere, component, Timestamp } from "../../resources/schemas.ts"
import { writtenEvent } from "../as-written.ts"
import type { ApiContext } from "../context.ts"
import { eventAt } from "../events/event-query.ts"

/** The event that a question is about: one of the log, or one that nobody has published. */
export interface Subject {
  readonly event: Event
  readonly address: Address
  /** Where it is in the log; undefined for an event that came with the question. */
  readonly stored?: { readonly cursor: Cursor; readonly storedAt: number }
}

/** The members of a body that name a {@link Subject}: exactly one of the two. */
export const subjectFields = {
  cursor: Type.Optional(Type.String({ description: "A stored event's cursor." })),
  event: Type.Optional(checkedElsewhere("Event", { description: "An event, instead of a stored one's cursor." })),
}

export const SubjectSchema = component(
  "SubjectEvent",
  Type.Object(
    {
      id: Type.String(),
      source: Type.String(),
      type: Type.String(),
      topic: Type.Optional(Type.String({ description: "Where it is, or would be: with its key." })),
      cursor: Type.Optional(Type.String({ description: "Absent for an event that came with the question." })),
      storedAt: Type.Optional(Timestamp),
    },
    { description: "The event that was asked about." },
  ),
)

interface SubjectBody {
  readonly cursor?: string
  readonly event?: unknown
}

/** Of an event that is on no topic, since nobody asks which. */
export const nowhere = ""

/**
 * The event that a body names. One in the body is taken to be on `topic`; where that is wrong or missing, `faults` is told.
 * Throws ProblemError where nothing of this tenant is at the cursor.
 */
export async function readSubject(
  context: ApiContext,
  tenant: string,
  { cursor, event }: SubjectBody,
  topic: string | undefined,
  faults: Faults,
): Promise<Subject | undefined> {
  if (!faults.clean("cursor")) return undefined
  if (cursor === undefined && event === undefined) {
    faults.add("", "give either cursor, of a stored event, or event, a CloudEvent in JSON")
    return undefined
  }
  if (cursor !== undefined && event !== undefined) {
    for (const field of ["cursor", "event"]) faults.add(field, "is there beside the other; give either cursor or event")
    return undefined
  }
  if (cursor !== undefined) {
    const stored = await eventAt(context, tenant, cursor)
    return { event: stored.event, address: stored.address, stored }
  }
  const decoded = readEvent(event, faults)
  const address = readAddress(tenant, topic, faults)
  return decoded && address && { event: decoded, address }
}

function readAddress(tenant: string, topic: string | undefined, faults: Faults): Address | undefined {
  if (topic === nowhere) return { tenant, topic }
  if (!faults.clean("topic")) return undefined
  const parsed = topic === undefined ? "is required where the event is not a stored one" : parseTopic(topic)
  if (typeof parsed !== "string") return { tenant, ...parsed }
  faults.add("topic", parsed)
  return undefined
}

/** The bytes are decoded as a publish would, so that what is no event is refused in the same words. */
function readEvent(value: unknown, faults: Faults): Event | undefined {
  if (!isObject(value)) {
    faults.add("event", "must be a CloudEvent in its JSON format")
    return undefined
  }
  const decoded = new JsonDecoder().decode(writtenEvent(value))
  if (!(decoded instanceof InvalidEvent)) return decoded
  if (decoded.faults.length === 0) faults.add("event", decoded.detail)
  for (const { field, message } of decoded.faults) faults.add(joinPath("event", field), message)
  return undefined
}

/** The event as answers show it: what names it, and where it is. */
export function showSubject({ event, address, stored }: Subject): Record<string, unknown> {
  return {
    id: event.id,
    source: event.source,
    type: event.type,
    ...(address.topic !== nowhere && { topic: formatTopic(address) }),
    ...(stored && { cursor: stored.cursor, storedAt: new Date(stored.storedAt).toISOString() }),
  }
}
