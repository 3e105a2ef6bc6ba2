import Type, { type Static } from "typebox"
import type { RetentionLimits, Topic } from "../../core/resources.ts"
import type { Faults } from "../../resources/faults.ts"
import { choice, component, strict, Timestamp } from "../../resources/schemas.ts"
import type { ResourceStore } from "../../resources/store.ts"
import { RetentionInput, readRetention } from "../../resources/topics.ts"
import { Needs } from "../../retention/needed.ts"
import {
  drop,
  dropByRules,
  type Overdue,
  type OverdueByRules,
  overdueByRules,
  overdueOf,
} from "../../retention/prune.ts"
import { lookedAtMax, type RuleOverdue } from "../../retention/rules.ts"
import type { ApiContext } from "../context.ts"
import { readBody } from "../fields.ts"
import { idParams } from "../resource-routes.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"

const PruneInput = component(
  "PruneInput",
  strict(
    {
      dryRun: Type.Optional(Type.Boolean({ default: false, description: "Only say what would go." })),
      retention: Type.Optional({
        ...RetentionInput,
        description: "With `dryRun`: another retention than the topic has, to see what it would do.",
      }),
    },
    { examples: [{ dryRun: true, retention: { ageMax: "30d" } }] },
  ),
)

const some = {
  events: Type.Integer(),
  bytes: Type.Integer(),
  oldestAt: Type.Optional(Timestamp),
}

/** For whom events stay. */
export const HeldSchema = component(
  "HeldEvents",
  Type.Object(
    {
      ...some,
      by: choice(["delivery", "deadLetter", "trigger", "replay"], {
        description:
          "Who is owed the oldest of them: an open delivery; a dead letter, where the topic keeps events for those; a trigger, or a replay, " +
          "that has not read it yet.",
      }),
      id: Type.String({ description: "The delivery's, dead letter's, trigger's or replay's." }),
      trigger: Type.String(),
    },
    { description: "Events that are over, and stay because somebody is owed them." },
  ),
)

const limitNames = ["ageMax", "eventsMax", "bytesMax"] as const

const Pruning = component(
  "Pruning",
  Type.Object({
    dryRun: Type.Boolean(),
    dropped: Type.Integer({ description: "Events; 0 where it was only asked." }),
    goes: Type.Object(
      {
        ...some,
        newestAt: Type.Optional(Timestamp),
        limits: Type.Array(Type.Object({ limit: choice(limitNames), events: Type.Integer(), bytes: Type.Integer() }), {
          description:
            "What each limit alone has go: together they may have less go than the sum, for one event may be over several.",
        }),
      },
      { description: "What goes." },
    ),
    held: Type.Optional(HeldSchema),
    rules: Type.Optional(
      Type.Array(
        Type.Object({
          ...some,
          newestAt: Type.Optional(Timestamp),
          held: Type.Optional(HeldSchema),
          isWhole: Type.Boolean({
            description: `False: a rule looks at ${lookedAtMax} events at a time, and more may go by it.`,
          }),
        }),
        {
          description:
            "What goes by each of the retention's rules, beside what the limits of all events and the rules before it have go: `bytes` " +
            "are of attributes and data.",
        },
      ),
    ),
  }),
)

/** What retention drops: said before it does, or done now and not in the next round. */
export function pruneRoutes(app: App, context: ApiContext, topics: ResourceStore<Topic>): void {
  app.post("/v1/topics/:id/prune", documented(doc), async (request): Promise<Static<typeof Pruning>> => {
    const { value: topic } = await topics.find(tenantOf(request), pathPart(request, "id"))
    const { dryRun, retention } = readBody(PruneInput, request.body, (body, faults) => readAsked(body, faults, topic))
    const needs = new Needs(context.engine, context.clock)
    const asked = { ...topic, retention }
    const overdue = await overdueOf(context.engine, asked, retention, needs)
    const goes = await showGoing(context, asked, overdue)
    const held = showHeld(overdue)
    const dropped = dryRun ? 0 : await drop(context.engine, topic, overdue)
    const rules = await seeToRules(context, asked, dryRun ? overdue : undefined, needs)
    return {
      dryRun,
      dropped: dropped + (dryRun ? 0 : (rules?.goes ?? 0)),
      goes,
      ...(held && { held }),
      ...(rules && { rules: rules.rules.map(showRule) }),
    }
  })
}

/** `tried`: nothing is to go, and what is over the limits of all events would have gone before. */
function seeToRules(
  { engine, clock }: ApiContext,
  topic: Topic,
  tried: Overdue | undefined,
  needs: Needs,
): Promise<OverdueByRules> | undefined {
  if (topic.retention.rules === undefined) return undefined
  const context = { log: engine.log, clock }
  return tried === undefined ? dropByRules(context, topic, needs) : overdueByRules(context, topic, needs, tried)
}

function showRule(overdue: RuleOverdue) {
  const { events, bytes, oldestAt, newestAt } = overdue.goes
  const held = showHeld(overdue)
  return {
    ...{ events, bytes },
    ...(oldestAt !== undefined && { oldestAt: new Date(oldestAt).toISOString() }),
    ...(newestAt !== undefined && { newestAt: new Date(newestAt).toISOString() }),
    ...(held && { held }),
    isWhole: overdue.isWhole,
  }
}

function readAsked({ dryRun = false, retention }: Static<typeof PruneInput>, faults: Faults, topic: Topic) {
  if (retention !== undefined && !dryRun)
    faults.add("retention", "goes with dryRun alone; to change it, change the topic")
  return {
    dryRun,
    retention: retention === undefined ? topic.retention : readRetention(retention, "retention", faults),
  }
}

async function showGoing(
  { engine }: ApiContext,
  { tenant, id, retention }: Topic,
  { goes, held }: Overdue,
): Promise<Static<typeof Pruning>["goes"]> {
  const limits = []
  const { ageMaxMs, eventsMax, bytesMax } = retention
  const each: Readonly<Record<(typeof limitNames)[number], RetentionLimits | undefined>> = {
    ageMax: ageMaxMs === undefined ? undefined : { ageMaxMs },
    eventsMax: eventsMax === undefined ? undefined : { eventsMax },
    bytesMax: bytesMax === undefined ? undefined : { bytesMax },
  }
  for (const limit of limitNames) {
    const keep = each[limit]
    if (keep === undefined || goes.events === 0) continue
    const { events, bytes } = await engine.log.trimmable({ tenant, topic: id }, keep, held?.needed)
    limits.push({ limit, events, bytes })
  }
  const { events, bytes, oldestAt, newestAt } = goes
  return {
    ...{ events, bytes },
    ...(oldestAt !== undefined && { oldestAt: new Date(oldestAt).toISOString() }),
    ...(newestAt !== undefined && { newestAt: new Date(newestAt).toISOString() }),
    limits,
  }
}

/** What stays, and for whom; undefined: nothing does. */
export function showHeld({ stays, held }: Pick<Overdue, "stays" | "held">): Static<typeof HeldSchema> | undefined {
  if (held === undefined || stays.events === 0) return undefined
  const { events, bytes, oldestAt } = stays
  const since = oldestAt === undefined ? {} : { oldestAt: new Date(oldestAt).toISOString() }
  return { events, bytes, ...since, by: held.kind, id: held.id, trigger: held.trigger }
}

const doc = {
  operationId: "pruneTopic",
  tag: "Topics",
  summary: "Drop what a topic keeps no longer, or see what that is",
  description:
    "Retention does so by itself, about once a minute. With `dryRun` nothing goes, and `retention` may say another one than the topic " +
    "has. What somebody is owed stays and is told as `held`, unless the retention says `dropUndelivered`.",
  params: idParams("topic"),
  body: PruneInput,
  bodyOptional: true,
  answers: { 200: Pruning },
  problems: ["not-found"],
} as const
