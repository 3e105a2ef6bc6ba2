import fc from "fast-check"
import { expect, it } from "vitest"
import { Rate } from "./rate.ts"

it("never starts more than its rate and a tenth in any second, and uses all of its rate", () => {
  const perSecond = fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.double({ min: 0.1, max: 50, noNaN: true }))
  fc.assert(
    fc.property(
      perSecond,
      fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 20, maxLength: 200 }),
      (rate, waits) => {
        const bucket = new Rate(rate, 0)
        const starts: { at: number; count: number }[] = []
        let now = 0
        for (const wait of waits) {
          now += wait
          const count = bucket.available(now)
          bucket.take(count)
          if (count > 0) starts.push({ at: now, count })
        }
        for (const { at } of starts) {
          const within = starts.filter((start) => start.at >= at && start.at < at + 1_000)
          const count = within.reduce((sum, start) => sum + start.count, 0)
          expect(count).toBeLessThanOrEqual(rate + Math.max(1, rate / 10) + 1e-3)
        }
      },
    ),
  )
})

it("says how long to wait for the next one", () => {
  const bucket = new Rate(4, 0)
  expect(bucket.waitMs(0)).toBe(0)
  bucket.take(bucket.available(0))
  expect(bucket.waitMs(0)).toBe(250)
  expect(bucket.available(249)).toBe(0)
  expect(bucket.available(250)).toBe(1)
})

it("keeps its rate over time when asked as soon as it says", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 900 }), (rate) => {
      const bucket = new Rate(rate, 0)
      let [now, count] = [0, 0]
      while (now < 10_000) {
        const free = bucket.available(now)
        bucket.take(free)
        count += free
        now += Math.max(1, bucket.waitMs(now))
      }
      expect(count / 10).toBeGreaterThan(rate * 0.9 - 0.2)
    }),
  )
})

it("gives nothing for a clock that goes back", () => {
  const bucket = new Rate(10, 5_000)
  bucket.take(bucket.available(5_000))
  expect(bucket.available(1_000)).toBe(0)
  expect(bucket.available(1_100)).toBe(1)
})
