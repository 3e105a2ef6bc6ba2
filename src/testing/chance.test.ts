import { expect, test } from "vitest"
import { createSimulatedChance } from "./chance.ts"
import { createSimulatedClock } from "./clock.ts"

const take = (seed: string | number, count = 20) => {
  const chance = createSimulatedChance(seed)
  return Array.from({ length: count }, () => chance.next())
}

test("a seed gives the same stream every time, another seed another one", () => {
  expect(take(7)).toEqual(take(7))
  expect(take(7)).not.toEqual(take(8))
  expect(take(7).every((value) => value >= 0 && value < 1)).toBe(true)
})

test("the stream is even", () => {
  const chance = createSimulatedChance("even")
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 100_000; i++) counts[chance.between(0, 9)]!++
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
})

test("a fork depends on its name only, not on what was asked before", () => {
  const chance = createSimulatedChance(1)
  const early = chance.fork("disk").next()
  chance.next()
  expect(chance.fork("disk").next()).toBe(early)
  expect(chance.fork("store").next()).not.toBe(early)
})

test("ids have 26 characters, sort by time and do not repeat", () => {
  const clock = createSimulatedClock(1_700_000_000_000)
  const chance = createSimulatedChance(1, clock)
  const ids: string[] = []
  for (let i = 0; i < 200; i++) {
    ids.push(chance.id())
    clock.jump(1)
  }
  expect(ids.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id))).toBe(true)
  expect(ids.toSorted()).toEqual(ids)
  expect(new Set(ids).size).toBe(200)
})

test("pick takes from all, and refuses an empty list", () => {
  const chance = createSimulatedChance(3)
  expect(new Set(Array.from({ length: 100 }, () => chance.pick(["a", "b", "c"])))).toEqual(new Set(["a", "b", "c"]))
  expect(() => chance.pick([])).toThrow(RangeError)
})
