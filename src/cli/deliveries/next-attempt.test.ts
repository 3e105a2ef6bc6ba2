import { expect, test } from "vitest"
import { nextAttempt } from "./next-attempt.ts"

const now = Date.parse("2026-01-01T12:00:00Z")
const at = (seconds: number) => new Date(now + 1_000 * seconds).toISOString()

test.each([
  { state: "parked", dueAt: at(420), shown: "in 7m" },
  { state: "due", dueAt: at(0), shown: "now" },
  { state: "due", dueAt: at(-420), shown: "now, due for 7m" },
  { state: "parked", dueAt: at(-49), shown: "now, due for 49s" },
  { state: "held", dueAt: at(49), shown: "when its trigger is resumed" },
  { state: "held", dueAt: at(-49), shown: "when its trigger is resumed" },
  { state: "due", dueAt: at(-49), waitsFor: "trigger", shown: "held: trigger paused" },
  { state: "parked", dueAt: at(49), waitsFor: "trigger", shown: "held: trigger paused" },
  { state: "due", dueAt: at(-49), waitsFor: "destination", nextAt: at(420), shown: "in 7m, destination rests" },
  { state: "parked", dueAt: at(49), nextAt: at(49), shown: "in 49s" },
  { state: "leased", dueAt: at(-1), shown: "under way" },
])("a delivery that is $state, due at $dueAt, is next tried: $shown", ({ shown, ...delivery }) => {
  expect(nextAttempt(delivery, now)).toBe(shown)
})

test.each(["done", "dead", "dropped"])("a delivery that is %s is tried no more", (state) => {
  expect(nextAttempt({ state }, now)).toBe("")
})
