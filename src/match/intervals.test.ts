import fc from "fast-check"
import { expect, test } from "vitest"
import { type Interval, Intervals } from "./intervals.ts"

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
      const intervals = new Intervals()
      const present = new Map<number, Interval>()
      for (const [at, [each, goes]] of changes.entries()) {
        const known = intervals.get(each)
        if (known === 0) {
          intervals.set(each, at + 1)
          present.set(at + 1, each)
        } else if (goes) {
          intervals.set(each, 0)
          present.delete(known)
        }
      }
      expect(intervals.empty).toBe(present.size === 0)
      for (let value = -6; value <= 6; value += 0.5) expect(around(intervals, value)).toEqual(wanted(present, value))
    }),
    { numRuns: 300 },
  )
})

test("finds them among thousands, alike at one end or the other, and holds none once all are gone", () => {
  const intervals = new Intervals()
  const present = new Map<number, Interval>()
  for (let at = 1; at <= 3000; at++) {
    const low = at % 3 === 0 ? 7 : (at * 7919) % 1000
    const each = { low, lowOpen: at % 5 === 0, high: low + (at % 2 === 0 ? at : 1), highOpen: at % 7 === 0 }
    if (intervals.get(each) !== 0) continue
    intervals.set(each, at)
    present.set(at, each)
  }
  for (let value = 0; value < 4000; value += 31) expect(around(intervals, value)).toEqual(wanted(present, value))
  for (const [at, each] of present) {
    expect(intervals.get(each)).toBe(at)
    intervals.set(each, 0)
  }
  expect(intervals.empty).toBe(true)
})

test("knows limits at the ends of what numbers there are", () => {
  const most = Number.POSITIVE_INFINITY
  const intervals = new Intervals()
  intervals.set({ low: most, lowOpen: true, high: most, highOpen: false }, 1)
  intervals.set({ low: -most, lowOpen: false, high: -most, highOpen: true }, 1)
  intervals.set({ low: Number.MAX_VALUE, lowOpen: true, high: most, highOpen: false }, 2)
  intervals.set({ low: 0, lowOpen: true, high: 1, highOpen: true }, 3)
  intervals.set({ low: -1, lowOpen: true, high: -0, highOpen: true }, 4)
  const values = [most, -most, Number.MAX_VALUE, 0, -0, Number.MIN_VALUE, -Number.MIN_VALUE, 1, 1 - 2 ** -53]
  expect(values.map((value) => around(intervals, value))).toEqual([[2], [], [], [], [], [3], [4], [], [3]])
})

function around(intervals: Intervals, value: number): number[] {
  const found: number[] = []
  intervals.collect(value, value, { unproven: 0, take: (ref) => found.push(ref) })
  return found.sort((a, b) => a - b)
}

function wanted(present: ReadonlyMap<number, Interval>, value: number): number[] {
  return [...present].filter(([, each]) => holds(each, value)).map(([at]) => at)
}
