import Type, { type Static } from "typebox"
import { absents, type Timing, twices } from "../core/schedules.ts"
import { isTimestamp } from "../formats/attributes.ts"
import { parseCron } from "../sources/schedule/cron.ts"
import { ticksOf } from "../sources/schedule/ticks.ts"
import { zoneOf } from "../sources/schedule/zone.ts"
import { formatDuration, readDuration } from "./durations.ts"
import type { Faults } from "./faults.ts"
import { choice, Duration, strict } from "./schemas.ts"

const [intervalMsMin, intervalMsMax] = [1_000, 3_650 * 86_400_000]

/** The members of a schedule that say when it runs. */
export const timingFields = {
  cron: Type.Optional(
    Type.String({
      description:
        "Minute, hour, day of the month, month and day of the week, or six fields with seconds first. Either this or `interval`.",
      examples: ["0 9 * * 1-5"],
    }),
  ),
  interval: Type.Optional({
    ...Duration,
    description: `From run to run, 1s at least, counted from \`start\` or from when it was made, whatever clocks show.`,
  } as typeof Duration),
  timeZone: Type.Optional(
    Type.String({
      default: "UTC",
      description: "Where `cron` is read: a name of the IANA database, or an offset.",
      examples: ["Europe/Berlin"],
    }),
  ),
  start: Type.Optional(
    Type.String({ description: "No run before this, RFC 3339.", examples: ["2026-01-31T12:00:00Z"] }),
  ),
  end: Type.Optional(Type.String({ description: "No run after this, RFC 3339.", examples: ["9999-01-31T12:00:00Z"] })),
  twice: Type.Optional(
    choice(twices, {
      default: "first",
      description: "Which is meant of an hour that comes twice, because clocks are set back.",
    }),
  ),
  absent: Type.Optional(
    choice(absents, {
      default: "moved",
      description:
        "What becomes of a time that does not come, because clocks are set forward: the run is as much later as they " +
        "are set forward, or there is none.",
    }),
  ),
}

const timing = strict(timingFields)

/** The timing that a body asks for; undefined where something is wrong with it, which `faults` is told. */
export function readTiming(body: Static<typeof timing>, createdAt: number, faults: Faults): Timing | undefined {
  const before = faults.count
  const { cron, interval, timeZone = "UTC", twice = "first", absent = "moved" } = body
  if (cron === undefined && interval === undefined) faults.add("cron", "is required, or interval")
  if (cron !== undefined && interval !== undefined) faults.add("interval", "is there beside cron: leave one out")
  const wrong = cron === undefined || !faults.clean("cron") ? {} : parseCron(cron)
  if (typeof wrong === "string") faults.add("cron", wrong)
  const intervalMs = readInterval(interval, faults)
  if (faults.clean("timeZone") && zoneOf(timeZone) === undefined) {
    faults.add(
      "timeZone",
      "must be a time zone of the IANA database, such as Europe/Berlin, or an offset, such as +02:00",
    )
  }
  const [start, end] = [readTime(body.start, "start", faults), readTime(body.end, "end", faults)]
  if (start !== undefined && end !== undefined && end < start) faults.add("end", "is before the start")
  const isClean = Object.keys(timingFields).every((field) => faults.clean(field))
  if (faults.count > before || !isClean) return undefined
  return {
    ...(cron !== undefined && { cron }),
    timeZone,
    ...(intervalMs !== undefined && { intervalMs }),
    anchor: start ?? createdAt,
    ...(start !== undefined && { start }),
    ...(end !== undefined && { end }),
    ...{ twice, absent },
  }
}

function readInterval(interval: unknown, faults: Faults): number | undefined {
  const ms = readDuration(interval, "interval", faults)
  if (ms !== undefined && (ms < intervalMsMin || ms > intervalMsMax)) {
    faults.add("interval", `must be ${formatDuration(intervalMsMin)} to ${formatDuration(intervalMsMax)}`)
  }
  return ms
}

function readTime(text: string | undefined, field: string, faults: Faults): number | undefined {
  if (text === undefined || !faults.clean(field)) return undefined
  const time = isTimestamp(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return time
  faults.add(field, "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z")
  return undefined
}

/** Notes where there would never be a run. */
export function withoutRun(timing: Timing, since: number, faults: Faults): void {
  if (ticksOf(timing).after(since) !== undefined) return
  if (timing.end === undefined) faults.add("start", "is after the last time that can be said")
  else faults.add("end", "is before the first run: there would be none")
}
