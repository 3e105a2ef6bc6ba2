import { expect, it } from "vitest"
import { replayKeys, triggerKeys } from "../../core/catalog-keys.ts"
import type { Engine } from "../../core/engine.ts"
import { UnavailableError } from "../../core/errors.ts"
import type { Replay } from "../../core/resources.ts"
import { createMemoryLog } from "../../testing/memory-log.ts"
import { createEvent, createTrigger, ordersAddress } from "../../testing/samples.ts"
import { createSimulatedMachine } from "../../testing/simulated-machine.ts"
import { startReplays } from "./replays.ts"

const lane = "default/there~replay"

/** A hub that makes replays, of a topic with so many events. */
async function start(events: number, change: (engine: Engine) => Engine = (engine) => engine) {
  const machine = createSimulatedMachine()
  const { engine: opened, power } = await machine.boot()
  const engine = change(opened)
  const all = Array.from({ length: events }, (_, i) => createEvent(`e${i}`))
  await machine.run(opened.log.append(ordersAddress, all))
  const trigger = createTrigger("t", opened.log.oldest(), { incarnation: "i1" })
  await machine.run(opened.catalog.put(triggerKeys.of(trigger), trigger))
  const log = createMemoryLog()
  const replays = startReplays({ engine, clock: power.clock, log })
  const replay = async (rest: Partial<Replay> = {}): Promise<() => Promise<Replay>> => {
    const [from, until] = [opened.log.oldest(), await opened.log.head()]
    const names = {
      id: "rp-1",
      tenant: "default",
      trigger: "t",
      incarnation: "i1",
      destination: "there",
      topic: "orders",
    }
    const progress = { done: 0, notedAt: 0 }
    const made = {
      ...names,
      createdAt: 0,
      updatedAt: 0,
      filters: [],
      from,
      until,
      state: "counting",
      progress,
      ...rest,
    } as Replay
    await machine.run(opened.catalog.put(replayKeys.of(made), made))
    return async () => (await opened.catalog.get<Replay>(replayKeys.of(made)))!.value
  }
  return { machine, engine: opened, log, replays, replay }
}

it("goes on where reading failed for a while", async () => {
  let failures = 3
  const { machine, engine, replays, replay } = await start(300, (engine) => {
    const failing = Object.create(engine.log)
    failing.read = (options: never) => {
      if (failures-- > 0) throw new UnavailableError("not now")
      return engine.log.read(options)
    }
    for (const name of ["compare", "head", "oldest", "partitionOf"] as const) {
      failing[name] = (...args: never[]) => (engine.log[name] as (...args: never[]) => unknown)(...args)
    }
    return {
      ...engine,
      log: failing,
      queue: engine.queue,
      catalog: engine.catalog,
      assignments: engine.assignments,
    } as Engine
  })
  const state = await replay()
  await machine.until(async () => (await state()).state === "done")
  expect(await state()).toMatchObject({ progress: { total: 300, done: 300 } })
  expect(await engine.queue.depth(lane)).toBe(300)
  await machine.run(replays.stop())
})

it("that can never go on is cancelled with the reason, and others go on", async () => {
  const { machine, engine, replay, log } = await start(5)
  const bad = await replay({ id: "rp-bad", until: "no cursor" as never })
  const good = await replay({ id: "rp-good" })
  await machine.until(async () => (await good()).state === "done" && (await bad()).state === "cancelled")
  expect((await bad()).reason).toMatch(/^it cannot go on: /)
  expect(await engine.queue.depth(lane)).toBe(5)
  expect(log.lines.join()).toContain("a replay cannot go on, and is cancelled")
})

it("that is paused at its end keeps its place, and makes nothing twice", async () => {
  const { machine, engine, replay } = await start(5)
  const state = await replay()
  await machine.until(async () => (await engine.queue.depth(lane)) === 5)
  const item = (await engine.catalog.get<Replay>("replay/default/rp-1"))!
  if (item.value.state !== "done") {
    await machine.run(engine.catalog.put(item.key, { ...item.value, state: "paused" }, item.revision))
    const paused = (await engine.catalog.get<Replay>(item.key))!
    await machine.run(engine.catalog.put(item.key, { ...paused.value, state: "running" }, paused.revision))
  }
  await machine.until(async () => (await state()).state === "done")
  expect((await state()).progress).toMatchObject({ total: 5, done: 5 })
  expect(await engine.queue.depth(lane)).toBe(5)
})
