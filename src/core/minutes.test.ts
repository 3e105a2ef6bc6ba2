import { expect, test } from "vitest"
import { createSimulatedClock } from "../testing/clock.ts"
import { ByTheMinute } from "./minutes.ts"

function start() {
  const clock = createSimulatedClock(0)
  const minutes = new ByTheMinute(clock)
  const told: string[] = []
  const met = (key: string, count = 1) => {
    for (let i = 0; i < count; i++)
      minutes.met(key, { first: () => told.push(key), more: (count) => told.push(`${key} +${count}`) })
  }
  return { clock, minutes, met, said: () => told.splice(0) }
}

test("the first of its like is told at once, and those after it once a minute by their number", async () => {
  const { clock, met, said } = start()
  met("a", 3_000)
  met("b")
  expect(said()).toEqual(["a", "b"])
  await clock.advance(60_000)
  expect(said()).toEqual(["a +2999"])
  met("a", 2)
  met("b")
  expect(said()).toEqual(["b"])
  await clock.advance(60_000)
  expect(said()).toEqual(["a +2"])
  await clock.advance(600_000)
  expect(said()).toEqual([])
  met("a")
  expect(said()).toEqual(["a"])
})

test("what no line has told of is told at the end", async () => {
  const { clock, minutes, met, said } = start()
  met("a", 3)
  minutes.close()
  expect(said()).toEqual(["a", "a +2"])
  await clock.advance(600_000)
  expect(said()).toEqual([])
})

test("beyond so many keys they are told together", () => {
  const { met, minutes, said } = start()
  for (let i = 0; i < 1_500; i++) met(`k${i}`)
  minutes.close()
  expect(said().length).toBeLessThanOrEqual(1_002)
})
