import Type, { type Static } from "typebox"
import { isReservedTopic, parseTopic } from "../core/address.ts"
import { deletedTopicKeys, subscriptionKeys, topicDeletionKeys, topicKeys, triggerKeys } from "../core/catalog-keys.ts"
import { scanFor } from "../core/catalog-scan.ts"
import {
  newTopic,
  type Retention,
  type RetentionLimits,
  type RetentionRule,
  type Topic,
  type Trigger,
} from "../core/resources.ts"
import type { Subscription } from "../core/subscriptions.ts"
import { checkAgainstRetention } from "../deliver/policies.ts"
import type { ResourceContext } from "./context.ts"
import { formatDuration, readDuration } from "./durations.ts"
import type { Faults } from "./faults.ts"
import { readFilters } from "./filters.ts"
import { isObject } from "./merge-patch.ts"
import { type Along, type Needed, needOf, nothingAlong } from "./needs.ts"
import { RefusedError } from "./refusal.ts"
import type { Draft, ResourceType } from "./resource-type.ts"
import { checkedElsewhere, component, Description, Duration, LabelsInput, strict, TopicId } from "./schemas.ts"
import { putUnlessChanged } from "./store.ts"

const wholeNumber = { minimum: 1, maximum: Number.MAX_SAFE_INTEGER }

const rulesMax = 8

const RetentionRuleInput = component(
  "RetentionRule",
  strict(
    {
      filters: checkedElsewhere("Filters", { description: "All of them have to hold; one at least." }),
      ageMax: Type.Optional(Duration),
      eventsMax: Type.Optional(Type.Integer(wholeNumber)),
      bytesMax: Type.Optional(Type.Integer({ ...wholeNumber, description: "Of attributes and data." })),
    },
    { description: "Of the topic's events that match, those that are over any limit go; all others stay." },
  ),
)

export const RetentionInput = component(
  "Retention",
  strict(
    {
      ageMax: Type.Optional(Duration),
      eventsMax: Type.Optional(Type.Integer(wholeNumber)),
      bytesMax: Type.Optional(Type.Integer(wholeNumber)),
      rules: Type.Optional(
        Type.Array(RetentionRuleInput, {
          maxItems: rulesMax,
          description: "Limits of some of the events, beside those of all.",
        }),
      ),
      dropUndelivered: Type.Optional(
        Type.Boolean({
          default: false,
          description: "Events go also while a delivery of them is open, or a trigger or a replay has not read them.",
        }),
      ),
      keepDeadLetters: Type.Optional(
        Type.Boolean({ default: false, description: "Events stay also for as long as a dead letter is of them." }),
      ),
    },
    {
      description:
        "How long events are kept: one goes when any limit is passed, and nobody is owed it any more. No limit keeps for ever.",
    },
  ),
)

export const WrapInput = strict(
  {
    source: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
    type: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
  },
  { description: "The attributes of events that are made from raw input." },
)

/** The members of a topic as it is wanted. */
export const topicFields = {
  id: TopicId,
  description: Type.Optional(Description),
  labels: Type.Optional(LabelsInput),
  retention: Type.Optional(RetentionInput),
  dedupeWindow: Type.Optional(Duration),
  wrap: Type.Optional(WrapInput),
}

const TopicInput = component(
  "TopicInput",
  strict(topicFields, {
    examples: [{ id: "orders", description: "Every order and what became of it", retention: { ageMax: "30d" } }],
  }),
)

/** Triggers of a tenant that read this topic or a key of it, or whose destinations' answers go to it. */
function triggersUsing(context: ResourceContext, tenant: string, topic: string): Promise<readonly Trigger[]> {
  const isUsing = (trigger: Trigger) => topicOf(trigger.topic) === topic || trigger.reply?.topic === topic
  return scanFor<Trigger>(context, triggerKeys.ofTenant(tenant), isUsing)
}

/** Subscriptions of a tenant that read this topic or a key of it. */
function subscriptionsOn(context: ResourceContext, tenant: string, topic: string): Promise<readonly Subscription[]> {
  const prefix = subscriptionKeys.ofTenant(tenant)
  return scanFor<Subscription>(context, prefix, (subscription) => topicOf(subscription.topic) === topic)
}

/** A topic as what reads it needs it. */
export const neededTopic: Needed = { keys: topicKeys, deletions: topicDeletionKeys }

/** Why nobody can read a topic, or one key of it, by this name; undefined where they can, as where a topic is made when it is needed. */
export async function topicFault(
  { engine, topics }: ResourceContext,
  tenant: string,
  text: string,
): Promise<string | undefined> {
  const parsed = parseTopic(text)
  if (typeof parsed === "string") return parsed
  if (topics.autoCreate || isReservedTopic(parsed.topic)) return undefined
  const item = await engine.catalog.get<Topic>(topicKeys.of({ tenant, id: parsed.topic }))
  return item === undefined ? `there is no topic ${parsed.topic}; create it first` : undefined
}

/** What makes that the topic of something that reads it is there when that is stored; it is made where nobody has yet. */
export async function needTopic(
  { engine, clock, topics }: ResourceContext,
  { tenant, topic }: { readonly tenant: string; readonly topic: string },
): Promise<Along> {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string" || isReservedTopic(parsed.topic)) return nothingAlong
  const named = { tenant, id: parsed.topic }
  const found = await needOf({ catalog: engine.catalog, clock }, neededTopic, named)
  if (found !== undefined) return found
  if (!topics.autoCreate) throw new RefusedError("conflict", `there is no topic ${parsed.topic}; create it first`)
  const made = newTopic(tenant, parsed.topic, clock.now(), topics.dedupeWindowMs)
  return { writes: [{ key: topicKeys.of(named), value: made, expected: 0 }], conditions: [] }
}

/** The topic's resource type: how it is read, checked and shown. */
export function topicType(context: ResourceContext): ResourceType<Topic> {
  const { engine } = context
  return {
    name: "topic",
    ...neededTopic,
    plural: "topics",
    input: TopicInput,
    readOnly: ["stats"],
    read: (body, draft) => readTopic(context, body as Static<typeof TopicInput>, draft),
    show: showTopic,
    builtIn: (tenant, id) => (isReservedTopic(id) ? newTopic(tenant, id, context.startedAt, 0) : undefined),
    inUse: (topic) => usesOf(context, topic),
    async removing(topic) {
      // Before it is gone: retention sees to what is published meanwhile, also where this hub dies now.
      await engine.catalog.put(deletedTopicKeys.of(topic), topic)
      await engine.log.trim({ tenant: topic.tenant, topic: topic.id }, { eventsMax: 0 })
    },
    removed: (topic) => leaveNothing(context, topic),
  }
}

async function usesOf(context: ResourceContext, { tenant, id }: Topic): Promise<string | undefined> {
  if (isReservedTopic(id)) return `the hub itself writes ${id}; shorten its retention instead`
  const triggers = await triggersUsing(context, tenant, id)
  const subscriptions = await subscriptionsOn(context, tenant, id)
  const reading = triggers.filter(({ topic }) => topicOf(topic) === id)
  const answering = triggers.filter(({ reply }) => reply?.topic === id)
  const uses = [
    ...(reading.length > 0 ? [`read by ${names(reading)}`] : []),
    ...(subscriptions.length > 0 ? [`read by ${names(subscriptions, "subscription")}`] : []),
    ...(answering.length > 0 ? [`the reply topic of ${names(answering)}`] : []),
  ]
  return uses.length === 0 ? undefined : `topic ${id} is ${uses.join(", and ")}; delete or change them first`
}

/** What was published between the topic's events and the topic itself being deleted: it counts as published after that. */
async function leaveNothing({ engine, topics, clock }: ResourceContext, { tenant, id }: Topic): Promise<void> {
  const address = { tenant, topic: id }
  if ((await engine.log.last(address)) === undefined) return
  const fresh = newTopic(tenant, id, clock.now(), topics.dedupeWindowMs)
  if (topics.autoCreate)
    await putUnlessChanged(engine.catalog, { key: topicKeys.of({ tenant, id }), revision: 0 }, fresh)
  else await engine.log.trim(address, { eventsMax: 0 })
}

/** `trigger a, b and 3 more`. */
export function names(readers: readonly { readonly id: string }[], kind = "trigger"): string {
  const shown = readers.slice(0, 5).map(({ id }) => id)
  const rest = readers.length - shown.length
  return `${kind} ${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`
}

async function readTopic(
  context: ResourceContext,
  body: Static<typeof TopicInput>,
  draft: Draft<Topic>,
): Promise<Topic> {
  const { tenant, id, previous, now, faults } = draft
  if (previous === undefined && isReservedTopic(id)) faults.add("id", "is the hub's own; change it instead")
  const fresh = newTopic(tenant, id, now, context.topics.dedupeWindowMs)
  const retention = readRetention(body.retention, "retention", faults)
  const dedupeWindowMs = readDuration(body.dedupeWindow, "dedupeWindow", faults) ?? fresh.dedupeWindowMs
  const windowMax = context.engine.dedupeWindowMsMax
  if (windowMax !== undefined && dedupeWindowMs > windowMax) {
    faults.add("dedupeWindow", `can be ${formatDuration(windowMax)} at most on this engine, as it is set up`)
  }
  await checkTriggers(context, retention, draft)
  return {
    id,
    tenant,
    ...(body.description !== undefined && { description: body.description }),
    labels: body.labels ?? {},
    retention,
    dedupeWindowMs,
    wrap: { ...fresh.wrap, ...body.wrap },
    createdAt: previous?.createdAt ?? now,
    updatedAt: now,
  }
}

/** What a body says of a retention; `faults` is told of what is wrong at `field`. */
export function readRetention(
  input: Static<typeof RetentionInput> | undefined,
  field: string,
  faults: Faults,
): Retention {
  const { dropUndelivered, keepDeadLetters, rules, ...limits } = isObject(input) ? input : {}
  if (dropUndelivered && keepDeadLetters)
    faults.add(`${field}.keepDeadLetters`, "cannot be with dropUndelivered, by which events go whoever is owed them")
  return {
    ...readLimits(limits, field, faults),
    ...(Array.isArray(rules) &&
      rules.length > 0 && { rules: rules.map((rule, i) => readRule(rule, `${field}.rules[${i}]`, faults)) }),
    ...(dropUndelivered && { dropUndelivered }),
    ...(keepDeadLetters && { keepDeadLetters }),
  }
}

function readLimits(
  { ageMax, eventsMax, bytesMax }: Omit<Static<typeof RetentionRuleInput>, "filters">,
  field: string,
  faults: Faults,
): RetentionLimits {
  const ageMaxMs = readDuration(ageMax, `${field}.ageMax`, faults)
  if (ageMaxMs === 0) faults.add(`${field}.ageMax`, "must be more than 0; leave it out to keep events for ever")
  return {
    ...(ageMaxMs !== undefined && { ageMaxMs }),
    ...(eventsMax !== undefined && { eventsMax }),
    ...(bytesMax !== undefined && { bytesMax }),
  }
}

function readRule(input: Static<typeof RetentionRuleInput>, field: string, faults: Faults): RetentionRule {
  const { filters, ...limits } = isObject(input) ? (input as typeof input) : { filters: undefined }
  const read = readFilters(filters, { add: (name, message) => faults.add(`${field}.${name}`, message) })
  if (read.length === 0 && faults.clean(`${field}.filters`))
    faults.add(`${field}.filters`, "must say which events are meant; limits of all events are the retention's own")
  if (Object.keys(limits).length === 0) faults.add(field, "says no limit: ageMax, eventsMax or bytesMax")
  return { filters: read, ...readLimits(limits, field, faults) }
}

/** A retention shorter than a trigger goes on trying would take events from under it. */
async function checkTriggers(context: ResourceContext, retention: Retention, draft: Draft<Topic>): Promise<void> {
  if (draft.previous === undefined || retention.ageMaxMs === undefined) return
  const { tenant, id } = draft
  const triggers = await triggersUsing(context, tenant, id)
  const short = triggers.filter((trigger) => checkAgainstRetention(trigger.retry, retention).length > 0)
  if (short.length === 0) return
  const longestMs = Math.max(...short.map((trigger) => trigger.retry.ageMaxMs))
  draft.faults.add(
    "retention.ageMax",
    `is shorter than ${names(short)} goes on trying, ${formatDuration(longestMs)} at most; shorten retry.ageMax first`,
  )
}

function showTopic(topic: Topic): Record<string, unknown> {
  const { rules, ...retention } = topic.retention
  return {
    ...(topic.description !== undefined && { description: topic.description }),
    labels: topic.labels,
    retention: { ...showLimits(retention), ...(rules && { rules: rules.map(showLimits) }) },
    dedupeWindow: formatDuration(topic.dedupeWindowMs),
    wrap: topic.wrap,
  }
}

function showLimits<Limits extends RetentionLimits>({ ageMaxMs, ...rest }: Limits) {
  return { ...(ageMaxMs !== undefined && { ageMax: formatDuration(ageMaxMs) }), ...rest }
}

function topicOf(text: string): string | undefined {
  const parsed = parseTopic(text)
  return typeof parsed === "string" ? undefined : parsed.topic
}
