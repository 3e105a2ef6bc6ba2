import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { RetryPolicy } from "../core/delivery.ts"
import { decide } from "./decide.ts"
import { checkAgainstRetention, isFaulty, parseRetry, retryPresets } from "./policies.ts"

const hour = 3_600_000

/** When each attempt of a destination that never answers comes, in ms after the first, without jitter. */
function schedule(policy: RetryPolicy): { readonly at: readonly number[]; readonly end: string } {
  const at: number[] = []
  for (let now = 0; ; ) {
    at.push(now)
    const standing = { attempt: at.length, attemptsForgiven: 0, firstDueAt: 0, now }
    const failed = { kind: "failed", detail: "", permanent: false } as const
    const verdict = decide(failed, standing, policy, { next: () => 0, id: () => "" })
    if (verdict.kind !== "retry") return { at, end: verdict.kind === "dead" ? verdict.reason : verdict.kind }
    now += verdict.delayMs
  }
}

describe("the presets", () => {
  it("relay: 1, 2, 4 … 256 minutes, 20 attempts", () => {
    const { at, end } = schedule(retryPresets.relay)
    expect(at.slice(0, 10).map((ms) => ms / 60_000)).toEqual([0, 1, 3, 7, 15, 31, 63, 127, 255, 511])
    expect(at).toHaveLength(20)
    expect(end).toBe("exhausted")
  })

  it("eventarc: 10 s doubling to 600 s, for 24 hours", () => {
    const { at, end } = schedule(retryPresets.eventarc)
    expect(at.slice(0, 9).map((ms) => ms / 1_000)).toEqual([0, 10, 30, 70, 150, 310, 630, 1_230, 1_830])
    expect(at.at(-1)).toBeLessThanOrEqual(24 * hour)
    expect(at.at(-1)).toBeGreaterThan(23.8 * hour)
    expect(end).toBe("expired")
  })

  it("standard-webhooks: the schedule that the standard suggests", () => {
    const { at, end } = schedule(retryPresets["standard-webhooks"])
    expect(at).toEqual([0, 5_000, 300_000, 0.5 * hour, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour])
    expect(end).toBe("exhausted")
  })

  it("none: one attempt", () => {
    expect(schedule(retryPresets.none)).toEqual({ at: [0], end: "exhausted" })
  })
})

describe("parseRetry", () => {
  it("reads a preset's name, a preset with members replaced, and a policy of one's own", () => {
    expect(parseRetry("relay")).toEqual(retryPresets.relay)
    expect(parseRetry(undefined)).toEqual(retryPresets["standard-webhooks"])
    expect(parseRetry({ preset: "eventarc", ageMax: "1h", attemptsMax: 3 })).toEqual({
      ...retryPresets.eventarc,
      ageMaxMs: hour,
      attemptsMax: 3,
    })
    expect(parseRetry({ delays: ["500ms", "10s", 60_000], jitter: 0.5 })).toEqual({
      delaysMs: [500, 10_000, 60_000],
      jitter: 0.5,
      attemptsMax: 4,
      ageMaxMs: 2 * 70_500 + hour,
    })
  })

  it("names every fault at once", () => {
    const faults = parseRetry({ delays: ["5 parsecs", -1], jitter: 2, attemptsMax: 0, ageMax: "31d", colour: 1 })
    if (!isFaulty(faults)) throw new Error("no fault was found")
    expect(faults.map(({ field }) => field)).toEqual([
      "colour",
      "delays[0]",
      "delays[1]",
      "jitter",
      "attemptsMax",
      "ageMax",
    ])
  })

  it.each([
    [null, ""],
    ["sometimes", ""],
    [{ preset: "sometimes" }, "preset"],
    [{}, "delays"],
    [{ delays: [], attemptsMax: 2 }, "delays"],
    [{ delays: "10s" }, "delays"],
  ])("refuses %j", (input, field) => {
    expect(parseRetry(input)).toEqual([{ field, message: expect.any(String) }])
  })

  it("answers a policy that ends, or faults, whatever it is given", () => {
    const member = fc.oneof(fc.constantFrom("10s", "1ms", "-1s", "relay", "7d"), fc.integer(), fc.jsonValue())
    const object = fc.record(
      {
        preset: fc.oneof(fc.constantFrom("relay", "none"), member),
        delays: fc.oneof(fc.array(member, { maxLength: 4 }), member),
        jitter: fc.oneof(fc.double({ min: 0, max: 1 }), member),
        attemptsMax: fc.oneof(fc.integer({ min: 1, max: 20 }), member),
        ageMax: member,
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(object, member), (input) => {
        const parsed = parseRetry(input)
        if (isFaulty(parsed)) expect(parsed.length).toBeGreaterThan(0)
        else expect(schedule(parsed).at.length).toBeLessThanOrEqual(parsed.attemptsMax)
      }),
    )
  })
})

describe("checkAgainstRetention", () => {
  it("refuses a policy that tries longer than the topic keeps events", () => {
    expect(checkAgainstRetention(retryPresets.eventarc, {})).toEqual([])
    expect(checkAgainstRetention(retryPresets.eventarc, { ageMaxMs: 24 * hour })).toEqual([])
    expect(checkAgainstRetention(retryPresets.eventarc, { ageMaxMs: 23 * hour })).toEqual([
      { field: "ageMax", message: expect.stringContaining("keeps events for 23h") },
    ])
  })
})
