import fc from "fast-check"
import { expect, test } from "vitest"
import { formatDuration, parseDuration } from "./durations.ts"

test.each([
  ["500ms", 500],
  ["10s", 10_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["7d", 604_800_000],
  [1_500, 1_500],
  [0, 0],
])("%s is %d ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each(["", "-1s", "1w", "999999999999999d", "0.5ms", -1, 1.5, Number.NaN, null, true, {}])(
  "%j is no duration",
  (value) => {
    expect(parseDuration(value)).toBeUndefined()
  },
)

test.each([
  [86_400_000, "1d"],
  [90_000, "90s"],
  [3_600_000, "1h"],
  [1_500, "1500ms"],
])("%d ms reads %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test("what is shown parses to what it was", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 40 }), (ms) => parseDuration(formatDuration(ms)) === ms))
})
