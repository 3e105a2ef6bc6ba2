import { expect, test } from "vitest"
import { createSimulatedClock } from "../testing/clock.ts"
import { changeAgainst } from "./conflicts.ts"
import { ConflictError, OverloadError } from "./errors.ts"

const conflict = () => Promise.reject(new ConflictError("trigger/acme/t", 3, 4))

test("a change that others are always before is given up, after a rest between each try", async () => {
  const clock = createSimulatedClock(0)
  const at: number[] = []
  const change = changeAgainst(clock, "trigger t", () => {
    at.push(clock.now())
    return conflict()
  })
  const given = expect(change).rejects.toThrow(new OverloadError(1_000, "others keep changing trigger t"))
  for (let ms = 0; ms < 20_000; ms += 5) await clock.advance(5)
  await given
  expect(at).toHaveLength(20)
  expect(new Set(at).size).toBe(20)
  expect(at.at(-1)).toBeLessThan(10_000)
})

test("it is made anew until it comes first, and what else is wrong is thrown on", async () => {
  const clock = createSimulatedClock(0)
  let tries = 0
  const made = changeAgainst(clock, "t", () => (++tries < 3 ? conflict() : Promise.resolve("made")))
  await clock.advance(100)
  expect([await made, tries]).toEqual(["made", 3])
  await expect(changeAgainst(clock, "t", () => Promise.reject(new TypeError("a bug")))).rejects.toThrow("a bug")
})

test("a stop ends it", async () => {
  const stop = new AbortController()
  const change = changeAgainst(createSimulatedClock(0), "t", conflict, stop.signal)
  stop.abort()
  await expect(change).rejects.toThrow(OverloadError)
})
