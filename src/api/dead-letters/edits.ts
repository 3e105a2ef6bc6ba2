import { createHash } from "node:crypto"
import Type, { type Static } from "typebox"
import { type Address, isReservedTopic } from "../../core/address.ts"
import { topicKeys, triggerKeys } from "../../core/catalog-keys.ts"
import { type DeadLetter, type Delivery, deliveryId, replayedId } from "../../core/delivery.ts"
import { editAttribute } from "../../core/edits.ts"
import { type Attributes, Event } from "../../core/event.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { Topic, Trigger } from "../../core/resources.ts"
import { recordEdit } from "../../deliver/records.ts"
import { orderKeyOf } from "../../filters/order-key.ts"
import { EventView } from "../../filters/view.ts"
import { describeLoss, parseWithLosses } from "../../formats/exact-json.ts"
import { InvalidEvent } from "../../formats/invalid-event.ts"
import { JsonDecoder } from "../../formats/json-decode.ts"
import { encodeEvent } from "../../formats/json-encode.ts"
import { joinPath } from "../../resources/check-schema.ts"
import type { Faults } from "../../resources/faults.ts"
import { isObject, mergePatch } from "../../resources/merge-patch.ts"
import { checkedElsewhere, component, strict } from "../../resources/schemas.ts"
import { writtenEvent } from "../as-written.ts"
import type { ApiContext } from "../context.ts"
import { eventOf } from "../deliveries/event-of.ts"
import { ProblemError } from "../errors.ts"
import { readBodyWith } from "../fields.ts"

/** Known for so long that an edit was published: it is asked for again after a crash, or not at all. */
const editWindowMs = 86_400_000

/** What a dead letter is redriven as: nothing given, as it is. */
export const RedriveOneInput = component(
  "RedriveOneInput",
  strict(
    {
      event: Type.Optional(
        checkedElsewhere("Event", {
          description: "All of another event, which is delivered instead; its id is replaced.",
        }),
      ),
      patch: Type.Optional(
        Type.Record(Type.String(), Type.Unknown(), {
          description:
            "Instead of `event`: what is different of the event that it was of, as a JSON merge patch (RFC 7396) of its attributes " +
            "and `data`.",
        }),
      ),
    },
    { examples: [{ patch: { subject: "customer-123", data: { total: 42.5 } } }] },
  ),
)

/** The event that is delivered instead. */
export const EditSchema = component(
  "Edit",
  Type.Object({ id: Type.String(), source: Type.String(), cursor: Type.String(), delivery: Type.String() }),
)
export type Edit = Static<typeof EditSchema>

/**
 * The event that a body says is to be delivered instead of a letter's; undefined: none, its own is. Throws RefusedError that names
 * what is wrong, and ProblemError where there is nothing to be edited.
 */
export async function readEdit(context: ApiContext, letter: DeadLetter, body: unknown): Promise<Event | undefined> {
  const read = await readBodyWith(RedriveOneInput, body, async ({ event, patch }, faults) => {
    if (event === undefined && patch === undefined) return { edited: undefined }
    if (event !== undefined && patch !== undefined) {
      for (const field of ["event", "patch"]) faults.add(field, "is there beside the other; give either event or patch")
      return undefined
    }
    if (!faults.clean("patch")) return undefined
    const stored = await eventOf(context, letter)
    const text = patch === undefined ? written(event, faults) : patched(stored, patch, faults)
    const decoded = text && decode(text, patch === undefined ? "event" : "patch", faults)
    return decoded && { edited: instead(letter, stored?.event, decoded) }
  })
  const { edited } = read
  const { eventBytesMax = Number.POSITIVE_INFINITY } = context
  if (edited !== undefined && edited.attributesJson.length + (edited.data?.length ?? 0) > eventBytesMax)
    throw new ProblemError("too-large", `an event may have ${eventBytesMax} bytes at most (limits.eventBytesMax)`)
  return edited
}

function written(event: unknown, faults: Faults): Buffer | undefined {
  if (isObject(event)) return writtenEvent(event)
  faults.add("event", "must be a CloudEvent in its JSON format")
  return undefined
}

/** The event as JSON with what is different. Data that stays is the same bytes. */
function patched(
  stored: StoredEvent | undefined,
  { data, ...attributes }: Readonly<Record<string, unknown>>,
  faults: Faults,
): Buffer | undefined {
  if (stored === undefined)
    throw new ProblemError("conflict", "its event is not there any more; give all of one, as event")
  const { event } = stored
  const isDataKept = data === undefined && !Object.hasOwn(attributes, "data_base64")
  const merged = mergePatch(event.attributes, { ...attributes, id: event.id }) as Attributes
  if (isDataKept) return encodeEvent(Event.of(merged, event.data, event.dataKind))
  if (data === undefined || data === null) return Buffer.from(JSON.stringify(merged))
  return Buffer.from(
    JSON.stringify({ ...merged, data: isObject(data) ? mergePatch(dataOf(event, faults), data) : data }),
  )
}

/** What an object is merged into. */
function dataOf({ data, dataKind }: Event, faults: Faults): unknown {
  if (data === undefined || dataKind !== "json") return undefined
  const { value, losses } = parseWithLosses(Buffer.from(data.buffer, data.byteOffset, data.length).toString("utf8"))
  for (const { path, ...loss } of losses)
    faults.add(
      joinPath("patch.data", path.join(".")),
      `${describeLoss(loss, false)}; or give all of the event, as event`,
    )
  return losses.length === 0 ? value : undefined
}

function decode(text: Buffer, field: string, faults: Faults): Event | undefined {
  const decoded = new JsonDecoder().decode(text)
  if (!(decoded instanceof InvalidEvent)) return decoded
  if (decoded.faults.length === 0) faults.add(field, decoded.detail)
  for (const each of decoded.faults) faults.add(joinPath(field, each.field), each.message)
  return undefined
}

/**
 * The event that stands for a letter's: its id is made of the letter, its death and what is in the event, so that the same edit asked
 * for twice is one event.
 */
function instead(letter: DeadLetter, before: Event | undefined, { attributes, data, dataKind }: Event): Event {
  const { id: _, ...rest } = attributes
  const flow = before && { causationid: before.id, correlationid: before.attribute("correlationid") ?? before.id }
  const own = { ...rest, ...flow, [editAttribute]: letter.id }
  const hash = createHash("sha256").update(JSON.stringify([letter.id, letter.diedAt, own, dataKind]))
  if (data !== undefined) hash.update(data)
  const { specversion = "1.0", ...others } = own as Attributes
  return Event.of({ specversion, id: `${letter.id}.${hash.digest("hex").slice(0, 16)}`, ...others }, data, dataKind)
}

/**
 * Stores the event on the letter's topic and has its delivery take the letter's place; answers undefined where the letter is not
 * there any more. A crash at any line leaves the letter as it is, or the new delivery in its place; the same asked again goes on.
 */
export async function redriveEdited(
  context: ApiContext,
  {
    letter,
    trigger,
    event,
    by,
  }: { readonly letter: DeadLetter; readonly trigger: Trigger; readonly event: Event; readonly by: string },
): Promise<Edit | undefined> {
  const { engine, clock } = context
  const stored = await store(context, letter.address, event)
  const delivery = deliveryOf(letter, trigger, stored)
  const { cursor } = stored
  const edit = { id: event.id, source: event.source, cursor, delivery: delivery.id }
  await recordEdit(engine.log, await eventOf(context, letter), letter, { edit, editedAt: clock.now(), by })
  return (await engine.queue.redrive(letter.tenant, letter.id, delivery)) ? edit : undefined
}

/** Throws ProblemError where nothing may be stored on the topic. */
async function store({ engine }: ApiContext, address: Address, event: Event): Promise<StoredEvent> {
  const { tenant, topic } = address
  if (isReservedTopic(topic))
    throw new ProblemError("conflict", `${topic} is written by the hub alone: its events are redriven as they are`)
  if ((await engine.catalog.get<Topic>(topicKeys.of({ tenant, id: topic }), { newest: true })) === undefined)
    throw new ProblemError("conflict", `topic ${topic} no longer exists, where the edited event would be stored`)
  const { log, dedupeWindowMsMax = editWindowMs } = engine
  const known = await log.find(address, event)
  if (known !== undefined) return known
  const dedupeWindowMs = Math.min(editWindowMs, dedupeWindowMsMax)
  const [appended] = await log.append(address, [event], { dedupeWindowMs })
  const stored = await log.get(appended!.cursor, { recent: true })
  if (stored === undefined) throw new ProblemError("conflict", `retention of topic ${topic} drops the event at once`)
  return stored
}

function deliveryOf(letter: DeadLetter, { ordering }: Trigger, stored: StoredEvent): Delivery {
  const { tenant, trigger, incarnation, destination, replay } = letter
  const { cursor, event } = stored
  const name = { tenant, trigger, incarnation }
  const id = replay === undefined ? deliveryId(cursor, trigger, incarnation) : replayedId(cursor, name, replay)
  const orderKey = ordering && orderKeyOf(ordering, new EventView(event))
  return {
    ...{ id, ...name, destination, cursor, fingerprint: fingerprintOf(stored) },
    ...(orderKey !== undefined && { orderKey }),
    ...(replay !== undefined && { replay }),
  }
}

/** The trigger that a letter's delivery was made for. */
export async function triggerOf({ engine }: ApiContext, { tenant, trigger: id }: DeadLetter): Promise<Trigger> {
  const found = await engine.catalog.get<Trigger>(triggerKeys.of({ tenant, id }))
  if (found === undefined) throw new ProblemError("conflict", `trigger ${id} was deleted`)
  return found.value
}
