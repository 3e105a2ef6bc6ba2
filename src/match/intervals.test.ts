import fc from "fast-check"
import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import { EventView } from "../filters/view.ts"
import { type Interval, Intervals } from "./intervals.ts"
import type { Matching, Slot } from "./matching.ts"

const limit = fc.integer({ min: -5, max: 5 })
const interval: fc.Arbitrary<Interval> = fc.record({
  low: fc.oneof(limit, fc.constant(Number.NEGATIVE_INFINITY)),
  lowOpen: fc.boolean(),
  high: fc.oneof(limit, fc.constant(Number.POSITIVE_INFINITY)),
  highOpen: fc.boolean(),
})

function holds({ low, lowOpen, high, highOpen }: Interval, value: number): boolean {
  return (lowOpen ? value > low : value >= low) && (highOpen ? value < high : value <= high)
}

test("finds the intervals around a number, while intervals come and go", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(interval, fc.boolean()), { maxLength: 60 }), (changes) => {
      const intervals = new Intervals<Slot>()
      const present = new Map<string, Interval>()
      const found: string[] = []
      const nameOf = (each: Interval) => Object.values(each).map(String).join()
      for (const [each, goes] of changes) {
        const name = nameOf(each)
        if (!present.has(name)) {
          intervals.add(each, { collect: () => found.push(name) })
          present.set(name, each)
        } else if (goes) {
          intervals.delete(each)
          present.delete(name)
        }
      }
      expect(intervals.empty).toBe(present.size === 0)
      const matching: Matching = { view: new EventView(Event.of({})), found: [], serial: 1 }
      for (let value = -6; value <= 6; value += 0.5) {
        found.length = 0
        intervals.collect(value, matching)
        const wanted = [...present].filter(([, each]) => holds(each, value)).map(([name]) => name)
        expect([...found].sort()).toEqual(wanted.sort())
      }
    }),
    { numRuns: 300 },
  )
})
