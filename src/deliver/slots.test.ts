import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Slots } from "./slots.ts"

describe("slots", () => {
  it("leaves a newcomer room however many greedy lanes came before, and lets none take more than half", () => {
    fc.assert(
      fc.property(fc.integer({ min: 64, max: 4_096 }), fc.integer({ min: 1, max: 40 }), (max, lanes) => {
        const slots = new Slots(max)
        const held = new Array<number>(lanes).fill(0)
        for (let round = 0; round < 20; round++) {
          for (let lane = 0; lane < lanes; lane++) {
            const room = slots.room(held[lane]!)
            slots.take(room)
            held[lane]! += room
          }
        }
        expect(slots.taken).toBeLessThanOrEqual(max + 4 * lanes)
        expect(held[0]).toBeLessThanOrEqual(Math.ceil(max / 2))
        expect(slots.room(0)).toBeGreaterThanOrEqual(4)
      }),
    )
  })

  it("wakes whoever has room, the one with less held first, and nobody for whom there is none", () => {
    const slots = new Slots(10)
    slots.take(10)
    const woken: string[] = []
    const waiter = (name: string, take: number) => () => {
      woken.push(name)
      slots.take(take)
    }
    slots.wait(6, waiter("holds six", 1))
    slots.wait(4, waiter("holds four", 1))
    slots.wait(4, waiter("holds four too", 1))
    slots.give(4)
    expect(woken).toEqual([])
    slots.give(1)
    expect(woken).toEqual(["holds four"])
    slots.give(1)
    expect(woken).toEqual(["holds four", "holds four too"])
    slots.give(2)
    expect(woken).toHaveLength(2)
    slots.give(1)
    expect(woken).toEqual(["holds four", "holds four too", "holds six"])
  })

  it("never lets a lane wait that would have room", () => {
    const action = fc.record({
      lane: fc.integer({ min: 0, max: 5 }),
      give: fc.boolean(),
      count: fc.integer({ min: 1, max: 9 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const slots = new Slots(16)
        const lanes = Array.from({ length: 6 }, () => ({ held: 0, waiting: false }))
        const wants = lanes.map((lane) => () => {
          lane.waiting = false
          const room = Math.min(1, slots.room(lane.held))
          slots.take(room)
          lane.held += room
          if (room > 0) return
          lane.waiting = true
          slots.wait(lane.held, wants[lanes.indexOf(lane)]!)
        })
        for (const { lane: index, give, count } of actions) {
          const lane = lanes[index]!
          if (!give) wants[index]!()
          else {
            const given = Math.min(count, lane.held)
            lane.held -= given
            slots.give(given)
            if (lane.waiting) wants[index]!()
          }
          for (const each of lanes) if (each.waiting) expect(slots.room(each.held)).toBe(0)
          expect(slots.taken).toBe(lanes.reduce((sum, each) => sum + each.held, 0))
        }
      }),
    )
  })

  it("forgets who no longer waits", () => {
    const slots = new Slots(1)
    slots.take(1)
    const wake = () => slots.take(1)
    slots.wait(0, wake)
    slots.forget(wake)
    slots.give(1)
    expect(slots.taken).toBe(0)
  })
})
