import { expect, test } from "vitest"
import { nextWall, parseCron } from "./cron.ts"

function runs(text: string, from: string, count: number): readonly string[] {
  const cron = parseCron(text)
  if (typeof cron === "string") throw new Error(cron)
  const found: string[] = []
  let at: number | undefined = Date.parse(from)
  while (found.length < count) {
    at = nextWall(cron, at)
    if (at === undefined) break
    found.push(new Date(at).toISOString().replace(".000Z", ""))
    at += 1
  }
  return found
}

test("five fields are minutes, hours, days, months and days of the week; six have seconds first", () => {
  const friday = "2026-01-02T08:59:59Z"
  expect(runs("0 9 * * 1-5", friday, 3)).toEqual(["2026-01-02T09:00:00", "2026-01-05T09:00:00", "2026-01-06T09:00:00"])
  expect(runs("*/20 30 9 * * *", friday, 3)).toEqual([
    "2026-01-02T09:30:00",
    "2026-01-02T09:30:20",
    "2026-01-02T09:30:40",
  ])
})

test.each([
  ["5,50 8-9 * * *", ["2026-01-01T08:05:00", "2026-01-01T08:50:00", "2026-01-01T09:05:00", "2026-01-01T09:50:00"]],
  ["0 20/2 * * *", ["2026-01-01T20:00:00", "2026-01-01T22:00:00", "2026-01-02T20:00:00"]],
  ["0 0 * feb-MAR/1 sun", ["2026-02-01T00:00:00", "2026-02-08T00:00:00"]],
  ["0 0 * * 7", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]],
  ["0 0 * * 5-7", ["2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-04T00:00:00", "2026-01-09T00:00:00"]],
  ["0 0 13 * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00", "2026-01-16T00:00:00"]],
  ["0 0 */13 * 3", ["2026-01-14T00:00:00", "2026-04-01T00:00:00"]],
  ["0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]],
  ["0 0 31 * *", ["2026-01-31T00:00:00", "2026-03-31T00:00:00", "2026-05-31T00:00:00"]],
])("%s", (text, expected) => {
  expect(runs(text, "2026-01-01T00:00:01Z", expected.length)).toEqual(expected)
})

test("from 2096 to 2104 there is no 29 February", () => {
  expect(runs("59 23 29 2 *", "2097-01-01T00:00:00Z", 1)).toEqual(["2104-02-29T23:59:00"])
})

test("a 29 February that is a Sunday comes each 28 years, or after forty", () => {
  const sundays = ["2032-02-29T00:00:00", "2060-02-29T00:00:00", "2088-02-29T00:00:00", "2128-02-29T00:00:00"]
  expect(runs("0 0 29 2 */7", "2026-01-01T00:00:00Z", 4)).toEqual(sundays)
})

test.each([
  ["", "five fields"],
  ["* * * *", "five fields"],
  ["* * * * * * *", "five fields"],
  ["@daily", "five fields"],
  ["60 * * * *", '"60" as minute, which is 0 to 59'],
  ["* 24 * * *", '"24" as hour, which is 0 to 23'],
  ["* * 0 * *", '"0" as day of the month, which is 1 to 31'],
  ["* * * foo *", '"foo" as month, which is 1 to 12, or one of jan'],
  ["* * * * 8", '"8" as day of the week, which is 0 to 7, or one of sun'],
  ["*/0 * * * *", "a step is 1 at least"],
  ["30-10 * * * *", "runs backwards"],
  ["1, * * * *", '"" as minute: write'],
  ["1-2-3 * * * *", '"1-2-3" as minute: write'],
  ["* * L * *", '"L" as day of the month, which is 1 to 31'],
  ["0 0 30 2 *", "never comes"],
  ["0 0 31 2,4,6,9,11 *", "never comes"],
  [`${"1,".repeat(600)}1 * * * *`, "five fields"],
])("%s is refused", (text, why) => {
  expect(parseCron(text)).toContain(why)
})

test("30 February or a Monday does come", () => {
  expect(runs("0 0 30 2 1", "2026-01-01T00:00:00Z", 1)).toEqual(["2026-02-02T00:00:00"])
})
