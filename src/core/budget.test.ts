import { expect, test } from "vitest"
import { Budget, smallBytes } from "./budget.ts"

test("what is large leaves the last quarter to what is small", () => {
  const budget = new Budget(1_000_000)
  expect(budget.take(700_000)).toBe(true)
  expect(budget.take(100_000)).toBe(false)
  expect(budget.take(60_000, 40_000)).toBe(false)
  for (let i = 0; i < 4; i++) expect(budget.take(smallBytes)).toBe(true)
  expect(budget.take(smallBytes)).toBe(false)
  expect(budget.taken).toBe(700_000 + 4 * smallBytes)
})

test("who is alone may have all", () => {
  const budget = new Budget(1_000_000)
  expect(budget.take(500_000)).toBe(true)
  expect(budget.take(500_000, 500_000)).toBe(true)
  budget.give(1_000_000)
  expect(budget.take(1_000_001)).toBe(false)
  expect(budget.taken).toBe(0)
})
