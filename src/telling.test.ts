import { expect, test } from "vitest"
import type { Cursor } from "./core/cursor.ts"
import type { Condition } from "./core/troubles.ts"
import { type Router, type RoutingPlace, startRouter } from "./route/router.ts"
import { createMetrics } from "./telemetry/metrics.ts"
import { type Looked, Overloads, tellConditions } from "./telling.ts"
import { createSimulatedClock } from "./testing/clock.ts"
import { createMemoryLog } from "./testing/memory-log.ts"
import { createEvent, ordersAddress } from "./testing/samples.ts"
import { createSimulatedMachine } from "./testing/simulated-machine.ts"

function createLog() {
  const lines: string[] = []
  const line = (level: string) => (fields: object, text: string) =>
    void lines.push(`${level}: ${text}${"count" in fields ? ` (${fields.count})` : ""}`)
  return { said: () => lines.splice(0), info: line("info"), warn: line("warn"), error: line("error") }
}

const cursor = (place: number) => String(place).padStart(6, "0") as Cursor

/** What is told of a hub that says this of itself at present. */
function start() {
  const clock = createSimulatedClock(1_700_000_000_000)
  const log = createLog()
  const hub = { troubles: [] as Condition[], here: 0, end: 0, catching: [] as RoutingPlace["catching"] }
  const engine = {
    troubles: () => hub.troubles,
    log: {
      partitions: 1,
      head: async () => cursor(hub.end),
      compare: (a: Cursor, b: Cursor) => Number(a) - Number(b),
      read: async function* () {
        yield { events: [{}], next: cursor(hub.end) }
      },
    },
  }
  const router = { places: () => [{ partition: 0, here: cursor(hub.here), catching: hub.catching }] }
  const { stop } = tellConditions({ engine, router, clock, log } as unknown as Looked)
  return { clock, hub, said: log.said, stop }
}

const full = { line: "the disk is nearly full: publishing is refused", over: "the disk has room again" }

test("what the engine says of itself is told when it begins, and when it is over", async () => {
  const { clock, hub, said, stop } = start()
  await clock.advance(60_000)
  hub.troubles = [full]
  await clock.advance(600_000)
  expect(said()).toEqual([`warn: ${full.line}`])
  hub.troubles = []
  await clock.advance(600_000)
  expect(said()).toEqual(["info: the disk has room again"])
  await stop()
})

test("a router that is behind is told of once, and once when it has caught up", async () => {
  const { clock, hub, said, stop } = start()
  hub.end = 10
  await clock.advance(25_000)
  expect(said()).toEqual([])
  hub.end = 20
  await clock.advance(600_000)
  expect(said()).toEqual(["warn: routing is more than 30 s behind what is published"])
  hub.here = 20
  await clock.advance(600_000)
  expect(said()).toEqual(["info: routing has caught up"])
  await stop()
})

test("a hub to which nothing is published is not behind, nor one whose events were dropped before they were routed", async () => {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const log = createMemoryLog()
  const router = startRouter({ engine, clock: power.clock, log })
  const telling = tellConditions({ engine, router, clock: power.clock, log })
  await machine.run(engine.catalog.put("topic/default/orders", { id: "orders" }))
  await machine.clock.advance(300_000)
  expect(log.lines).toEqual([])
  await machine.run(Promise.all([telling.stop(), router.stop()]))
  const standing = { places: () => [{ partition: 0, here: engine.log.oldest(), catching: [] }] }
  const { stop } = tellConditions({ engine, router: standing as unknown as Router, clock: power.clock, log })
  await machine.run(engine.log.append(ordersAddress, [createEvent("a"), createEvent("b")]))
  await machine.clock.advance(300_000)
  expect(log.lines).toEqual(["warn: routing is more than 30 s behind what is published"])
  await machine.run(engine.log.trim(ordersAddress, { eventsMax: 0 }))
  await machine.clock.advance(300_000)
  expect(log.lines).toHaveLength(1)
  expect(log.infos).toContain("routing has caught up")
  await machine.run(stop())
  await machine.run(engine.close())
})

test("a trigger that reads its past for long is told of once, and ten of them at a time", async () => {
  const { clock, hub, said, stop } = start()
  hub.catching = Array.from({ length: 15 }, (_, i) => ({
    ...{ tenant: "shop", trigger: `t${i}`, since: clock.steady(), stopped: false },
  }))
  await clock.advance(29_000)
  expect(said()).toEqual([])
  await clock.advance(600_000)
  const told = said()
  expect(told).toHaveLength(10)
  expect(told[0]).toBe("warn: trigger shop/t0 is reading its past, for more than 30 s")
  // In turns, as readers are: nothing is news.
  for (let n = 0; n < 20; n++) {
    const [first, ...rest] = hub.catching
    hub.catching = [...rest, first!]
    await clock.advance(2_000)
  }
  expect(said()).toEqual([])
  const [paused, other] = ["t0", "t1"].map((id) => hub.catching.find(({ trigger }) => trigger === id)!)
  hub.catching = hub.catching.filter((each) => each !== paused && each !== other)
  Object.assign(paused!, { stopped: true })
  await clock.advance(2_000)
  expect(said()).toEqual([
    "info: trigger shop/t0 reads its past no more, and has not caught up",
    "info: trigger shop/t1 has caught up",
    "warn: trigger shop/t5 is reading its past, for more than 30 s",
    "warn: trigger shop/t6 is reading its past, for more than 30 s",
  ])
  hub.catching = []
  await clock.advance(10_000)
  expect(said()).toContain("info: trigger shop/t6 has caught up")
  await clock.advance(600_000)
  expect(said()).toEqual([])
  await stop()
})

test("overload is told at once, and then counted by the minute", async () => {
  const clock = createSimulatedClock(0)
  const log = createLog()
  const overloads = new Overloads(clock, log)
  const metrics = createMetrics({ version: "1.2.3", engine: "embedded" })
  const observe = overloads.publishing(metrics.publish)
  const refused = { accepted: 0, duplicates: 0, refused: 2, bytes: 0 }
  for (let i = 0; i < 100; i++) observe.published({ ...refused, code: "overloaded" })
  observe.published({ ...refused, code: "conflict" })
  overloads.met("the API", "there are too many streams")
  expect(log.said()).toEqual(["warn: overload: publishing is answered 503", "warn: overload: the API is answered 503"])
  await clock.advance(600_000)
  expect(log.said()).toEqual(["warn: overload: publishing was answered 503 so many times more (99)"])
  expect((await metrics.render()).body).toContain('redcar_refused_events_total{code="overloaded"} 200')
})
