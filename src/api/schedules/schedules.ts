import Type, { type Static } from "typebox"
import { scheduleProgressKeys } from "../../core/catalog-keys.ts"
import { absents, misseds, type Schedule, type ScheduleProgress, twices } from "../../core/schedules.ts"
import { scheduleFields } from "../../resources/schedules.ts"
import { choice, component, LabelsInput, ResourceId, Timestamp } from "../../resources/schemas.ts"
import { ticksOf, timingFault } from "../../sources/schedule/ticks.ts"
import type { ApiContext } from "../context.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"

const ScheduleStatus = component(
  "ScheduleStatus",
  Type.Object(
    {
      state: choice(["active", "paused", "ended"], { description: "ended: it has no more runs." }),
      lastRunAt: Type.Optional(Type.String({ format: "date-time", description: "Its last run that was published." })),
      nextRunAt: Type.Optional(Type.String({ format: "date-time", description: "The next one to come." })),
      lastError: Type.Optional(
        Type.Object(
          { at: Timestamp, detail: Type.String() },
          { description: "Why a run that is due is not published; it is tried again until it is." },
        ),
      ),
    },
    { readOnly: true },
  ),
)

const ScheduleOutput = component(
  "Schedule",
  Type.Object({
    ...scheduleFields,
    ...resourceFields,
    id: ResourceId,
    labels: LabelsInput,
    timeZone: Type.String(),
    missed: choice(misseds),
    twice: choice(twices),
    absent: choice(absents),
    paused: Type.Boolean(),
    pausedSince: Type.Optional(Type.String({ format: "date-time", readOnly: true })),
    pauseReason: Type.Optional(Type.String({ readOnly: true })),
    status: Type.Optional(ScheduleStatus),
  }),
)

/** What is shown of schedules beyond what they are. */
export function scheduleView(context: ApiContext): ResourceView<Schedule> {
  return {
    tag: "Schedules",
    output: ScheduleOutput,
    statuses: (schedules) => Promise.all(schedules.map((schedule) => statusOf(context, schedule))),
  }
}

async function statusOf(
  { engine, clock, scheduleFailure }: ApiContext,
  schedule: Schedule,
): Promise<Static<typeof ScheduleStatus>> {
  const item = await engine.catalog.get<ScheduleProgress>(scheduleProgressKeys.of(schedule))
  const progress = item?.value.incarnation === schedule.incarnation ? item.value : undefined
  const passed = progress?.since === schedule.since ? progress.passed : undefined
  const next = ticksOf(schedule).after(Math.max(clock.now(), passed ?? schedule.since))
  const fault = timingFault(schedule)
  const wrong = fault === undefined ? undefined : { at: schedule.updatedAt, detail: fault }
  const failure = wrong ?? scheduleFailure?.(schedule) ?? progress?.failure
  const state = schedule.paused !== undefined ? "paused" : next === undefined && !failure ? "ended" : "active"
  return {
    state,
    ...(progress?.tick !== undefined && { lastRunAt: new Date(progress.tick).toISOString() }),
    ...(next !== undefined && state === "active" && { nextRunAt: new Date(next).toISOString() }),
    ...(failure && { lastError: { at: new Date(failure.at).toISOString(), detail: failure.detail } }),
  }
}
