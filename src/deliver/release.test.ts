import { expect, test } from "vitest"
import { topicKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { decide, delayedDestination, delayedTopic, isDelayed, releaseOf, waitingAddress } from "../core/delayed.ts"
import { laneOf } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import type { AppendOptions, EventLog } from "../core/log.ts"
import { newTopic } from "../core/resources.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { createEvent, ordersAddress, startMs } from "../testing/samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../testing/simulated-machine.ts"
import { Releasing } from "./release.ts"

const { tenant, topic } = ordersAddress
const lane = laneOf({ tenant, destination: delayedDestination })
/** Far beyond what a lease lasts. */
const stallMs = 200_000

type Append = EventLog["append"]

/** The engine, with another way to append. */
function appending(engine: Engine, append: (append: Append) => Append): Engine {
  return withLog(engine, { append: append(engine.log.append.bind(engine.log)) })
}

/** The engine, with some of its log done another way. */
function withLog(engine: Engine, other: Partial<EventLog>): Engine {
  const log = new Proxy(engine.log, {
    get(target, name) {
      if (name in other) return Reflect.get(other, name)
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
  return { ...engine, log, queue: engine.queue, catalog: engine.catalog }
}

function releasing(engine: Engine, clock: Clock): Releasing {
  return new Releasing({ engine, clock, log: createMemoryLog(), stop: new AbortController().signal })
}

/** Events that are due in a second, on a topic with this window. */
async function delay(
  machine: SimulatedMachine,
  { log, queue, catalog }: Engine,
  dedupeWindowMs: number,
  ids: readonly string[] = ["a"],
) {
  const made = newTopic(tenant, topic, startMs, dedupeWindowMs)
  await machine.run(catalog.put(topicKeys.of({ tenant, id: topic }), made))
  for (const id of ids) {
    const event = createEvent(id, { deliverat: new Date(startMs + 1_000).toISOString() })
    const address = waitingAddress(made, ordersAddress, event)
    const [appended] = await machine.run(log.append(address, [event]))
    const release = releaseOf({ address, cursor: appended!.cursor, storedAt: startMs, event })!
    await machine.run(queue.enqueue([release]))
  }
  await machine.until(() => machine.clock.now() > startMs + 1_000).catch(() => {})
}

async function published(machine: SimulatedMachine, { log }: Engine): Promise<readonly string[]> {
  const ids: string[] = []
  const read = async () => {
    for await (const { events } of log.read({ where: ordersAddress })) ids.push(...events.map(({ event }) => event.id))
  }
  await machine.run(read())
  return ids
}

/** So many records of delayed events there are. */
function keptBack(machine: SimulatedMachine, { log }: Engine): Promise<number> {
  return machine.run(log.stats({ tenant, topic: delayedTopic })).then(({ events }) => events)
}

/** Works the lane until nothing of it is left. */
function workOff(machine: SimulatedMachine, engine: Engine, clock: Clock): Promise<void> {
  const worker = releasing(engine, clock)
  return machine.until(async () => {
    worker.takes(lane)
    return (await engine.queue.depth(lane)) === 0
  })
}

const isTarget = (options: AppendOptions | undefined) => options?.expectedLast === undefined

test.each([0, 60_000])(
  "what was published is not published again by the next process (dedupeWindow %d ms)",
  async (ms) => {
    const machine = createSimulatedMachine()
    const first = await machine.boot()
    machine.clock.after(5_000, () => {})
    await delay(machine, first.engine, ms)
    const dying = appending(first.engine, (append) => async (address, events, options) => {
      const appended = await append(address, events, options)
      if (!isDelayed(address)) first.power.cut()
      return appended
    })
    releasing(dying, first.power.clock).takes(lane)
    machine.clock.after(stallMs, () => {})
    await machine.until(() => !first.power.on)
    const second = await machine.boot()
    await workOff(machine, second.engine, second.power.clock)
    expect(await published(machine, second.engine)).toEqual(["a"])
    expect(await keptBack(machine, second.engine)).toBe(0)
  },
)

test.each([0, 60_000])(
  "one who is slower than the lease does not publish a second time (dedupeWindow %d ms)",
  async (ms) => {
    const machine = createSimulatedMachine()
    const { engine, power } = await machine.boot()
    machine.clock.after(5_000, () => {})
    await delay(machine, engine, ms)
    let isStalled = false
    const slow = appending(engine, (append) => async (address, events, options) => {
      if (isTarget(options)) {
        isStalled = true
        await new Promise<void>((resolve) => void power.clock.after(stallMs, resolve))
      }
      return append(address, events, options)
    })
    const slowly = releasing(slow, power.clock)
    slowly.takes(lane)
    await machine.until(() => isStalled)
    await workOff(machine, engine, power.clock)
    expect(await published(machine, engine)).toEqual(["a"])
    await machine.run(slowly.idle())
    expect(await published(machine, engine)).toEqual(["a"])
    expect(await keptBack(machine, engine)).toBe(0)
  },
)

test("another event of its name is not taken for it, where the topic recognises none", async () => {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  machine.clock.after(5_000, () => {})
  await delay(machine, engine, 0)
  await machine.run(engine.log.append(ordersAddress, [createEvent("a")], { dedupeWindowMs: 0 }))
  await workOff(machine, engine, power.clock)
  expect(await published(machine, engine)).toEqual(["a", "a"])
  expect(await keptBack(machine, engine)).toBe(0)
})

test("what was kept back of those that are due together is dropped at once", async () => {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  machine.clock.after(5_000, () => {})
  const ids = Array.from({ length: 40 }, (_, i) => `e${i}`)
  await delay(machine, engine, 60_000, ids)
  const drops: number[] = []
  const counted = withLog(engine, {
    drop: (address, cursors) => {
      drops.push(cursors.length)
      return engine.log.drop(address, cursors)
    },
  })
  await workOff(machine, counted, power.clock)
  expect(new Set(await published(machine, engine))).toEqual(new Set(ids))
  expect(drops).toEqual([80])
  expect(await keptBack(machine, engine)).toBe(0)
})

test("who cancels one in the moment in which its topic's end is found leaves nothing behind", async () => {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  machine.clock.after(5_000, () => {})
  await delay(machine, engine, 60_000)
  await machine.run(engine.catalog.delete(topicKeys.of({ tenant, id: topic })))
  const cancelled: unknown[] = []
  const racing = withLog(engine, {
    async drop(address, cursors) {
      const stored = await engine.log.get(cursors[0]!)
      cancelled.push(await decide(engine.log, stored!, "cancelled", cursors[0]!))
      return engine.log.drop(address, cursors)
    },
  })
  await workOff(machine, racing, power.clock)
  expect(cancelled).toEqual([undefined])
  expect(await published(machine, engine)).toEqual([])
  expect(await keptBack(machine, engine)).toBe(0)
})
