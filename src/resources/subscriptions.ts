import Type, { type Static } from "typebox"
import { parseTopic } from "../core/address.ts"
import { subscriptionKeys, subscriptionPositionKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { newIncarnation } from "../core/resources.ts"
import { type Subscription, type SubscriptionPosition, subscriptionsMax } from "../core/subscriptions.ts"
import { warningsOf } from "../filters/index.ts"
import type { ResourceContext } from "./context.ts"
import { readFilters } from "./filters.ts"
import { nothingAlong } from "./needs.ts"
import type { Draft, ResourceType } from "./resource-type.ts"
import { checkedElsewhere, component, Description, LabelsInput, ResourceId, strict } from "./schemas.ts"
import { partitionOf, placeOfStart, type Start, startField, startInput, staysAt } from "./start.ts"
import { needTopic, topicFault } from "./topics.ts"

export const SubscriptionStart = startInput(
  "SubscriptionStart",
  "newest",
  "A place in the topic: its present end, before all that is kept, after a cursor, before the first event since a time.",
)

/** The members of a subscription as it is wanted. */
export const subscriptionFields = {
  id: Type.Optional(ResourceId),
  description: Type.Optional(Description),
  labels: Type.Optional(LabelsInput),
  topic: Type.String({ description: "A topic, or one key of it.", examples: ["orders", "orders:123"] }),
  filters: Type.Optional(
    checkedElsewhere("Filters", { description: "All of them have to hold. None: every event.", default: [] }),
  ),
  start: startField(SubscriptionStart, "Where it began, which cannot be changed; a reset moves it."),
}

const SubscriptionInput = component(
  "SubscriptionInput",
  strict(subscriptionFields, {
    examples: [{ id: "billing", topic: "orders", filters: [{ exact: { type: "order.paid" } }] }],
  }),
)

type Body = Static<typeof SubscriptionInput>

/** The subscription's resource type: how it is read, checked and shown. */
export function subscriptionType(context: ResourceContext): ResourceType<Subscription> {
  return {
    name: "subscription",
    keys: subscriptionKeys,
    plural: "subscriptions",
    idPrefix: "sub",
    countMax: subscriptionsMax,
    input: SubscriptionInput,
    readOnly: ["warnings", "status"],
    read: (body, draft) => readSubscription(context, body as Body, draft),
    show: showSubscription,
    async needs(subscription, previous) {
      if (previous !== undefined) return nothingAlong
      const { writes, conditions } = await needTopic(context, subscription)
      const position = { key: subscriptionPositionKeys.of(subscription), value: firstPosition(subscription) }
      return { writes: [...writes, position], conditions }
    },
    goesAlong: (subscription) => [{ key: subscriptionPositionKeys.of(subscription), value: undefined }],
  }
}

/** Where a subscription stands before anything is committed. */
export function firstPosition({ incarnation, from, createdAt }: Subscription): SubscriptionPosition {
  return { incarnation, cursor: from, epoch: 1, movedAt: createdAt }
}

async function readSubscription(
  context: ResourceContext,
  body: Body,
  draft: Draft<Subscription>,
): Promise<Subscription> {
  const { id, tenant, previous, now } = draft
  await checkTopic(context, body, draft)
  return {
    ...{ id, tenant },
    incarnation: previous?.incarnation ?? newIncarnation(now, context.chance),
    ...(body.description !== undefined && { description: body.description }),
    labels: body.labels ?? {},
    topic: body.topic,
    filters: readFilters(body.filters, draft.faults),
    from: await readStart(context, body, draft),
    createdAt: previous?.createdAt ?? now,
    updatedAt: now,
  }
}

async function checkTopic(
  context: ResourceContext,
  { topic }: Body,
  { tenant, previous, faults }: Draft<Subscription>,
): Promise<void> {
  if (!faults.clean("topic")) return
  if (previous !== undefined) {
    if (topic !== previous.topic) faults.add("topic", "cannot be changed; create another subscription for it")
    return
  }
  const fault = await topicFault(context, tenant, topic)
  if (fault !== undefined) faults.add("topic", fault)
}

async function readStart(context: ResourceContext, body: Body, draft: Draft<Subscription>): Promise<Cursor> {
  const { tenant, previous, faults } = draft
  const start = faults.clean("start") ? body.start : undefined
  if (previous !== undefined) {
    if (!staysAt(start, previous.from)) faults.add("start", "cannot be changed; reset the subscription to move it")
    return previous.from
  }
  const topic = faults.clean("topic") ? body.topic : ""
  return placeIn(context, { tenant, topic }, start, { field: "start", faults })
}

/**
 * The place that a start means in a topic. Of what retention has dropped already nothing is missed by whoever begins before it,
 * unless a cursor says so.
 */
export async function placeIn(
  context: ResourceContext,
  { tenant, topic }: Pick<Subscription, "tenant" | "topic">,
  start: Start | undefined,
  telling: Parameters<typeof placeOfStart>[3],
): Promise<Cursor> {
  const { log } = context.engine
  const place = await placeOfStart(context, start, partitionOf(context, { tenant, topic }), telling)
  const address = parseTopic(topic)
  if (typeof address === "string" || (typeof start === "object" && "cursor" in start)) return place
  const dropped = await log.dropped({ tenant, ...address })
  return dropped !== undefined && log.compare(place, dropped) < 0 ? dropped : place
}

function showSubscription(subscription: Subscription): Record<string, unknown> {
  const { description, labels, topic, filters, from } = subscription
  const warnings = warningsOf(filters)
  return {
    ...(description !== undefined && { description }),
    ...{ labels, topic, filters, start: { cursor: from } },
    ...(warnings.length > 0 && { warnings }),
  }
}
