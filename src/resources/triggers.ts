import Type, { type Static } from "typebox"
import { isReservedTopic, parseTopic } from "../core/address.ts"
import { destinationKeys, topicKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { failureCauses, type RetryPolicy, type RetryRule, ruleActions, type TriggerName } from "../core/delivery.ts"
import { type Destination, newIncarnation, newTopic, type Pause, type Topic, type Trigger } from "../core/resources.ts"
import { checkAgainstRetention, defaultRetry, isFaulty, parseRetry, retryPresets } from "../deliver/policies.ts"
import { warningsOf } from "../filters/index.ts"
import { joinPath } from "./check-schema.ts"
import type { ResourceContext } from "./context.ts"
import { neededDestination } from "./destinations.ts"
import { formatDuration } from "./durations.ts"
import { readFilters } from "./filters.ts"
import { type Along, both, needOf, nothingAlong } from "./needs.ts"
import { OrderingSchema, readOrdering } from "./ordering.ts"
import { patchKeyword, patchSchemaOf } from "./patch-schema.ts"
import { RefusedError } from "./refusal.ts"
import { needReply, ReplySchema, readReply } from "./reply.ts"
import type { Draft, ResourceType } from "./resource-type.ts"
import {
  checkedElsewhere,
  choice,
  component,
  Description,
  Duration,
  LabelsInput,
  ResourceId,
  strict,
} from "./schemas.ts"
import { partitionOf, placeOfStart, startField, startInput, staysAt } from "./start.ts"
import { mayBeId } from "./store.ts"
import { needTopic } from "./topics.ts"

/** What follows from failures of some causes. */
export const RetryRuleSchema = strict(
  {
    on: Type.Array(Type.String(), {
      description: `Causes: statuses (408), classes of them (4xx), ${failureCauses.join(", ")}, any.`,
    }),
    do: choice(ruleActions, {
      description:
        "retry: by the policy, also where the hub would give up; dead: at once; pause: the trigger, and the delivery waits; " +
        "rest: tried again, and until then nothing is sent to the destination.",
    }),
  },
  { examples: [{ on: ["4xx", "protocol"], do: "dead" }] },
)

/** What the `retry` of a trigger may be; parseRetry checks it. */
export const RetryInput = component(
  "RetryInput",
  Type.Union([
    choice(Object.keys(retryPresets)),
    strict({
      preset: Type.Optional(choice(Object.keys(retryPresets))),
      delays: Type.Optional(Type.Array(Duration)),
      jitter: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
      attemptsMax: Type.Optional(Type.Integer({ minimum: 1 })),
      ageMax: Type.Optional(Duration),
      rules: Type.Optional(Type.Array(RetryRuleSchema)),
    }),
  ]),
)

const StartInput = startInput(
  "Start",
  "now",
  "Where its events begin: those to come, all that are kept, those after a cursor, those since a time.",
)

/** The members of a trigger as it is wanted. */
export const triggerFields = {
  id: Type.Optional(ResourceId),
  description: Type.Optional(Description),
  labels: Type.Optional(LabelsInput),
  topic: Type.String({ description: "A topic, or one key of it.", examples: ["orders", "orders:123"] }),
  filters: Type.Optional(
    checkedElsewhere("Filters", { description: "All of them have to hold. None: every event.", default: [] }),
  ),
  destination: Type.String({ description: "A destination's id.", examples: ["warehouse"] }),
  backlog: Type.Optional(
    choice(["keep", "move"], {
      default: "keep",
      description:
        "What becomes of deliveries that are open when `destination` changes. keep: they still go to the destination that they " +
        "were made for, by the policy that holds now. move: they go to the new one, at once and with no attempts made.",
    }),
  ),
  retry: Type.Optional(
    checkedElsewhere("RetryInput", { default: defaultRetry, [patchKeyword]: patchSchemaOf(RetryInput) }),
  ),
  ordering: Type.Optional(OrderingSchema),
  reply: Type.Optional(ReplySchema),
  start: startField(StartInput, "Where it began, which cannot be changed."),
  paused: Type.Optional(
    Type.Boolean({
      description: "A paused trigger loses nothing: its events wait. Absent where one is replaced: as it was.",
    }),
  ),
}

const TriggerInput = component(
  "TriggerInput",
  strict(triggerFields, {
    examples: [
      { id: "ship", topic: "orders", filters: [{ exact: { type: "order.placed" } }], destination: "warehouse" },
    ],
  }),
)

/** The trigger's resource type: how it is read, checked and shown. */
export function triggerType(context: ResourceContext): ResourceType<Trigger> {
  const { queue } = context.engine
  return {
    name: "trigger",
    keys: triggerKeys,
    plural: "triggers",
    idPrefix: "trg",
    input: TriggerInput,
    readOnly: ["pausedSince", "pauseReason", "warnings", "status"],
    read: (body, draft) => readTrigger(context, body as Static<typeof TriggerInput>, draft),
    show: showTrigger,
    needs: (trigger, previous) => needsOf(context, trigger, previous),
    async changed(trigger, previous) {
      // Whatever was changed: where moving failed half-way, the same change once more brings the rest along.
      if (trigger.backlog === "move") await queue.move(nameOf(trigger), trigger.destination)
      if (previous.paused !== undefined && trigger.paused === undefined)
        await queue.resume(trigger.tenant, trigger.id, trigger.incarnation ?? "")
    },
    async removed(trigger) {
      await queue.drop(trigger.tenant, trigger.id, trigger.incarnation ?? "")
    },
  }
}

function nameOf({ tenant, id, incarnation = "" }: Trigger): TriggerName {
  return { tenant, trigger: id, incarnation }
}

/** The trigger paused; one that rests already keeps its time and reason. */
export function paused(trigger: Trigger, reason: string, now: number): Trigger {
  return { ...trigger, paused: trigger.paused ?? { since: now, reason } }
}

/** The trigger going on. */
export function resumed(trigger: Trigger): Trigger {
  const { paused: _, ...rest } = trigger
  return rest
}

/** A retry policy in full, with its durations as text. */
export interface ShownRetry {
  readonly delays: string[]
  readonly jitter: number
  readonly attemptsMax: number
  readonly ageMax: string
  readonly rules?: readonly RetryRule[]
}

/** The retry policy in full, with its durations as text. */
export function showRetry(retry: RetryPolicy): ShownRetry {
  return {
    delays: retry.delaysMs.map(formatDuration),
    jitter: retry.jitter,
    attemptsMax: retry.attemptsMax,
    ageMax: formatDuration(retry.ageMaxMs),
    ...(retry.rules && { rules: retry.rules }),
  }
}

type Body = Static<typeof TriggerInput>

async function readTrigger(context: ResourceContext, body: Body, draft: Draft<Trigger>): Promise<Trigger> {
  const { id, tenant, previous, now } = draft
  const topic = await findTopic(context, body, draft)
  checkMove(context, body.topic, draft)
  const from = await readStart(context, body, draft)
  const retry = readRetry(body, topic, draft)
  await checkDestination(context, body, draft)
  const filters = readFilters(body.filters, draft.faults)
  const pause = readPause(body, previous, now)
  const ordering = readOrdering(body.ordering, draft.faults)
  const reply = await readReply(context, body.reply, retry, draft)
  const incarnation = previous ? previous.incarnation : newIncarnation(now, context.chance)
  return {
    id,
    tenant,
    ...(incarnation !== undefined && { incarnation }),
    ...(body.description !== undefined && { description: body.description }),
    labels: body.labels ?? {},
    topic: body.topic,
    filters,
    destination: body.destination,
    ...(body.backlog === "move" && { backlog: "move" }),
    retry,
    ...(ordering !== undefined && { ordering }),
    ...(reply !== undefined && { reply }),
    from,
    ...(pause !== undefined && { paused: pause }),
    createdAt: previous?.createdAt ?? now,
    updatedAt: now,
  }
}

/** The trigger's topic, as it is or as it will be made. */
async function findTopic(
  context: ResourceContext,
  body: Body,
  { tenant, now, faults }: Draft<Trigger>,
): Promise<Topic> {
  const parsed = faults.clean("topic") ? parseTopic(body.topic) : { topic: "" }
  if (typeof parsed === "string") {
    faults.add("topic", parsed)
    return newTopic(tenant, "", now, 0)
  }
  const item = await context.engine.catalog.get<Topic>(topicKeys.of({ tenant, id: parsed.topic }))
  if (item === undefined && !context.topics.autoCreate && !isReservedTopic(parsed.topic)) {
    faults.add("topic", `there is no topic ${parsed.topic}; create it first`)
  }
  return item?.value ?? newTopic(tenant, parsed.topic, now, context.topics.dedupeWindowMs)
}

/** What a trigger needs that was not there for it before: its topics, which are made where nobody has yet, and its destination. */
async function needsOf(context: ResourceContext, trigger: Trigger, previous: Trigger | undefined): Promise<Along> {
  const goesOn = trigger.paused !== undefined || previous?.paused === undefined
  const repliesAsBefore = previous?.reply?.topic === trigger.reply?.topic
  if (goesOn && repliesAsBefore && previous?.topic === trigger.topic && previous.destination === trigger.destination)
    return nothingAlong
  const topics = both(await needTopic(context, trigger), await needReply(context, trigger))
  return both(topics, await destinationFor(context, trigger))
}

async function destinationFor({ engine, clock }: ResourceContext, { tenant, destination }: Trigger): Promise<Along> {
  const found = await needOf({ catalog: engine.catalog, clock }, neededDestination, { tenant, id: destination })
  if (found !== undefined) return found
  throw new RefusedError("conflict", `there is no destination ${JSON.stringify(destination)}; create it first`)
}

async function readStart(context: ResourceContext, body: Body, draft: Draft<Trigger>): Promise<Cursor> {
  const { previous, faults } = draft
  if (previous !== undefined) {
    const start = faults.clean("start") ? body.start : undefined
    if (!staysAt(start, previous.from))
      faults.add("start", "cannot be changed; create another trigger that starts there")
    return previous.from
  }
  const partition = faults.clean("topic") ? partitionOf(context, { tenant: draft.tenant, topic: body.topic }) : 0
  return placeOfStart(context, faults.clean("start") ? body.start : undefined, partition, { field: "start", faults })
}

/** A trigger's place is in one part of the log: its topic stays there. */
function checkMove(context: ResourceContext, topic: string, { previous, tenant, faults }: Draft<Trigger>): void {
  if (previous === undefined || !faults.clean("topic")) return
  if (partitionOf(context, { tenant, topic }) === partitionOf(context, previous)) return
  faults.add("topic", "is kept in another part of the log; create another trigger for it")
}

function readRetry(body: Body, topic: Topic, { faults }: Draft<Trigger>): RetryPolicy {
  const parsed = parseRetry(body.retry)
  if (isFaulty(parsed)) {
    for (const fault of parsed) faults.add(joinPath("retry", fault.field), fault.message)
    return retryPresets[defaultRetry]
  }
  for (const fault of checkAgainstRetention(parsed, topic.retention)) {
    faults.add(joinPath("retry", fault.field), fault.message)
  }
  return parsed
}

/** Whether there is such a destination; `id` may be any text. */
export async function hasDestination({ engine }: ResourceContext, tenant: string, id: string): Promise<boolean> {
  if (!mayBeId(id)) return false
  return (await engine.catalog.get<Destination>(destinationKeys.of({ tenant, id }))) !== undefined
}

async function checkDestination(
  context: ResourceContext,
  body: Body,
  { tenant, faults }: Draft<Trigger>,
): Promise<void> {
  if (!faults.clean("destination")) return
  if (await hasDestination(context, tenant, body.destination)) return
  faults.add("destination", `there is no destination ${JSON.stringify(body.destination)}; create it first`)
}

/** Where a change says nothing of pause, what is stays: a trigger that a 410 paused is not resumed by the way. */
function readPause(body: Body, previous: Trigger | undefined, now: number): Pause | undefined {
  if (body.paused === undefined) return previous?.paused
  if (!body.paused) return undefined
  return previous?.paused ?? { since: now, reason: "paused by request" }
}

function showTrigger(trigger: Trigger): Record<string, unknown> {
  const { description, labels, topic, filters, destination, retry, ordering, from, paused: pause } = trigger
  const warnings = warningsOf(filters)
  return {
    ...(description !== undefined && { description }),
    labels,
    topic,
    filters,
    destination,
    backlog: trigger.backlog ?? "keep",
    retry: showRetry(retry),
    ...(ordering !== undefined && { ordering }),
    ...(trigger.reply !== undefined && { reply: trigger.reply }),
    start: { cursor: from },
    paused: pause !== undefined,
    ...(pause !== undefined && { pausedSince: new Date(pause.since).toISOString(), pauseReason: pause.reason }),
    ...(warnings.length > 0 && { warnings }),
  }
}
