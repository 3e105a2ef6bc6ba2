import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { parseRetryAfter, retryAfterMaxMs } from "./retry-after.ts"

const now = Date.parse("2026-03-01T12:00:00Z")

describe("Retry-After", () => {
  test.each([
    ["120", 120_000],
    [" 5\t", 5_000],
    ["0", 0],
    ["007", 7_000],
    ["86400", retryAfterMaxMs],
    ["86401", retryAfterMaxMs],
    ["9".repeat(400), retryAfterMaxMs],
    ["Sun, 01 Mar 2026 12:00:30 GMT", 30_000],
    ["Sunday, 01-Mar-26 12:00:30 GMT", 30_000],
    ["Sun Mar  1 12:00:30 2026", 30_000],
    ["Sun Mar 01 12:00:30 2026", 30_000],
    ["Mon, 02 Mar 2026 11:59:59 GMT", 86_399_000],
    ["Sun, 01 Mar 2026 11:59:00 GMT", 0],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 0],
    ["Tue, 01 Mar 2050 12:00:00 GMT", retryAfterMaxMs],
  ])("%j asks for %i ms", (value, restMs) => {
    expect(parseRetryAfter(value, now)).toBe(restMs)
  })

  test.each([
    "",
    "-5",
    "+5",
    "1.5",
    "1e3",
    "0x10",
    "5 s",
    "5, 5",
    "1_000",
    "٣",
    "soon",
    "2026-03-01T12:00:30Z",
    "Sun, 99 Foo 2026",
    "Sun, 01 Mar 2026 12:00:30",
    "Sun, 01 Mar 2026 12:00:30 UTC",
    "Sun, 01 Mar 2026 12:00:30 +0000",
    "Sun, 1 Mar 2026 12:00:30 GMT",
    "sun, 01 mar 2026 12:00:30 gmt",
    "Sun, 01 Mar 2026 24:00:00 GMT",
    "Sun, 01 Mar 2026 12:60:00 GMT",
    "Sun, 01 Mar 2026 12:00:61 GMT",
    "Mon, 31 Feb 2027 12:00:00 GMT",
    "Mon, 00 Mar 2027 12:00:00 GMT",
    "Sunday, 01-Mar-2026 12:00:30 GMT",
    "Sun Mar 1 12:00:30 2026",
    "Sun Mar  1 12:00:30 2026 GMT",
    "Mon",
    "Sunday 5",
  ])("%j is ignored", (value) => {
    expect(parseRetryAfter(value, now)).toBe(0)
  })

  test("a leap second, and years of two digits as near as they can be", () => {
    expect(parseRetryAfter("Sun, 01 Mar 2026 12:00:60 GMT", now)).toBe(59_000)
    const newYear = Date.parse("2099-12-31T23:59:30Z")
    expect(parseRetryAfter("Friday, 01-Jan-00 00:00:00 GMT", newYear)).toBe(30_000)
    expect(parseRetryAfter("Friday, 31-Dec-99 23:59:40 GMT", newYear + 40_000)).toBe(0)
  })

  test("the rest to any second, in each form, as a calendar of its own has it", () => {
    const second = fc.integer({ min: Date.parse("2000-01-01") / 1000, max: Date.parse("2060-12-31") / 1000 })
    fc.assert(
      fc.property(second, fc.integer({ min: -90_000, max: 90_000 }), (at, awayS) => {
        const asked = new Date((at + awayS) * 1000)
        const restMs = Math.min(Math.max(awayS, 0) * 1000, retryAfterMaxMs)
        for (const form of formsOf(asked)) expect([form, parseRetryAfter(form, at * 1000)]).toEqual([form, restMs])
      }),
    )
  })

  test("is within its bounds whatever stands there", () => {
    const likely = fc.stringMatching(/^(Sun|Monday),? [0-9]{1,2}[ -](Mar|Feb)[ -][0-9]{2,4} [0-9:]{5,8}( GMT)?$/)
    fc.assert(
      fc.property(fc.oneof(fc.string(), likely), (value) => {
        const restMs = parseRetryAfter(value, now)
        expect(restMs).toBeGreaterThanOrEqual(0)
        expect(restMs).toBeLessThanOrEqual(retryAfterMaxMs)
      }),
    )
  })
})

/** The three forms, made by Intl. */
function formsOf(date: Date): readonly string[] {
  const part = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat("en-US", { timeZone: "UTC", ...options }).format(date)
  const [short, long] = [part({ weekday: "short" }), part({ weekday: "long" })]
  const [day, month, year] = [part({ day: "numeric" }), part({ month: "short" }), part({ year: "numeric" })]
  const time = part({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
  return [
    `${short}, ${day.padStart(2, "0")} ${month} ${year} ${time} GMT`,
    `${long}, ${day.padStart(2, "0")}-${month}-${year.slice(2)} ${time} GMT`,
    `${short} ${month} ${day.padStart(2)} ${time} ${year}`,
  ]
}
