import Type, { type Static } from "typebox"
import { isReservedTopic, parseTopic } from "../core/address.ts"
import { scheduleKeys, scheduleProgressKeys } from "../core/catalog-keys.ts"
import { newIncarnation, type Pause } from "../core/resources.ts"
import { missedMax, misseds, type Schedule, schedulesMax } from "../core/schedules.ts"
import type { ResourceContext } from "./context.ts"
import { formatDuration } from "./durations.ts"
import { isObject } from "./merge-patch.ts"
import type { Draft, ResourceType } from "./resource-type.ts"
import { readTemplate, TemplateInput } from "./schedule-event.ts"
import { readTiming, timingFields, withoutRun } from "./schedule-timing.ts"
import { choice, component, Description, LabelsInput, ResourceId, strict } from "./schemas.ts"
import { topicFault } from "./topics.ts"

/** The members of a schedule as it is wanted. */
export const scheduleFields = {
  id: Type.Optional(ResourceId),
  description: Type.Optional(Description),
  labels: Type.Optional(LabelsInput),
  topic: Type.String({ description: "A topic, or one key of it.", examples: ["orders", "orders:123"] }),
  event: TemplateInput,
  ...timingFields,
  missed: Type.Optional(
    choice(misseds, {
      default: "once",
      description:
        "What becomes of runs for which no hub was there: none of them is made up for, the newest one is, or all are, " +
        `the newest ${missedMax} at most. A run that is less than a minute late, with none after it, is not missed.`,
    }),
  ),
  paused: Type.Optional(
    Type.Boolean({ description: "A paused schedule has no runs, and makes up for none. Absent in a PUT: as it was." }),
  ),
}

const ScheduleInput = component(
  "ScheduleInput",
  strict(scheduleFields, {
    examples: [
      { id: "morning", topic: "orders", event: { type: "day.begun" }, cron: "0 9 * * 1-5", timeZone: "Europe/Berlin" },
    ],
  }),
)

type Body = Static<typeof ScheduleInput>

/** The schedule's resource type: how it is read, checked and shown. */
export function scheduleType(context: ResourceContext): ResourceType<Schedule> {
  return {
    name: "schedule",
    keys: scheduleKeys,
    plural: "schedules",
    idPrefix: "sch",
    countMax: schedulesMax,
    input: ScheduleInput,
    readOnly: ["pausedSince", "pauseReason", "status"],
    patched: withWholeData,
    read: (body, draft) => readSchedule(context, body as Body, draft),
    show: showSchedule,
    async removed(schedule) {
      await context.engine.catalog.delete(scheduleProgressKeys.of(schedule))
    },
  }
}

/** Data are one value: a patch that has some replaces them, with every null that they hold. */
function withWholeData(fields: Record<string, unknown>, { event: patch }: Record<string, unknown>) {
  const { event } = fields
  if (!isObject(event) || !isObject(patch) || !Object.hasOwn(patch, "data") || patch.data === null) return fields
  return { ...fields, event: { ...event, data: patch.data } }
}

/** The schedule paused; one that rests already keeps its time and reason. */
export function pausedSchedule(schedule: Schedule, reason: string, now: number): Schedule {
  return { ...schedule, paused: schedule.paused ?? { since: now, reason } }
}

/** The schedule going on from now. */
export function resumedSchedule(schedule: Schedule, now: number): Schedule {
  const { paused, ...rest } = schedule
  return paused === undefined ? schedule : { ...rest, since: now }
}

async function readSchedule(context: ResourceContext, body: Body, draft: Draft<Schedule>): Promise<Schedule> {
  const { id, tenant, previous, now, faults } = draft
  await checkTopic(context, body, draft)
  const incarnation = previous?.incarnation ?? newIncarnation(now, context.chance)
  const event = readTemplate(body.event, { id, incarnation }, context.eventBytesMax, faults)
  const createdAt = previous?.createdAt ?? now
  const timing = readTiming(body, createdAt, faults)
  const paused = readPause(body, previous, now)
  const isResumed = previous?.paused !== undefined && paused === undefined
  const isSame = previous !== undefined && JSON.stringify(readBack(previous)) === JSON.stringify(timing)
  const since = isSame && !isResumed ? previous.since : now
  if (timing !== undefined && !isSame) withoutRun(timing, since, faults)
  return {
    ...{ id, tenant, incarnation },
    ...(body.description !== undefined && { description: body.description }),
    labels: body.labels ?? {},
    ...{ topic: body.topic, event },
    ...(timing ?? { timeZone: "UTC", anchor: 0, twice: "first", absent: "moved" }),
    missed: body.missed ?? "once",
    since,
    ...(paused !== undefined && { paused }),
    createdAt,
    updatedAt: now,
  }
}

/** A schedule's timing alone, its members in the order in which they are read. */
function readBack({ cron, timeZone, intervalMs, anchor, start, end, twice, absent }: Schedule) {
  return {
    ...(cron !== undefined && { cron }),
    timeZone,
    ...(intervalMs !== undefined && { intervalMs }),
    anchor,
    ...(start !== undefined && { start }),
    ...(end !== undefined && { end }),
    ...{ twice, absent },
  }
}

/** Publishing makes a topic that is not there, or does not: so it is where a schedule will publish. */
async function checkTopic(context: ResourceContext, body: Body, { tenant, faults }: Draft<Schedule>): Promise<void> {
  if (!faults.clean("topic")) return
  const parsed = parseTopic(body.topic)
  if (typeof parsed !== "string" && isReservedTopic(parsed.topic))
    return faults.add("topic", "is written by the hub alone")
  const fault = await topicFault(context, tenant, body.topic)
  if (fault !== undefined) faults.add("topic", fault)
}

/** Where a change says nothing of pause, what is stays. */
function readPause(body: Body, previous: Schedule | undefined, now: number): Pause | undefined {
  if (body.paused === undefined) return previous?.paused
  if (!body.paused) return undefined
  return previous?.paused ?? { since: now, reason: "paused by request" }
}

function showSchedule(schedule: Schedule): Record<string, unknown> {
  const { description, labels, topic, event, missed, paused } = schedule
  const { cron, intervalMs, timeZone, start, end, twice, absent } = schedule
  return {
    ...(description !== undefined && { description }),
    ...{ labels, topic, event },
    ...(cron !== undefined && { cron }),
    ...(intervalMs !== undefined && { interval: formatDuration(intervalMs) }),
    timeZone,
    ...(start !== undefined && { start: new Date(start).toISOString() }),
    ...(end !== undefined && { end: new Date(end).toISOString() }),
    ...{ twice, absent, missed },
    paused: paused !== undefined,
    ...(paused !== undefined && { pausedSince: new Date(paused.since).toISOString(), pauseReason: paused.reason }),
  }
}
