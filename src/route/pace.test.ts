import { expect, test } from "vitest"
import type { Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import { Event } from "../core/event.ts"
import { createMatcher } from "../match/matcher.ts"
import { createTrigger, ordersAddress } from "../testing/samples.ts"
import { Pace, turnSteps } from "./pace.ts"
import { StoppedError } from "./persist.ts"

function stored(data: unknown) {
  const attributes = { specversion: "1.0", id: "1", source: "/s", type: "t" }
  const event = Event.of(attributes, Buffer.from(JSON.stringify(data)), "json")
  return { address: ordersAddress, cursor: "1" as Cursor, storedAt: 0, event }
}

/** A clock on which nothing takes time, and how often somebody rested on it. */
function restingClock() {
  const rests = { count: 0 }
  const clock: Clock = {
    now: () => 0,
    steady: () => 0,
    after(_, run) {
      rests.count++
      queueMicrotask(run)
      return () => {}
    },
  }
  return { clock, rests }
}

function matcherWith(triggers: number, clauses: number) {
  const matcher = createMatcher()
  for (let at = 0; at < triggers; at++) {
    const sql = Array.from({ length: clauses }, (_, clause) => `data.s LIKE '%a_${at}_${clause}%'`).join(" OR ")
    matcher.set({ ...createTrigger(`t${at}`, "0" as Cursor), filters: [{ sql: `${sql} OR data.n = ${at}` }] })
  }
  return matcher
}

test("small events are matched at once, and many of them with a rest now and then", async () => {
  const { clock, rests } = restingClock()
  const pace = new Pace({ clock, stop: new AbortController().signal })
  const matcher = matcherWith(3, 2)
  let waited = 0
  for (let event = 0; event < 20_000; event++) {
    const found = pace.match(matcher, stored({ s: "a", n: 1 }))
    if (found instanceof Promise) waited++
    expect((await found).map(({ id }) => id)).toEqual(["t1"])
  }
  expect(waited).toBe(rests.count)
  expect(waited).toBeGreaterThan(2)
  expect(waited).toBeLessThan(50)
})

test("an event that many triggers read all of is matched in as many turns as that takes", async () => {
  const { clock, rests } = restingClock()
  const pace = new Pace({ clock, stop: new AbortController().signal })
  const characters = 100_000
  const found = await pace.match(matcherWith(20, 40), stored({ s: "a".repeat(characters), n: 7 }))
  expect(found.map(({ id }) => id)).toEqual(["t7"])
  const steps = 20 * 40 * characters
  expect(rests.count).toBeGreaterThan(steps / turnSteps / 2)
  expect(rests.count).toBeLessThan((steps / turnSteps) * 2)
})

test("it ends when the stage is told to", async () => {
  const stop = new AbortController()
  const pace = new Pace({ clock: { now: () => 0, steady: () => 0, after: () => () => {} }, stop: stop.signal })
  const matching = pace.match(matcherWith(20, 40), stored({ s: "a".repeat(100_000) }))
  stop.abort()
  await expect(matching).rejects.toBeInstanceOf(StoppedError)
})
