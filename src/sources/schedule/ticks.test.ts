import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Timing } from "../../core/schedules.ts"
import { ticksOf } from "./ticks.ts"

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const usual = { timeZone: "UTC", anchor: 0, twice: "first", absent: "moved" } as const

/** All that a timing has after one instant and up to another. */
function ticksIn(timing: Timing, after: number, upTo: number): readonly string[] {
  const ticks = ticksOf(timing)
  const found: string[] = []
  for (let at = ticks.after(after); at !== undefined && at <= upTo; at = ticks.after(at)) {
    found.push(new Date(at).toISOString().replace(".000Z", "Z"))
  }
  return found
}

function runs(timing: Partial<Timing>, from: string, to: string): readonly string[] {
  return ticksIn({ ...usual, ...timing }, Date.parse(from) - 1, Date.parse(to))
}

describe("an hour that is missing", () => {
  const night = { cron: "30 2 * * *", timeZone: "Europe/Berlin" }
  const around = ["2026-03-28T00:00Z", "2026-03-30T12:00Z"] as const

  test("is made up for as much later as clocks were set forward", () => {
    expect(runs(night, ...around)).toEqual(["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"])
  })

  test("is left out where that is wanted", () => {
    expect(runs({ ...night, absent: "skipped" }, ...around)).toEqual(["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"])
  })

  test("is no run of its own where there is one already", () => {
    const hourly = { cron: "0 * * * *", timeZone: "Europe/Berlin" }
    const expected = ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]
    expect(runs(hourly, "2026-03-29T00:00Z", "2026-03-29T02:59Z")).toEqual(expected)
  })
})

describe("an hour that comes twice", () => {
  const night = { cron: "30 2 * * *", timeZone: "Europe/Berlin" }
  const around = ["2026-10-25T00:00Z", "2026-10-25T12:00Z"] as const
  test.each([
    ["first", ["2026-10-25T00:30:00Z"]],
    ["last", ["2026-10-25T01:30:00Z"]],
    ["both", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]],
  ] as const)("%s", (twice, expected) => {
    expect(runs({ ...night, twice }, ...around)).toEqual(expected)
  })
})

test("a day that a place has left out is made up for a day later", () => {
  const timing = { cron: "0 9 30 12 *", timeZone: "Pacific/Apia" }
  expect(runs(timing, "2011-12-01T00:00Z", "2012-01-31T00:00Z")).toEqual(["2011-12-30T19:00:00Z"])
  expect(runs({ ...timing, absent: "skipped" }, "2011-12-01T00:00Z", "2012-01-31T00:00Z")).toEqual([])
})

test("intervals are counted from their anchor, whatever clocks show", () => {
  const timing = { intervalMs: 6 * hourMs, timeZone: "Europe/Berlin", anchor: Date.parse("2026-03-28T20:10Z") }
  expect(runs(timing, "2026-03-28T00:00Z", "2026-03-29T10:00Z")).toEqual([
    "2026-03-28T20:10:00Z",
    "2026-03-29T02:10:00Z",
    "2026-03-29T08:10:00Z",
  ])
})

test("there is no run before the start and none after the end", () => {
  const [start, end] = [Date.parse("2026-01-02T09:00Z"), Date.parse("2026-01-04T09:00Z")]
  const expected = ["2026-01-02T09:00:00Z", "2026-01-03T09:00:00Z", "2026-01-04T09:00:00Z"]
  expect(runs({ cron: "0 9 * * *", start, end }, "2026-01-01T00:00Z", "2026-02-01T00:00Z")).toEqual(expected)
  const daily = { intervalMs: dayMs, anchor: start, start, end }
  expect(runs(daily, "2025-01-01T00:00Z", "2026-02-01T00:00Z")).toEqual(expected)
  const ticks = ticksOf({ ...usual, ...daily })
  expect([ticks.upTo(start - 1, 0), ticks.upTo(start, 0), ticks.upTo(end + 9 * dayMs, 0)]).toEqual([
    undefined,
    start,
    end,
  ])
})

test("what comes seldom is found soon", () => {
  const sundays = ticksOf({ ...usual, cron: "0 0 29 2 */7", timeZone: "Pacific/Apia" })
  expect(new Date(sundays.after(Date.parse("2088-03-01T00:00Z"))!).toISOString()).toBe("2128-02-28T11:00:00.000Z")
  const ticks = ticksOf({ ...usual, cron: "0 0 29 2 *", timeZone: "America/New_York" })
  const at = Date.parse("2097-03-01T00:00Z")
  expect(new Date(ticks.after(at)!).toISOString()).toBe("2104-02-29T05:00:00.000Z")
  expect(new Date(ticks.upTo(at, 0)!).toISOString()).toBe("2096-02-29T05:00:00.000Z")
})

/*
 * The oracle walks minute by minute, asks what clocks show, and knows nothing else: what they show at two instants comes twice,
 * what they leap over is missing.
 */

interface Fields {
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly days: readonly number[]
  readonly weekdays: readonly number[]
}

function shownBy(timeZone: string): (instant: number) => number {
  const parts = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric" } as const
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", ...parts })
  return (instant) => {
    const of = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]))
    return Date.UTC(of.year!, of.month! - 1, of.day!, of.hour!, of.minute!)
  }
}

function isMeant({ minutes, hours, days, weekdays }: Fields, wall: number): boolean {
  const date = new Date(wall)
  const isIn = (values: readonly number[], value: number) => values.length === 0 || values.includes(value)
  if (!isIn(minutes, date.getUTCMinutes()) || !isIn(hours, date.getUTCHours())) return false
  const [day, weekday] = [isIn(days, date.getUTCDate()), isIn(weekdays, date.getUTCDay())]
  return days.length > 0 && weekdays.length > 0 ? day || weekday : day && weekday
}

function oracle(fields: Fields, timing: Timing, from: number, to: number): readonly string[] {
  const shown = shownBy(timing.timeZone)
  const margin = 2 * hourMs
  const instants = new Map<number, number[]>()
  for (let at = from - margin; at <= to + margin; at += minuteMs) {
    const wall = shown(at)
    instants.set(wall, [...(instants.get(wall) ?? []), at])
  }
  const found = new Set<number>()
  for (const [wall, all] of instants) {
    if (!isMeant(fields, wall)) continue
    const kept = timing.twice === "both" ? all : [timing.twice === "first" ? all[0]! : all.at(-1)!]
    for (const at of kept) found.add(at)
  }
  for (let at = from - dayMs; timing.absent === "moved" && at <= to; at += minuteMs) {
    const [before, after] = [shown(at), shown(at + minuteMs)]
    for (let wall = before + minuteMs; wall < after; wall += minuteMs) {
      if (isMeant(fields, wall)) found.add(at + (wall - before))
    }
  }
  const inside = [...found].filter((at) => at > from && at <= to).sort((a, b) => a - b)
  return inside.map((at) => new Date(at).toISOString().replace(".000Z", "Z"))
}

/** Around changes of clocks, and elsewhere. */
const moments: readonly (readonly [zone: string, around: string])[] = [
  ["UTC", "2026-02-28T12:00Z"],
  ["Europe/Berlin", "2026-03-29T01:00Z"],
  ["Europe/Berlin", "2026-10-25T01:00Z"],
  ["Europe/Berlin", "2025-12-31T23:00Z"],
  ["America/New_York", "2026-03-08T07:00Z"],
  ["America/New_York", "2026-11-01T06:00Z"],
  ["Australia/Lord_Howe", "2026-04-04T15:00Z"],
  ["Australia/Lord_Howe", "2026-10-03T15:30Z"],
  ["Pacific/Apia", "2011-12-30T10:00Z"],
  ["Pacific/Apia", "2012-03-31T14:00Z"],
]

function some(values: readonly number[]): fc.Arbitrary<readonly number[]> {
  return fc.oneof(fc.constant([]), fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 }))
}

const upTo = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i)
const anyFields: fc.Arbitrary<Fields> = fc.record({
  minutes: some([0, 1, 15, 29, 30, 31, 45, 59]),
  hours: fc.oneof(some([0, 1, 2, 3, 23]), some(upTo(24))),
  days: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: some(upTo(31, 1)) }),
  weekdays: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: some(upTo(7)) }),
})

test("runs are those that a walk from minute to minute finds", () => {
  const timings = fc.tuple(
    fc.constantFrom(...moments),
    fc.constantFrom("first" as const, "last" as const, "both" as const),
    fc.constantFrom("moved" as const, "skipped" as const),
    anyFields,
    fc.integer({ min: -30 * 60, max: 30 * 60 }),
    fc.integer({ min: 1, max: 36 * 60 }),
  )
  fc.assert(
    fc.property(timings, ([[timeZone, around], twice, absent, fields, shift, minutes]) => {
      const from = Date.parse(around) + shift * minuteMs
      const to = from + minutes * minuteMs
      const text = (values: readonly number[]) => (values.length === 0 ? "*" : values.join(","))
      const cron = `${text(fields.minutes)} ${text(fields.hours)} ${text(fields.days)} * ${text(fields.weekdays)}`
      const timing: Timing = { ...usual, cron, timeZone, twice, absent }
      const expected = oracle(fields, timing, from, to)
      expect(ticksIn(timing, from, to)).toEqual(expected)
      const last = ticksOf(timing).upTo(to, from)
      expect(last === undefined ? undefined : new Date(last).toISOString().replace(".000Z", "Z")).toBe(expected.at(-1))
    }),
    { numRuns: 150 },
  )
}, 60_000)
