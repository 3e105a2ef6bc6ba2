import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { formatBytes, formatDuration, parseBytes, parseDuration } from "./quantities.ts"

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["10s", 10_000],
    ["5m", 300_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
    ["1.5s", 1_500],
    ["1500", 1_500],
    ["0", 0],
    [" 2 h ", 7_200_000],
  ])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms))

  test.each(["", "h", "-1s", "1y", "1 h 2 m", "1e3", "0.5ms", "99999999999999999d", "Infinity"])(
    "%j is refused",
    (text) => {
      expect(parseDuration(text)).toHaveProperty("message")
    },
  )

  test("what is formatted reads back the same", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => parseDuration(formatDuration(ms)) === ms))
  })

  test.each([
    [86_400_000, "1d"],
    [90_000, "90s"],
    [1_500, "1500ms"],
    [0, "0ms"],
  ])("%d ms is written %s", (ms, text) => expect(formatDuration(ms)).toBe(text))
})

describe("sizes", () => {
  test.each([
    ["512KiB", 524_288],
    ["512kib", 524_288],
    ["1MiB", 1_048_576],
    ["1MB", 1_000_000],
    ["1GiB", 2 ** 30],
    ["0.5KiB", 512],
    ["77", 77],
    ["77B", 77],
  ])("%s is %d bytes", (text, bytes) => expect(parseBytes(text)).toBe(bytes))

  test.each(["", "KiB", "1K", "-1B", "1.5B", "0x10", "1,5MB"])("%j is refused", (text) => {
    expect(parseBytes(text)).toHaveProperty("message")
  })

  test("what is formatted reads back the same", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseBytes(formatBytes(bytes)) === bytes))
  })
})
