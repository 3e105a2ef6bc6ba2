import Type, { type Static } from "typebox"
import { deliveryId } from "../../core/delivery.ts"
import type { StoredEvent } from "../../core/log.ts"
import { checkedElsewhere, choice, component, componentKeyword, strict, Timestamp } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { deliveriesFor, type ShownDelivery } from "../deliveries/deliveries.ts"
import { readQuery } from "../fields.ts"
import type { Share } from "../room.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { type TriggerVerdict, triggerVerdictsFor } from "../triggers/trigger-verdicts.ts"
import { eventAt } from "./event-query.ts"
import { flowEvent, lineageOf } from "./lineage.ts"

const eventsDefault = 100
const eventsMax = 1_000

const JourneyQuery = strict({
  eventsMax: Type.Optional(
    Type.Integer({ minimum: 0, maximum: eventsMax, default: eventsDefault, description: "Caused events shown." }),
  ),
})

const flowFields = {
  cursor: Type.String(),
  id: Type.String(),
  source: Type.String(),
  type: Type.String(),
  topic: Type.String({ description: "With its key." }),
  storedAt: Timestamp,
  subject: Type.Optional(Type.String()),
  causationid: Type.Optional(Type.String({ description: "The id of the event that caused it." })),
  correlationid: Type.Optional(Type.String({ description: "The same on every event of a flow." })),
  trigger: Type.Optional(Type.String({ description: "The trigger whose delivery made it, where the hub did." })),
}

/** An event without its data. */
export const FlowEventSchema = component(
  "FlowEvent",
  Type.Object(flowFields, { description: "An event without its data." }),
)

/** An event that another caused, and what it caused itself. */
export const CausedEventSchema = {
  ...Type.Object(flowFields),
  [componentKeyword]: "CausedEvent",
  properties: {
    ...Type.Object(flowFields).properties,
    caused: { type: "array", items: { [componentKeyword]: "CausedEvent" } },
  },
  description: "An event without its data, and those that it caused.",
}

const JourneyTrigger = component(
  "JourneyTrigger",
  Type.Object({
    trigger: Type.String(),
    verdict: choice(["fires", "waits", "rejects", "unknown"], {
      description: "As the trigger was when it came to the event. unknown: that is not kept any more.",
    }),
    sentence: Type.String(),
    clause: Type.Optional(Type.String({ description: "The clause that decided." })),
    topic: Type.Optional(Type.String()),
    destination: Type.String(),
    asOf: Type.Optional(
      Type.String({ format: "date-time", description: "Since when the trigger was as it judged the event." }),
    ),
    removed: Type.Optional(Type.Boolean({ description: "The trigger was deleted since." })),
    delivery: Type.Optional(checkedElsewhere<ShownDelivery>("Delivery")),
  }),
)

const Journey = component(
  "Journey",
  Type.Object({
    event: FlowEventSchema,
    triggers: Type.Array(JourneyTrigger, { description: "Those of its topic: first those that it fired." }),
    triggersComplete: Type.Boolean({ description: "False where there are more than are looked at." }),
    causes: Type.Array(FlowEventSchema, { description: "Its cause, the cause of that, and so on." }),
    causeMissing: Type.Optional(Type.String({ description: "The id of a cause that was not found." })),
    caused: Type.Array(checkedElsewhere("CausedEvent")),
    causedComplete: Type.Boolean({ description: "False where it caused more than is shown." }),
    correlated: Type.Array(FlowEventSchema, { description: "Of the same flow, it is not known how." }),
    searched: Type.Object(
      { events: Type.Integer(), complete: Type.Boolean() },
      { description: "How many later events were looked at for what it caused, and whether those were all." },
    ),
  }),
)

/** All that became of an event, and how it came to be. */
export function journeyRoutes(app: App, context: ApiContext): void {
  app.get("/v1/events/:cursor/journey", documented(doc), async (request) => {
    const query = readQuery(JourneyQuery, request.query)
    const stored = await eventAt(context, tenantOf(request), pathPart(request, "cursor"))
    const share = context.room.shareOf(request)
    const { items, complete } = await triggerVerdictsFor(context, stored)
    return {
      event: flowEvent(stored),
      triggers: await triggersOf(context, stored, items, share),
      triggersComplete: complete,
      ...(await lineageOf(context, stored, query.eventsMax ?? eventsDefault, share)),
    }
  })
}

type ShownTrigger = Static<typeof JourneyTrigger>

const order: readonly ShownTrigger["verdict"][] = ["fires", "waits", "unknown", "rejects"]

async function triggersOf(
  context: ApiContext,
  stored: StoredEvent,
  verdicts: readonly TriggerVerdict[],
  share: Share,
): Promise<readonly ShownTrigger[]> {
  const fired = verdicts.filter(({ verdict }) => verdict === "fires" || verdict === "unknown")
  const deliveries = new Map(
    (await deliveriesFor(context, stored, fired, share)).map((delivery) => [delivery.id, delivery]),
  )
  const shown = verdicts.map(({ asOf, incarnation, ...rest }): ShownTrigger => {
    const id = deliveryId(stored.cursor, rest.trigger, incarnation)
    const delivery = deliveries.get(id)
    deliveries.delete(id)
    return {
      ...rest,
      ...(asOf !== undefined && { asOf: new Date(asOf).toISOString() }),
      ...(delivery && { delivery }),
    }
  })
  const known = new Set(verdicts.map(({ trigger }) => trigger))
  // Those that are left were made by triggers of which nothing is kept, or that others of their id came after.
  for (const delivery of deliveries.values()) {
    const { trigger, destination } = delivery
    const why = known.has(trigger) ? ({ sentence: earlier, removed: true } as const) : { sentence: forgotten }
    shown.push({ trigger, destination, verdict: "fires", ...why, delivery })
  }
  return shown.sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict))
}

const earlier = "The event fired an earlier trigger of this id, which was deleted since; how it was then is not shown."
const forgotten = "The event fired it; how the trigger was then is not kept any more."

const doc = {
  operationId: "getJourney",
  tag: "Events",
  summary: "See an event's whole journey",
  description:
    "When and where it was stored; every trigger of its topic with its verdict and the clause that decided, as the trigger " +
    "was when it came to the event; each delivery with its attempts; what caused the event, and what it caused: by " +
    "`causationid`, which forwarding into a topic sets, and `correlationid`.",
  params: Type.Object({ cursor: Type.String({ description: "The event's cursor." }) }),
  query: JourneyQuery,
  answers: { 200: Journey },
  problems: ["not-found"],
} as const
