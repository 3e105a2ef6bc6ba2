import { beforeEach, describe, expect, test } from "vitest"
import type { Catalog } from "../../core/catalog.ts"
import { scheduleKeys, scheduleProgressKeys } from "../../core/catalog-keys.ts"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { DamagedError, PublishRefusedError } from "../../core/errors.ts"
import type { EventLog, StoredEvent } from "../../core/log.ts"
import type { Schedule } from "../../core/schedules.ts"
import type { Power } from "../../testing/power.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../../testing/simulated-machine.ts"
import { type Schedules, startSchedules } from "./loop.ts"

let machine: SimulatedMachine
let engine: Engine
let power: Power
let loop: Schedules
/** Publishing is refused while this says why. */
let refusal: string | undefined
let published = 0

/** What the log was told of that went wrong. */
let lines: string[] = []
/** How often the loop has asked what time it is. */
let reads = 0

function counted(clock: Clock): Clock {
  const read = (time: () => number) => {
    reads++
    return time()
  }
  return { ...clock, now: () => read(clock.now), steady: () => read(clock.steady) }
}

/** `seen`: the engine as the loop has it. */
async function boot(seen: (engine: Engine) => Engine = (whole) => whole): Promise<void> {
  const booted = await machine.boot()
  ;[engine, power] = [booted.engine, booted.power]
  const tell = (_: object, line: string) => void lines.push(line)
  loop = startSchedules({
    engine: seen(engine),
    clock: counted(power.clock),
    log: { info() {}, warn: tell, error: tell },
    async publish(address, event) {
      if (refusal !== undefined) throw new PublishRefusedError(refusal)
      published++
      // No dedupe window: the schedules themselves are to publish each once.
      await engine.log.append(address, [event], { dedupeWindowMs: 0 })
    },
  })
  loop.done.catch(() => {})
}

beforeEach(async () => {
  machine = createSimulatedMachine()
  refusal = undefined
  published = 0
  lines = []
  await boot()
})

/** On a whole hour, so that what is expected is easily read. */
const hour = 3_600_000
const now = () => machine.clock.now()

async function put(more: Partial<Schedule> = {}, incarnation = "one"): Promise<Schedule> {
  const at = now()
  const timing = { timeZone: "UTC", anchor: at, twice: "first", absent: "moved", missed: "once" } as const
  const schedule: Schedule = {
    ...{ id: "s", tenant: "default", incarnation, labels: {}, topic: "orders:a", event: { type: "t", data: { a: 1 } } },
    ...{ ...timing, intervalMs: 10_000, since: at, createdAt: at, updatedAt: at, ...more },
  }
  await machine.run(engine.catalog.put(scheduleKeys.of(schedule), schedule))
  return schedule
}

async function stored(): Promise<readonly StoredEvent[]> {
  const events: StoredEvent[] = []
  const read = async () => {
    for await (const batch of engine.log.read({ where: { tenant: "default", topic: "orders" } }))
      events.push(...batch.events)
  }
  await machine.run(read())
  return events
}

/** Seconds from `from` at which there were runs. */
async function seconds(from: number): Promise<readonly number[]> {
  return (await stored()).map(({ event }) => (Date.parse(String(event.attribute("time"))) - from) / 1_000)
}

/** An engine with another catalog in parts. */
function withCatalog(parts: (catalog: Catalog) => Partial<Catalog>): (engine: Engine) => Engine {
  return (whole) => {
    const { catalog } = whole
    const bound: Catalog = {
      ...{ list: catalog.list.bind(catalog), get: catalog.get.bind(catalog), put: catalog.put.bind(catalog) },
      ...{ delete: catalog.delete.bind(catalog), change: catalog.change.bind(catalog) },
      watch: catalog.watch.bind(catalog),
    }
    return { ...whole, catalog: { ...bound, ...parts(catalog) } }
  }
}

async function crash(downMs: number, seen?: (engine: Engine) => Engine): Promise<void> {
  power.cut()
  await machine.clock.advance(downMs)
  await boot(seen)
}

test("an event says what made it, and when that was due", async () => {
  const { anchor } = await put()
  await machine.clock.advance(10_500)
  const [first] = await stored()
  const time = new Date(anchor + 10_000).toISOString().replace(".000Z", "Z")
  expect(first!.address).toEqual({ tenant: "default", topic: "orders", key: "a" })
  expect(first!.event.attributes).toEqual({
    ...{ specversion: "1.0", id: `s.one.${time}`, source: "/schedules/s", type: "t", time },
  })
  expect(String(first!.event.data)).toBe('{"a":1}')
})

test("each run is one event, one after the other", async () => {
  const { anchor } = await put()
  await machine.clock.advance(60_500)
  expect(await seconds(anchor)).toEqual([10, 20, 30, 40, 50, 60])
  expect(published).toBe(6)
})

describe("runs for which nobody was there", () => {
  test.each([
    ["skip", [10, 60, 70]],
    ["once", [10, 60, 70]],
    ["all", [10, 20, 30, 40, 50, 60, 70]],
  ] as const)("%s", async (missed, expected) => {
    const { anchor } = await put({ missed })
    await machine.clock.advance(10_500)
    await crash(50_000)
    await machine.clock.advance(12_000)
    expect(await seconds(anchor)).toEqual(expected)
  })

  test.each([
    ["skip", []],
    ["once", [hour / 1_000]],
    ["all", [hour / 1_000]],
  ] as const)("of one that is very late: %s", async (missed, expected) => {
    const { anchor } = await put({ missed, intervalMs: hour })
    await crash(hour + 120_000)
    await machine.clock.advance(5_000)
    expect(await seconds(anchor)).toEqual(expected)
  })

  test("of many the newest thousand", async () => {
    const { anchor } = await put({ missed: "all", intervalMs: 1_000 })
    await machine.clock.advance(500)
    await crash(1_500_000)
    await machine.until(async () => (await stored()).length >= 1_000)
    const runs = await seconds(anchor)
    expect(runs.slice(0, 1_000)).toEqual(Array.from({ length: 1_000 }, (_, i) => runs[0]! + i))
    expect(runs[999]).toBeGreaterThanOrEqual(1_500)
  })
})

test("a process that dies between publishing and noting it publishes nothing twice, whatever is recognised", async () => {
  const { anchor } = await put({ missed: "all" })
  for (let i = 0; i < 8; i++) {
    const before = published
    await machine.until(() => published > before)
    await machine.clock.advance(i * 0.15)
    await crash(3_000)
  }
  await machine.clock.advance(20_000)
  const runs = await seconds(anchor)
  expect(runs).toEqual(Array.from({ length: runs.length }, (_, i) => 10 * (i + 1)))
  expect(runs.length).toBeGreaterThan(8)
})

test("what is refused is tried again, and the schedule says why meanwhile", async () => {
  const schedule = await put({ missed: "skip", intervalMs: hour })
  refusal = "the disk is full"
  await machine.clock.advance(hour + 600_000)
  expect(await stored()).toEqual([])
  expect(loop.failureOf(schedule)).toMatchObject({ detail: "the disk is full" })
  const item = await engine.catalog.get(scheduleProgressKeys.of(schedule))
  expect(item?.value).toMatchObject({ failure: { detail: "the disk is full" } })
  refusal = undefined
  await machine.clock.advance(10_500)
  expect(await seconds(schedule.anchor)).toEqual([hour / 1_000])
  expect(loop.failureOf(schedule)).toBeUndefined()
})

test("where it cannot be found out whether a run was published, that is told once the run is due", async () => {
  const { anchor } = await put()
  await machine.clock.advance(10_500)
  let isDamaged = true
  const find = (log: EventLog): EventLog["find"] => {
    return async (...args) => {
      if (isDamaged) throw new DamagedError("segment 1")
      return log.find(...args)
    }
  }
  await crash(500, (whole) => {
    const log = new Proxy(whole.log, {
      get: (target, name) => {
        if (name === "find") return find(target)
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === "function" ? member.bind(target) : member
      },
    })
    return { ...whole, log, queue: whole.queue, catalog: whole.catalog }
  })
  await machine.clock.advance(12_000)
  expect(lines).toEqual(["a schedule's event is not taken; it is tried again"])
  isDamaged = false
  await machine.clock.advance(12_000)
  expect(await seconds(anchor)).toEqual([10, 20, 30])
})

test("what is refused is still tried again when the schedule is changed", async () => {
  const schedule = await put({ missed: "skip", intervalMs: hour })
  refusal = "too large"
  await machine.clock.advance(hour + 600_000)
  await put({ ...schedule, event: { type: "smaller" } })
  refusal = undefined
  await machine.clock.advance(5_000)
  expect((await stored()).map(({ event }) => event.type)).toEqual(["smaller"])
})

test("a clock that is set back repeats no run, and one that is set forward leaves none out", async () => {
  const { anchor } = await put({ missed: "all" })
  await machine.clock.advance(20_500)
  machine.clock.set(-15_000)
  await machine.clock.advance(20_000)
  expect(await seconds(anchor)).toEqual([10, 20])
  await machine.clock.advance(5_000)
  expect(await seconds(anchor)).toEqual([10, 20, 30])
  machine.clock.set(30_000)
  await machine.clock.advance(2_500)
  expect(await seconds(anchor)).toEqual([10, 20, 30, 40, 50, 60])
})

test("while nothing is due it looks at the clock now and then, and no more", async () => {
  await put({ cron: "0 0 1 1 *", since: now() } as Partial<Schedule>)
  await machine.clock.advance(3_000)
  let steps = 0
  const end = machine.clock.steady() + 60_000
  while (machine.clock.steady() < end && machine.clock.step()) steps++
  expect(steps).toBeLessThan(200)
})

test("one that is deleted stops; one that is made anew under its id is another one", async () => {
  const { anchor, ...schedule } = await put()
  await machine.clock.advance(10_500)
  await machine.run(engine.catalog.delete(scheduleKeys.of(schedule)))
  await machine.clock.advance(20_000)
  expect(await seconds(anchor)).toEqual([10])
  machine.clock.set(-30_500)
  await put({ anchor, since: anchor }, "two")
  await machine.clock.advance(10_500)
  expect(await seconds(anchor)).toEqual([10, 10])
  expect(new Set((await stored()).map(({ event }) => event.id)).size).toBe(2)
})

test("what a schedule left that is gone is swept away", async () => {
  const schedule = await put()
  await machine.clock.advance(10_500)
  expect(await engine.catalog.get(scheduleProgressKeys.of(schedule))).toBeDefined()
  await machine.run(loop.stop())
  await machine.run(engine.catalog.delete(scheduleKeys.of(schedule)))
  await crash(1_000)
  await machine.clock.advance(1_000)
  expect(await engine.catalog.get(scheduleProgressKeys.of(schedule))).toBeUndefined()
})

test.each([
  ["damage", () => new DamagedError("a row")],
  ["a bug", () => new TypeError("x is not a function")],
])("sweeping that fails, by %s, is told and holds up no schedule", async (_, fault) => {
  const { anchor } = await put()
  const list = async () => {
    throw fault()
  }
  await crash(
    1_000,
    withCatalog(() => ({ list })),
  )
  await machine.clock.advance(21_000)
  expect(await seconds(anchor)).toEqual([10, 20])
  expect(lines).toEqual(["what deleted schedules left is not swept away; a later start tries it again"])
})

test("nothing is begun before all schedules are known", async () => {
  const { anchor } = await put()
  const known = Promise.withResolvers<void>()
  async function* watch<T>(catalog: Catalog, prefix: string, stop: AbortSignal) {
    for await (const change of catalog.watch<T>(prefix, stop)) {
      if (change.kind === "current") await known.promise
      yield change
    }
  }
  await crash(
    1_000,
    withCatalog((catalog) => ({ watch: (prefix, stop) => watch(catalog, prefix, stop) })),
  )
  await machine.clock.advance(20_500)
  expect(published).toBe(0)
  known.resolve()
  await machine.clock.advance(500)
  expect(await seconds(anchor)).toEqual([20])
})

test("twice as many schedules that are due at once cost about twice as much", async () => {
  const cost = async (count: number) => {
    machine = createSimulatedMachine()
    await boot()
    await machine.run(loop.stop())
    const { id, tenant, ...rest } = await put({ missed: "all" })
    await machine.run(engine.catalog.delete(scheduleKeys.of({ id, tenant })))
    for (let i = 0; i < count; i += 500) {
      const named = Array.from({ length: 500 }, (_, j) => ({ ...rest, tenant, id: `s${i + j}` }))
      await machine.run(engine.catalog.change(named.map((value) => ({ key: scheduleKeys.of(value), value }))))
    }
    await crash(10_000)
    ;[reads, published] = [0, 0]
    await machine.until(() => published === count)
    return reads
  }
  const [half, whole] = [await cost(1_000), await cost(2_000)]
  expect(whole).toBeLessThan(half * 2.2)
  expect(whole).toBeLessThan(2_000 * 20)
})

test("one that this process cannot read rests, and the others go on", async () => {
  const { intervalMs, ...plain } = await put({ id: "odd", paused: { since: 0, reason: "" } })
  const odd = { ...plain, cron: "0 * * * *", timeZone: "Mars/Base" }
  await machine.run(engine.catalog.put(scheduleKeys.of(odd), odd))
  const { anchor } = await put()
  await machine.clock.advance(20_500)
  expect(await seconds(anchor)).toEqual([10, 20])
  expect(loop.failureOf(odd)).toMatchObject({ detail: "timeZone: this process knows no Mars/Base" })
})

test("a paused schedule has no runs", async () => {
  const { anchor } = await put({ paused: { since: 0, reason: "" } })
  await machine.clock.advance(30_500)
  expect(await seconds(anchor)).toEqual([])
})
