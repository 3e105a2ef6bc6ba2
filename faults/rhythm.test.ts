import { expect, test } from "vitest"
import { Rhythm } from "./rhythm.ts"

test("the longest pause is that of one kind, whatever the others do, and counts while it goes on", () => {
  const rhythm = new Rhythm()
  expect(rhythm.longestMs(1_000)).toBe(0)
  rhythm.note("a", 1_000)
  for (let at = 1_000; at <= 1_500; at += 10) rhythm.note("b", at)
  rhythm.note("a", 1_400)
  expect(rhythm.longestMs(1_500)).toBe(400)
  expect(rhythm.longestMs(2_000)).toBe(600)
})
