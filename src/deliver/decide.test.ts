import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Chance } from "../core/clock.ts"
import type { Failed, RetryPolicy } from "../core/delivery.ts"
import { decide } from "./decide.ts"

const always = (value: number): Chance => ({ next: () => value, id: () => "0".repeat(26) })
const failed: Failed = { kind: "failed", detail: "503", permanent: false }
const policy: RetryPolicy = { delaysMs: [1_000, 5_000], jitter: 0, attemptsMax: 4, ageMaxMs: 60_000 }
const fresh = { attempt: 1, attemptsForgiven: 0, firstDueAt: 0, now: 0 }

describe("decide", () => {
  it("is done when the destination took it", () => {
    expect(decide({ kind: "delivered", detail: "204" }, fresh, policy, always(0))).toEqual({ kind: "done" })
  })

  it("gives up at once on a permanent failure", () => {
    expect(decide({ ...failed, permanent: true }, fresh, policy, always(0))).toEqual({
      kind: "dead",
      reason: "permanent",
    })
  })

  it("walks the delays, repeats the last, and is exhausted after the last attempt", () => {
    const verdicts = [1, 2, 3, 4].map((attempt) => decide(failed, { ...fresh, attempt }, policy, always(0)))
    expect(verdicts).toEqual([
      { kind: "retry", delayMs: 1_000 },
      { kind: "retry", delayMs: 5_000 },
      { kind: "retry", delayMs: 5_000 },
      { kind: "dead", reason: "exhausted" },
    ])
  })

  it("forgets the attempts from before a redrive", () => {
    const redriven = { ...fresh, attempt: 5, attemptsForgiven: 4 }
    expect(decide(failed, redriven, policy, always(0))).toEqual({ kind: "retry", delayMs: 1_000 })
  })

  it("expires only when the next attempt would come after the age", () => {
    const at = (now: number) => decide(failed, { ...fresh, now }, policy, always(0))
    expect(at(59_000)).toEqual({ kind: "retry", delayMs: 1_000 })
    expect(at(59_001)).toEqual({ kind: "dead", reason: "expired" })
  })

  it("has no attempt after the event has expired", () => {
    const at = (now: number) => decide(failed, { ...fresh, now, expiresAt: 30_000 }, policy, always(0))
    expect(at(29_000)).toEqual({ kind: "retry", delayMs: 1_000 })
    expect(at(29_001)).toEqual({ kind: "dead", reason: "expired" })
    const rests = { ...failed, retryAfterMs: 86_400_000 }
    expect(decide(rests, { ...fresh, expiresAt: 30_000 }, policy, always(0))).toEqual({
      kind: "retry",
      delayMs: 30_000,
    })
  })

  it("waits at least as long as the destination asks", () => {
    const outcome = { ...failed, retryAfterMs: 30_000 }
    expect(decide(outcome, fresh, policy, always(0))).toEqual({ kind: "retry", delayMs: 30_000 })
    expect(decide({ ...failed, retryAfterMs: 10 }, fresh, policy, always(0))).toEqual({ kind: "retry", delayMs: 1_000 })
  })

  it("puts the last attempt off to the age's end where the destination asks for more, and expires after that one", () => {
    const outcome = { ...failed, retryAfterMs: 86_400_000 }
    expect(decide(outcome, fresh, policy, always(0))).toEqual({ kind: "retry", delayMs: 60_000 })
    const last = { ...fresh, attempt: 2, now: 60_000 }
    expect(decide(outcome, last, policy, always(0))).toEqual({ kind: "dead", reason: "expired" })
    const late = { ...fresh, attempt: 2, now: 80_000_000 }
    expect(decide(outcome, late, policy, always(0))).toEqual({ kind: "dead", reason: "expired" })
  })

  it("needs no delays where there is one attempt only", () => {
    const once = { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1 }
    expect(decide(failed, fresh, once, always(0))).toEqual({ kind: "dead", reason: "exhausted" })
  })

  it("keeps every delay between the jittered and the full one, and every attempt within the age", () => {
    const anyPolicy = fc.record({
      delaysMs: fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 12 }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
      attemptsMax: fc.integer({ min: 1, max: 30 }),
      ageMaxMs: fc.integer({ min: 0, max: 10_000_000 }),
    })
    const rests = fc.array(fc.option(fc.integer({ min: 0, max: 90_000_000 }), { nil: undefined }), { maxLength: 30 })
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(anyPolicy, chance, fc.integer({ min: 0, max: 5 }), rests, (policy, drawn, forgiven, rests) => {
        let now = 0
        let attempts = 0
        for (;;) {
          attempts++
          const standing = { attempt: forgiven + attempts, attemptsForgiven: forgiven, firstDueAt: 0, now }
          const rest = rests[attempts - 1]
          const outcome = rest === undefined ? failed : { ...failed, retryAfterMs: rest }
          const verdict = decide(outcome, standing, policy, always(drawn))
          expect(verdict.kind).toBe(decide(failed, standing, policy, always(drawn)).kind)
          if (verdict.kind !== "retry") break
          const base = policy.delaysMs[Math.min(attempts, policy.delaysMs.length) - 1]!
          expect(verdict.delayMs).toBeLessThanOrEqual(Math.max(base, rest ?? 0))
          const asked = Math.min(rest ?? 0, policy.ageMaxMs - now)
          expect(verdict.delayMs).toBeGreaterThanOrEqual(asked)
          expect(verdict.delayMs).toBeGreaterThanOrEqual(Math.floor(base * (1 - policy.jitter)))
          now += verdict.delayMs
          expect(now).toBeLessThanOrEqual(policy.ageMaxMs)
        }
        expect(attempts).toBeLessThanOrEqual(policy.attemptsMax)
      }),
    )
  })
})
