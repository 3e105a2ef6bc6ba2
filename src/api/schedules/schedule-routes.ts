import Type from "typebox"
import type { Schedule, Timing } from "../../core/schedules.ts"
import { readTiming, timingFields, withoutRun } from "../../resources/schedule-timing.ts"
import { pausedSchedule, resumedSchedule, scheduleFields } from "../../resources/schedules.ts"
import { component, strict, Timestamp } from "../../resources/schemas.ts"
import { ticksOf } from "../../sources/schedule/ticks.ts"
import { zoneOf } from "../../sources/schedule/zone.ts"
import type { ApiContext } from "../context.ts"
import { readBody, readQuery } from "../fields.ts"
import { pauseRoutes } from "../pause-routes.ts"
import { idParams } from "../resource-routes.ts"
import type { Resources } from "../resource-views.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"

const countMax = 50

const NextQuery = strict({
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: countMax, default: 5, description: "Runs at most." })),
})

/** What a schedule that is not saved may have; only its timing decides anything here. */
const NextInput = component(
  "NextRunsInput",
  strict(
    {
      ...scheduleFields,
      topic: Type.Optional(scheduleFields.topic),
      event: Type.Optional(scheduleFields.event),
      ...timingFields,
    },
    { examples: [{ cron: "30 2 * * *", timeZone: "Europe/Berlin" }] },
  ),
)

const NextRuns = component(
  "NextRuns",
  Type.Object({
    items: Type.Array(
      Type.Object({
        at: Timestamp,
        local: Type.String({
          description: "The same as clocks of its time zone show it.",
          examples: ["2026-01-31T13:00:00+01:00"],
        }),
      }),
      { description: "Fewer than were asked for: there are no more." },
    ),
  }),
)

/** What schedules have beside the routes of every resource: pause, resume, and what is to come. */
export function scheduleRoutes(app: App, context: ApiContext, schedules: Resources<Schedule>): void {
  const { store } = schedules
  const { clock } = context
  pauseRoutes(app, "/v1/schedules", schedules, {
    name: "Schedule",
    tag,
    pausing: "It has no runs until it is resumed, and makes up for none of them then.",
    resuming: "Its runs are those from now on.",
    pause: (schedule, reason) => pausedSchedule(schedule, reason, clock.now()),
    resume: (schedule) => resumedSchedule(schedule, clock.now()),
  })
  app.get("/v1/schedules/:id/next", documented(docs.next), async (request) => {
    const { count = 5 } = readQuery(NextQuery, request.query)
    const { value } = await store.find(tenantOf(request), pathPart(request, "id"))
    return { items: runsOf(value, Math.max(clock.now(), value.since), count) }
  })
  app.post("/v1/schedules/next", documented(docs.nextUnsaved), async (request) => {
    const { count = 5 } = readQuery(NextQuery, request.query)
    return readBody(NextInput, request.body, (body, faults) => {
      const now = clock.now()
      const timing = readTiming(body, now, faults)
      if (timing !== undefined) withoutRun(timing, now, faults)
      return { items: timing === undefined ? [] : runsOf(timing, now, count) }
    })
  })
}

function runsOf(timing: Timing, after: number, count: number) {
  const ticks = ticksOf(timing)
  const runs: { readonly at: string; readonly local: string }[] = []
  for (let at = ticks.after(after); at !== undefined && runs.length < count; at = ticks.after(at)) {
    runs.push({ at: new Date(at).toISOString(), local: localText(timing, at) })
  }
  return runs
}

function localText({ timeZone }: Timing, at: number): string {
  const offset = zoneOf(timeZone)?.offsetAt(at) ?? 0
  const minutes = Math.floor(Math.abs(offset) / 60_000)
  const two = (value: number) => String(value).padStart(2, "0")
  const shown = new Date(at + offset).toISOString().slice(0, 19)
  return `${shown}${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
}

const tag = "Schedules"

const docs = {
  next: {
    operationId: "listNextRuns",
    tag,
    summary: "See when a schedule runs next",
    description: "As it is now, whether it is paused or not.",
    params: idParams("schedule"),
    query: NextQuery,
    answers: { 200: NextRuns },
    problems: ["not-found"],
  },
  nextUnsaved: {
    operationId: "previewRuns",
    tag,
    summary: "See when a schedule that is not saved would run",
    query: NextQuery,
    body: NextInput,
    answers: { 200: NextRuns },
  },
} as const
