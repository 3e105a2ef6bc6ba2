import { expect, it } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { Troubles } from "../core/troubles.ts"
import { createMatcher } from "../match/matcher.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"
import { type CatchUp, readTowards } from "./catch-up.ts"

it("stops where it is told to, and goes on from exactly there", async () => {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const events = Array.from({ length: 40 }, (_, n) => createEvent(String(n)))
  const cursors = (await machine.run(engine.log.append(ordersAddress, events))).map(({ cursor }) => cursor)
  const trigger = createTrigger("t", engine.log.oldest())
  const matcher = createMatcher()
  matcher.set(trigger)
  const catchUp: CatchUp = {
    ...{ trigger, matcher, reader: "trigger/default/t", since: 0, position: trigger.from },
    ...{ begin: async () => {}, begun: false, arrivals: 0, stopped: false },
  }
  const retrying = {
    clock: power.clock,
    log: createMemoryLog(),
    troubles: new Troubles(createMemoryLog()),
    stop: new AbortController().signal,
  }
  const read = (until: Cursor, batchesMax: number) =>
    machine.run(readTowards(catchUp, until, { batchMax: 4, batchesMax }, { engine, retrying }))
  const routed = () => engine.queue.depth("default/there")

  expect(await read(cursors[9]!, 1)).toBe(false)
  expect(catchUp.position).toBe(cursors[3])
  expect(await read(cursors[9]!, 10)).toBe(true)
  expect(catchUp.position).toBe(cursors[9])
  expect(await routed()).toBe(10)
  expect(await read(await engine.log.head(), 100)).toBe(true)
  expect(await routed()).toBe(40)
  expect(await read(cursors[9]!, 1)).toBe(true)
  expect(engine.log.compare(catchUp.position, await engine.log.head())).toBe(0)
})
