import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { TenantShare } from "../core/tenant-shares.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { Slots } from "./slots.ts"

const clock = createSimulatedClock()
const slotsFor = (max: number, shares: Readonly<Record<string, TenantShare>> = {}) =>
  new Slots(max, clock, new Map(Object.entries(shares)))

/** Lanes that always want more, each of its tenant; they take what they get when they are woken. */
function greedy(slots: Slots, tenants: readonly string[]) {
  return tenants.map((tenant) => {
    const of = slots.of(tenant)
    const lane = {
      tenant,
      get held() {
        return of.held
      },
      waiting: false,
      of,
      want: () => {
        lane.waiting = false
        // Ends: each time around there is less room.
        for (let { room } = of; room > 0; room = of.room) of.take(room)
        lane.waiting = true
        of.wait(lane.want)
      },
      end: (count: number) => of.give(Math.min(count, of.held)),
    }
    return lane
  })
}

const heldBy = (lanes: ReturnType<typeof greedy>, tenant: string) =>
  lanes.filter((lane) => lane.tenant === tenant).reduce((sum, { held }) => sum + held, 0)

describe("slots", () => {
  it("leaves a newcomer room however many greedy lanes came before, and lets no lane have all", () => {
    fc.assert(
      fc.property(fc.integer({ min: 64, max: 4_096 }), fc.integer({ min: 1, max: 300 }), (max, count) => {
        const slots = slotsFor(max)
        const lanes = greedy(slots, new Array<string>(count).fill("a"))
        for (const lane of lanes) lane.want()
        expect(heldBy(lanes, "a")).toBeLessThanOrEqual(max + 4 * count)
        expect(lanes[0]!.held).toBeLessThanOrEqual(Math.ceil((2 / 3) * max) + 5)
        expect(slots.of("a").room).toBeGreaterThanOrEqual(4)
        expect(slots.of("b").room).toBeGreaterThanOrEqual(4 + Math.floor(max / 25))
      }),
    )
  })

  it("shares by weight what is contended, whoever came first", () => {
    const slots = slotsFor(1_000, { heavy: { weight: 4 }, "*": { weight: 1 } })
    const lanes = greedy(slots, [...new Array<string>(20).fill("light"), ...new Array<string>(20).fill("heavy")])
    for (const lane of lanes) lane.want()
    for (let round = 0; round < 400; round++) for (const lane of lanes) lane.end(2)
    const ratio = heldBy(lanes, "heavy") / heldBy(lanes, "light")
    expect(ratio).toBeGreaterThan(3)
    expect(ratio).toBeLessThan(5)
    expect(heldBy(lanes, "heavy") + heldBy(lanes, "light")).toBeGreaterThan(900)
  })

  it("lets the lanes of a tenant have equal parts, and its limit is never exceeded", () => {
    const slots = slotsFor(1_000, { a: { weight: 1, inFlightMax: 50 } })
    const lanes = greedy(slots, new Array<string>(10).fill("a"))
    for (const lane of lanes) lane.want()
    expect(lanes[0]!.held).toBe(50)
    for (let round = 0; round < 200; round++) {
      for (const lane of lanes) {
        lane.end(1)
        lane.want()
      }
      expect(heldBy(lanes, "a")).toBe(50)
    }
    for (const lane of lanes) expect(lane.held).toBeGreaterThanOrEqual(3)
    for (const lane of lanes) expect(lane.held).toBeLessThanOrEqual(7)
  })

  it("never lets a lane wait that would have room, nor a tenant have more than its limit", () => {
    const tenants = ["a", "a", "b", "b", "b", "c"]
    const action = fc.record({
      lane: fc.integer({ min: 0, max: 5 }),
      give: fc.boolean(),
      count: fc.integer({ min: 1, max: 9 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), fc.integer({ min: 1, max: 40 }), (actions, max) => {
        const slots = slotsFor(max, { b: { weight: 3, inFlightMax: 7 }, c: { weight: 2 } })
        const lanes = greedy(slots, tenants)
        for (const { lane: index, give, count } of actions) {
          const lane = lanes[index]!
          if (!give) lane.want()
          else {
            lane.end(count)
            if (lane.waiting) lane.want()
          }
          for (const each of lanes) if (each.waiting) expect(each.of.room).toBe(0)
          const shared = lanes.reduce((sum, each) => sum + Math.max(0, each.held - 4), 0)
          expect(slots.free).toBe(max - shared)
          expect(shared).toBeLessThanOrEqual(max)
          expect(heldBy(lanes, "b")).toBeLessThanOrEqual(7)
        }
      }),
    )
  })

  it("forgets who no longer waits, and a tenant without lanes", () => {
    const slots = slotsFor(1, { "*": { weight: 1, ratePerSecond: 1 } })
    const a = slots.of("a")
    const { rate } = a
    a.take(6)
    const wake = () => a.take(1)
    a.wait(wake)
    a.forget(wake)
    a.give(6)
    expect(a.held).toBe(0)
    expect(slots.free).toBe(1)
    expect(slots.of("a").rate).toBe(rate)
    a.release()
    slots.of("a").release()
    a.release()
    expect(slots.of("a").rate).not.toBe(rate)
  })
})

describe("a tenant's rate", () => {
  it("is not exceeded by all of its lanes together, which take turns", async () => {
    const time = createSimulatedClock()
    const rate = new Slots(100, time, new Map([["a", { weight: 1, ratePerSecond: 50 }]])).of("a").rate!
    const begun = [0, 0, 0]
    const lanes = begun.map((_, n) => {
      const go = () => {
        // Ends: the tokens do.
        while (rate.ask(go)) {
          rate.take()
          begun[n]!++
        }
      }
      return go
    })
    for (const go of lanes) go()
    for (let ms = 0; ms < 3_000; ms++) {
      await time.advance(1)
      // One of them asks all the time.
      lanes[0]!()
    }
    const all = begun.reduce((sum, each) => sum + each, 0)
    expect(all).toBeGreaterThanOrEqual(145)
    expect(all).toBeLessThanOrEqual(155)
    expect(Math.max(...begun.slice(1)) - Math.min(...begun)).toBeLessThanOrEqual(5)
    expect(begun[0]).toBeLessThanOrEqual(begun[1]! + 5)
  })

  it("passes on the turn of a lane that wants none by now", async () => {
    const time = createSimulatedClock()
    const rate = new Slots(100, time, new Map([["*", { weight: 1, ratePerSecond: 1 }]])).of("a").rate!
    expect(rate.ask(() => {})).toBe(true)
    rate.take()
    let begun = 0
    expect(rate.ask(() => {})).toBe(false)
    const go = () => {
      if (rate.ask(go)) rate.take()
      begun++
    }
    expect(rate.ask(go)).toBe(false)
    await time.advance(3_000)
    expect(begun).toBe(1)
  })
})
