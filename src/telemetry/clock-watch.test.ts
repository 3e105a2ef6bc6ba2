import { expect, test } from "vitest"
import { ClockWatch } from "./clock-watch.ts"

test("a clock that is set is told of once, by how much, and one that is synchronised is not", () => {
  let [now, steady] = [1_000_000, 0]
  const told: unknown[] = []
  const warn = (fields: object, text: string) => void told.push([fields, text.split(":")[0]])
  const clock = { now: () => now, steady: () => steady, after: () => () => {} }
  const watch = new ClockWatch(clock, { info: warn, warn, error: warn })
  const pass = (ms: number, leapMs = 0) => {
    steady += ms
    now += ms + leapMs
    watch.look()
  }
  pass(2_000)
  pass(2_000, 30)
  pass(2_000, -30)
  expect(told).toEqual([])
  pass(2_000, -60_000)
  pass(2_000)
  expect(told.splice(0)).toEqual([[{ seconds: 60 }, "the clock was set back"]])
  pass(2_000, 60_000)
  pass(2_000)
  expect(told).toEqual([[{ seconds: 60 }, "the clock was set forward, or the machine slept"]])
})
