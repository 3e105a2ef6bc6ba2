import Type, { type Static } from "typebox"
import { attemptsTopic, parseTopic } from "../../core/address.ts"
import { triggerKeys } from "../../core/catalog-keys.ts"
import { scan } from "../../core/catalog-scan.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Attempt, type Delivery, deliveryId, type Outcome, type Verdict } from "../../core/delivery.ts"
import type { Event } from "../../core/event.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { OpenDelivery } from "../../core/open-delivery.ts"
import { createPace } from "../../core/pace.ts"
import type { Trigger } from "../../core/resources.ts"
import { choice, component, Timestamp } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { EditSchema } from "../dead-letters/edits.ts"
import { type ToldEnd, toldEndsOf } from "../dead-letters/told-discards.ts"
import type { Share } from "../room.ts"
import { HeldBacks, heldBackFields } from "./held-back.ts"
import { openOfEvent } from "./open-of-event.ts"

/** Attempts shown of one event at most, its first ones. */
const attemptsMax = 10_000
/** Their responses are shown until they are so large together. */
const responsesBytesMax = 8 * 1024 * 1024
/** What a delivery takes, and an attempt besides its response, about. */
const shownBytes = 128
/** Deliveries looked up at once. */
const atOnce = 64

export const OutcomeSchema = component(
  "Outcome",
  Type.Object({
    kind: choice(["delivered", "failed"]),
    detail: Type.String({ examples: ["204 No Content"] }),
    permanent: Type.Optional(Type.Boolean({ description: "No later attempt can succeed." })),
    retryAfterMs: Type.Optional(Type.Integer()),
    gone: Type.Optional(Type.Boolean()),
    unsent: Type.Optional(
      Type.Boolean({ description: "Nothing was sent: the receiver has not agreed to the handshake yet." }),
    ),
    response: Type.Optional(
      Type.Object({
        status: Type.Integer(),
        headers: Type.Record(Type.String(), Type.String()),
        body: Type.String({ description: "Its first 4 KiB." }),
        bodyEncoding: choice(["utf8", "base64"]),
        bodyTruncated: Type.Boolean(),
      }),
    ),
    reply: Type.Optional(
      Type.Object(
        {
          kind: choice(["published", "refused"]),
          topic: Type.Optional(Type.String()),
          cursors: Type.Optional(Type.Array(Type.String(), { description: "Where its events are." })),
          duplicate: Type.Optional(
            Type.Boolean({ description: "They are those of an earlier attempt, or were on the topic already." }),
          ),
          detail: Type.Optional(Type.String({ description: "Why it was refused." })),
        },
        { description: "What became of the events that it answered with, where the trigger has a `reply`." },
      ),
    ),
  }),
)

export const AttemptSchema = component(
  "Attempt",
  Type.Object({
    number: Type.Integer({ description: "From 1." }),
    destination: Type.String({
      description: "Where it went: another one than the delivery's, where that was moved since.",
    }),
    startedAt: Timestamp,
    durationMs: Type.Number(),
    batch: Type.Optional(
      Type.Object(
        { id: Type.String({ description: "Its `webhook-id`." }), events: Type.Integer() },
        { description: "The request in which it was made together with others; absent: alone." },
      ),
    ),
    outcome: OutcomeSchema,
  }),
)

export const DeliverySchema = component(
  "Delivery",
  Type.Object({
    id: Type.String(),
    trigger: Type.String(),
    destination: Type.String({
      description: "Where it is to go, or where it went last; a trigger's own may be another one by now.",
    }),
    replay: Type.Optional(
      Type.String({ description: "The replay that made it; absent of one that was made when its event came." }),
    ),
    state: choice(["due", "leased", "parked", "held", "waiting", "done", "dead", "discarded", "edited", "dropped"], {
      description:
        "due: waits for its turn; leased: being sent; parked: waits for its retry; held: its trigger is paused; waiting: for another one of " +
        "its order key; " +
        "done: delivered; dead: given up; discarded: given up, and discarded since; edited: given up, and redriven as another event since; " +
        "dropped: its trigger was deleted before it was done.",
    }),
    attempts: Type.Array(AttemptSchema),
    dueAt: Type.Optional(Timestamp),
    ...heldBackFields,
    discarded: Type.Optional(
      Type.Object(
        { at: Timestamp, reason: Type.String(), by: Type.Optional(Type.String({ description: "The id of the key." })) },
        { description: "When and why it was, where it is." },
      ),
    ),
    edited: Type.Optional(
      Type.Object(
        { at: Timestamp, by: Type.String({ description: "The id of the key." }), as: EditSchema },
        { description: "When it was, and which event is delivered instead, where it is." },
      ),
    ),
  }),
)

export type ShownAttempt = Static<typeof AttemptSchema>
export type ShownDelivery = Static<typeof DeliverySchema>

/** What an attempt's event holds, as far as it is shown. */
interface AttemptData extends Attempt {
  readonly delivery: string
  readonly trigger: string
  readonly incarnation?: string
  readonly replay?: string
  readonly destination: string
  /** Also held, and lost: the attempt came to its end when somebody else had the delivery. */
  readonly verdict?: { readonly kind: Verdict["kind"] | "held" | "lost" }
}

/** A trigger that may have fired, which one of its id, and where to. */
export interface Fired {
  readonly trigger: string
  readonly incarnation: string
  readonly destination: string
  readonly replay?: string | undefined
}

interface Tried extends Fired {
  /** Of the last one that anything followed from, as is the verdict. */
  destination: string
  readonly attempts: ShownAttempt[]
  verdict: string | undefined
}

/** What became of an event: its open deliveries, its dead letters, and those that attempts tell of. */
export async function deliveriesOf(
  context: ApiContext,
  stored: StoredEvent,
  share: Share,
): Promise<readonly ShownDelivery[]> {
  return deliveriesFor(context, stored, await triggersFor(context, stored, share), share)
}

/** The same where it is known which triggers may have fired, and room is taken for them. */
export async function deliveriesFor(
  context: ApiContext,
  stored: StoredEvent,
  fired: readonly Fired[],
  share: Share,
): Promise<readonly ShownDelivery[]> {
  const { address, cursor } = stored
  const { tenant } = address
  const [tried, ends] = await Promise.all([
    attemptsOf(context, tenant, cursor, share),
    toldEndsOf(context, tenant, cursor),
  ])
  const open = await openOfEvent(context, tenant, cursor)
  share.add(open.size * shownBytes)
  const heldBacks = new HeldBacks(context, tenant)
  await heldBacks.look([...open.values()])
  const pace = createPace(context.clock)
  const candidates = new Map<string, Fired>()
  for (const each of fired) {
    candidates.set(deliveryId(cursor, each.trigger, each.incarnation), each)
    await pace()
  }
  for (const [id, each] of [...ends, ...tried]) candidates.set(id, each)
  for (const [id, { delivery }] of open) candidates.set(id, delivery)
  const shown: ShownDelivery[] = []
  const fingerprint = fingerprintOf(stored)
  const all = Array.from(candidates, ([id, { trigger, incarnation, destination, replay }]): Delivery => {
    const delivery = { id, tenant, trigger, incarnation, destination, cursor, fingerprint }
    return replay === undefined ? delivery : { ...delivery, replay }
  })
  for (let i = 0; i < all.length; i += atOnce) {
    const some = all.slice(i, i + atOnce).map((delivery) =>
      showDelivery(context, delivery, {
        open: open.get(delivery.id),
        tried: tried.get(delivery.id),
        end: ends.get(delivery.id),
      }),
    )
    for (const each of await Promise.all(some)) {
      const at = each && open.get(each.id)
      if (each !== undefined) shown.push({ ...each, ...(at && heldBacks.of(at)) })
    }
    await pace()
  }
  return shown.sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The attempts of the event at `cursor`, by delivery. */
export async function attemptsOf(
  context: ApiContext,
  tenant: string,
  cursor: Cursor,
  share: Share,
): Promise<ReadonlyMap<string, Tried>> {
  const tried = new Map<string, Tried>()
  const where = { tenant, topic: attemptsTopic, key: cursor as string }
  let count = 0
  let responses = 0
  const { log } = context.engine
  for await (const { events } of log.read({ where, from: log.partitions === 1 ? cursor : "oldest" })) {
    for (const { event } of events) {
      const data = attemptData(event)
      if (data === undefined || ++count > attemptsMax) continue
      const { delivery, trigger, incarnation = "", destination, replay } = data
      const fired = { trigger, incarnation, destination, replay }
      const before = tried.get(delivery) ?? { ...fired, attempts: [], verdict: undefined }
      const { response, ...outcome } = data.outcome
      const bytes = response === undefined ? 0 : (event.data?.length ?? 0)
      responses += bytes
      const isShown = responses <= responsesBytesMax
      share.add(shownBytes + (isShown ? bytes : 0))
      before.attempts.push(showAttempt(isShown ? data : { ...data, outcome: outcome as Outcome }))
      if (data.verdict?.kind !== "lost") Object.assign(before, { verdict: data.verdict?.kind, destination })
      tried.set(delivery, before)
    }
    if (count > attemptsMax) break
  }
  return tried
}

/** An outcome as it is shown. */
export function showOutcome(outcome: Outcome): Static<typeof OutcomeSchema> {
  return outcome as Static<typeof OutcomeSchema>
}

async function triggersFor(context: ApiContext, { address }: StoredEvent, share: Share): Promise<readonly Fired[]> {
  const found: Fired[] = []
  await scan<Trigger>(context, triggerKeys.ofTenant(address.tenant), ({ value }) => {
    const of = parseTopic(value.topic)
    if (typeof of === "string" || of.topic !== address.topic) return true
    if (of.key !== undefined && of.key !== address.key) return true
    share.add(shownBytes)
    found.push({ trigger: value.id, incarnation: value.incarnation ?? "", destination: value.destination })
    return true
  })
  return found
}

/** What is known of a delivery: where it is open, and what the log was told. */
interface Told {
  readonly open: OpenDelivery | undefined
  readonly tried: Tried | undefined
  /** How its dead letter was taken away. */
  readonly end: ToldEnd | undefined
}

async function showDelivery(context: ApiContext, delivery: Delivery, told: Told): Promise<ShownDelivery | undefined> {
  const { queue } = context.engine
  const open = told.open ?? (await queue.open(delivery))
  const dead = open === undefined ? await queue.deadLetter(delivery.tenant, delivery.id) : undefined
  const { tried, end } = told
  if ([open, dead, tried, end].every((each) => each === undefined)) return undefined
  const state = stateOf(open, dead !== undefined, told)
  return {
    id: delivery.id,
    trigger: delivery.trigger,
    // A trigger's destination can change: what counts is where the delivery is, or was last.
    destination: (open?.delivery ?? dead ?? tried ?? end ?? delivery).destination,
    ...(delivery.replay !== undefined && { replay: delivery.replay }),
    state,
    attempts: tried?.attempts ?? [],
    ...(open !== undefined && { dueAt: new Date(open.dueAt).toISOString() }),
    ...(end !== undefined && end.kind === state && showEnd(end)),
  }
}

/** What was discarded may have been resent since: then the last attempt tells. */
function stateOf(
  open: OpenDelivery | undefined,
  isDead: boolean,
  { tried, end }: Omit<Told, "open">,
): ShownDelivery["state"] {
  if (open !== undefined) return open.state
  if (isDead) return "dead"
  if (end !== undefined && (tried === undefined || tried.verdict === "dead")) return end.kind
  if (tried?.verdict === "dead") return "dead"
  return tried?.verdict === "done" ? "done" : "dropped"
}

function showEnd(end: ToldEnd): Pick<ShownDelivery, "discarded" | "edited"> {
  if (end.kind === "edited") {
    const { edit, editedAt, by } = end
    return { edited: { at: new Date(editedAt).toISOString(), by, as: edit } }
  }
  const { discardedAt, reason, by } = end
  return { discarded: { at: new Date(discardedAt).toISOString(), reason, ...(by !== undefined && { by }) } }
}

function attemptData(event: Event): AttemptData | undefined {
  if (event.dataKind !== "json" || event.data === undefined) return undefined
  return JSON.parse(Buffer.from(event.data).toString("utf8")) as AttemptData
}

function showAttempt({ number, destination, startedAt, durationMs, batch, outcome }: AttemptData): ShownAttempt {
  return {
    number,
    destination,
    startedAt: new Date(startedAt).toISOString(),
    durationMs,
    ...(batch && { batch }),
    outcome: showOutcome(outcome),
  }
}
