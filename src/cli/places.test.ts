import { InvalidArgumentError } from "commander"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { place, placeText, readPlace, startOf } from "./places.ts"

const now = Date.parse("2026-03-01T12:00:00Z")

describe("a place", () => {
  test.each([
    ["oldest", { kind: "oldest" }],
    ["newest", { kind: "newest" }],
    ["now", { kind: "newest" }],
    ["10m", { kind: "time", time: "2026-03-01T11:50:00.000Z" }],
    ["1.5h", { kind: "time", time: "2026-03-01T10:30:00.000Z" }],
    ["2026-01-31T12:00:00Z", { kind: "time", time: "2026-01-31T12:00:00.000Z" }],
    ["2026-01-31 12:00:00+02:00", { kind: "time", time: "2026-01-31T10:00:00.000Z" }],
    ["00000000008", { kind: "cursor", cursor: "00000000008" }],
    ["g0000000abc", { kind: "cursor", cursor: "g0000000abc" }],
  ])("%s", (text, read) => expect(readPlace(text, now)).toEqual(read))

  test.each([
    ["2026-01-31", "It lacks a time of day: 2026-01-31T00:00:00Z."],
    ["2026-01-31 12:00", "It lacks a time zone: 2026-01-31T12:00Z."],
    ["10 minutes", "How long ago is written 10m."],
    ["10min", "How long ago is written 10m."],
    ["3h ago", "How long ago is written 3h."],
    ["2w", "Weeks are written in days: 14d."],
    ["0000000008", "A cursor has eleven of 0-9 and a-z."],
    ["2026-13-01T00:00:00Z", "It is no place."],
    ["yesterday's", "It is no place."],
    ["10", "It is no place."],
    ["", "It is no place."],
  ])("%j is none, and what was meant is said", (text, hint) => {
    expect(() => place(text)).toThrow(InvalidArgumentError)
    expect(() => place(text)).toThrow(
      `${hint} A place is oldest, newest, how long ago (10m, 24h), a time (2026-01-31T12:00:00Z) or a cursor.`,
    )
  })

  test("is told to the hub as reading and triggers take it", () => {
    expect([placeText(undefined), startOf(undefined)]).toEqual([undefined, undefined])
    expect(["oldest", "now", "10m", "00000000008"].map((text) => placeText(readPlace(text, now)))).toEqual([
      "oldest",
      "newest",
      "2026-03-01T11:50:00.000Z",
      "00000000008",
    ])
    expect(["oldest", "newest", "10m", "00000000008"].map((text) => startOf(readPlace(text, now)))).toEqual([
      "oldest",
      "now",
      { time: "2026-03-01T11:50:00.000Z" },
      { cursor: "00000000008" },
    ])
  })

  test("every moment of the past is read back as it is, whichever way it is written", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999_999 }), (seconds) => {
        const time = new Date(now - seconds * 1_000).toISOString()
        expect(readPlace(`${seconds}s`, now)).toEqual({ kind: "time", time })
        expect(readPlace(time, now)).toEqual({ kind: "time", time })
      }),
    )
  })
})
