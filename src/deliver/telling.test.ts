import { expect, it } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import type { DeadLetter } from "../core/delivery.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { Telling } from "./telling.ts"

function deliveryOf(trigger: string) {
  const cursor = "00000000010" as Cursor
  const names = { tenant: "default", trigger, incarnation: "", destination: trigger }
  return { ...names, id: `${cursor}.${trigger}`, cursor, fingerprint: 0 }
}

function letterOf(trigger: string, reason: DeadLetter["reason"]): DeadLetter {
  const address = { tenant: "default", topic: "orders" }
  return { ...deliveryOf(trigger), address, reason, attempts: 3, diedAt: 0, lastOutcome: failed }
}

function start() {
  const clock = createSimulatedClock(0)
  const log = createMemoryLog()
  const telling = new Telling(clock, log, { depth: async () => 12 })
  const times = (count: number, tell: () => void) => {
    for (let i = 0; i < count; i++) tell()
  }
  return { clock, telling, times, said: () => log.lines.splice(0) }
}

it("says of a trigger's damaged deliveries one line a minute, with their number", async () => {
  const { clock, telling, times, said } = start()
  const first = "error: a delivery's event is damaged"
  times(3_000, () => telling.damaged(deliveryOf("a"), "cannot be read"))
  telling.damaged(deliveryOf("b"), "cannot be read")
  expect(said()).toEqual([first, first])
  await clock.advance(60_000)
  expect(said()).toEqual(["error: more deliveries of damaged events since: 2999"])
  times(4, () => telling.damaged(deliveryOf("b"), "cannot be read"))
  telling.close()
  expect(said()).toEqual([first, "error: more deliveries of damaged events since: 3"])
  await clock.advance(600_000)
  expect(said()).toEqual([])
})

it("says of dead letters one line a minute, by trigger and reason, with their number", async () => {
  const { clock, telling, times, said } = start()
  times(40, () => telling.dead(letterOf("a", "exhausted")))
  times(2, () => telling.dead(letterOf("a", "gone")))
  telling.dead(letterOf("b", "exhausted"))
  telling.dead(letterOf("b", "damaged"))
  const first = (reason: string) => `warn: a delivery became a dead letter (${reason}): 500`
  expect(said()).toEqual([first("exhausted"), first("gone"), first("exhausted")])
  await clock.advance(60_000)
  expect(said()).toEqual([
    "warn: more dead letters of the trigger since (exhausted): 39",
    "warn: more dead letters of the trigger since (gone): 1",
  ])
  await clock.advance(600_000)
  expect(said()).toEqual([])
})

it("says once that a destination is down, and why, however often it is probed, and once that it answers again", async () => {
  const hub = await Delivering.start()
  const retry = { delaysMs: [1_000], jitter: 0, attemptsMax: 50, ageMaxMs: 86_400_000 }
  await hub.connect("a", () => ({ ...failed, detail: "503 Service Unavailable" }), { retry })
  await hub.owe(40, "a")
  await hub.machine.clock.advance(120_000)
  hub.behaviours.set("a", () => ok)
  await hub.empty("a")
  expect(hub.log.lines).toEqual([
    "warn: destination a is down, and is asked now and then until it answers: 503 Service Unavailable",
  ])
  expect(hub.log.infos).toEqual(["destination a is tried as ever again: 204"])
  expect(hub.log.fields).toContainEqual({ tenant: "default", destination: "a", waiting: 40 })
})

it("says once that a trigger is paused, and that a destination that is down was changed", async () => {
  const hub = await Delivering.start()
  const gone = { ...failed, permanent: true, gone: true, detail: "410 Gone" } as const
  await hub.connect("a", () => gone)
  await hub.owe(20, "a")
  await hub.machine.clock.advance(5_000)
  const resumed = "what it owes waits until it is resumed"
  expect(hub.log.lines.splice(0)).toEqual([`warn: trigger a is paused, for a is gone: 410 Gone; ${resumed}`])
  await hub.connect("b", () => failed)
  await hub.owe(20, "b")
  await hub.machine.until(() => hub.log.lines.length > 0)
  hub.behaviours.set("b", () => ok)
  await hub.destination("b", { config: { to: "b", changed: true } })
  await hub.empty("b")
  expect(hub.log.infos).toEqual(["destination b is tried as ever again: it was changed"])
})

it("says anew that a destination is down after its lane was let go", async () => {
  const hub = await Delivering.start({ idleMs: 300_000 })
  const retry = { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 86_400_000 }
  await hub.connect("a", () => failed, { retry })
  const down = "warn: destination a is down, and is asked now and then until it answers: 500"
  const downs = () => hub.log.lines.filter((line) => line === down).length
  await hub.owe(20, "a")
  await hub.empty("a")
  expect(downs()).toBe(1)
  await hub.machine.clock.advance(900_000)
  expect(hub.log.infos).toEqual(["destination a, which was down, is asked no more: nothing waits for it"])
  await hub.owe(20, "a")
  await hub.empty("a")
  expect(downs()).toBe(2)
})

it("says of a destination that was down and is deleted just that; one that comes is told nothing of its absence", async () => {
  const hub = await Delivering.start()
  const status = async () => (await hub.engine.queue.statusOf(["default/a"])).get("default/a")!.report!
  await hub.connect("a", () => failed)
  await hub.owe(20, "a")
  await hub.machine.until(() => hub.log.lines.length > 0)
  await hub.machine.run(hub.engine.catalog.delete("destination/default/a"))
  await hub.machine.clock.advance(600_000)
  expect(hub.log.infos).toEqual(["destination a, which was down, was deleted"])
  hub.behaviours.set("a", () => ok)
  await hub.destination("a")
  await hub.machine.clock.advance(1_000)
  expect(await status()).toMatchObject({ breaker: "closed", attempts: 0 })
  expect((await status()).lastError).toBeUndefined()
})

it("tells the path of each delivery to whoever looks for a fault", async () => {
  const hub = await Delivering.start()
  const retry = { delaysMs: [1_000], jitter: 0, attemptsMax: 2, ageMaxMs: 86_400_000 }
  await hub.connect("a", () => failed, { retry })
  await hub.owe(1, "a")
  await hub.empty("a")
  expect(hub.log.debugs).toEqual([
    "leased for attempt 1",
    "attempt 1: 500 → retry in 1000 ms",
    "leased for attempt 2",
    "attempt 2: 500 → dead (exhausted)",
  ])
})
