import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Outcome, ResponseRecord } from "../core/delivery.ts"
import {
  allowedAtOnce,
  type Breaker,
  breakerAfter,
  breakerAllows,
  breakerAt,
  breakerLimits,
  closedBreaker,
  signOf,
} from "./breaker.ts"

const unjittered = { next: () => 0, id: () => "" }
const down = (breaker: Breaker, now: number, probe = false) =>
  breakerAfter(breaker, { sign: "down", probe, now }, unjittered)
const broken = (now: number): Breaker => {
  let breaker = closedBreaker
  for (let n = 0; n < breakerLimits.failuresMax; n++) breaker = down(breaker, now)
  return breaker
}

describe("the breaker", () => {
  it("opens after so many failures in a row, and only then", () => {
    let breaker = closedBreaker
    for (let n = 1; n < breakerLimits.failuresMax; n++) breaker = down(breaker, 0)
    expect(breakerAllows(breaker)).toBe(Number.POSITIVE_INFINITY)
    expect(down(breaker, 0)).toEqual({ kind: "open", until: 1_000, delayMs: 1_000 })
    const answered = breakerAfter(breaker, { sign: "up", probe: false, now: 0 }, unjittered)
    expect(down(answered, 0).kind).toBe("closed")
  })

  it("lets one probe through after its delay, which doubles up to the longest", () => {
    let breaker = broken(0)
    let now = 0
    const delays: number[] = []
    for (let n = 0; n < 8; n++) {
      if (breaker.kind !== "open") throw new Error(`it is ${breaker.kind}`)
      delays.push(breaker.until - now)
      expect(breakerAllows(breakerAt(breaker, breaker.until - 1))).toBe(0)
      now = breaker.until
      const probing = breakerAt(breaker, now)
      expect(breakerAllows(probing)).toBe(1)
      breaker = down(probing, now, true)
    }
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  it("closes on any answer, with two at once, one more for each that follows, and none for a failure", () => {
    const up = (breaker: Breaker) => breakerAfter(breaker, { sign: "up", probe: true, now: 1_000 }, unjittered)
    let breaker = up(breakerAt(broken(0), 1_000))
    expect(breaker).toEqual({ kind: "closed", failures: 0, allowed: 2 })
    breaker = down(up(breaker), 1_000)
    expect(allowedAtOnce(breaker)).toBe(3)
    for (let n = 3; n < breakerLimits.allowedMax; n++) breaker = up(breaker)
    expect(allowedAtOnce(breaker)).toBe(breakerLimits.allowedMax)
    expect(up(breaker)).toBe(closedBreaker)
    expect(up(closedBreaker)).toBe(closedBreaker)
  })

  it("is not moved by what began before it opened and fails late", () => {
    const open = broken(0)
    expect(down(open, 500)).toBe(open)
    const probing = breakerAt(open, 1_000)
    expect(down(probing, 1_000, false)).toBe(probing)
  })

  it("opens again when a probe says nothing", () => {
    const probing = breakerAt(broken(0), 1_000)
    const after = breakerAfter(probing, { sign: "unclear", probe: true, now: 1_000 }, unjittered)
    expect(after).toEqual({ kind: "open", until: 3_000, delayMs: 2_000 })
  })

  it("always lets a probe through in the end, and is closed by one that is answered", () => {
    const step = fc.record({
      sign: fc.constantFrom("up", "down", "unclear"),
      probe: fc.boolean(),
      passMs: fc.integer({ min: 0, max: 5_000 }),
      drawn: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let breaker = closedBreaker
        let now = 0
        for (const { sign, probe, passMs, drawn } of steps) {
          now += passMs
          breaker = breakerAt(breaker, now)
          breaker = breakerAfter(breaker, { sign, probe, now }, { next: () => drawn, id: () => "" })
          if (breaker.kind === "open") expect(breaker.until - now).toBeLessThanOrEqual(breakerLimits.delayMaxMs)
        }
        const later = breakerAt(breaker, now + breakerLimits.delayMaxMs)
        expect(breakerAllows(later)).toBeGreaterThanOrEqual(1)
        expect(breakerAfter(later, { sign: "up", probe: true, now }, unjittered).kind).toBe("closed")
      }),
    )
  })
})

describe("signOf", () => {
  const response = (status: number): ResponseRecord => ({
    status,
    headers: {},
    body: "",
    bodyEncoding: "utf8",
    bodyTruncated: false,
  })
  const failed = (rest: Partial<Outcome>): Outcome =>
    ({ kind: "failed", detail: "", permanent: false, ...rest }) as Outcome

  it.each([
    [{ kind: "delivered", detail: "204" } as Outcome, "up"],
    [failed({}), "down"],
    [failed({ permanent: true }), "unclear"],
    [failed({ response: response(500) }), "down"],
    [failed({ response: response(429) }), "down"],
    [failed({ response: response(404), permanent: true }), "up"],
    [failed({ response: response(302) }), "up"],
    [failed({ response: response(410), gone: true }), "up"],
  ])("%j says %s", (outcome, sign) => {
    expect(signOf(outcome)).toBe(sign)
  })
})
