import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import type { Lease } from "../../core/deliveries.ts"
import { type Delivery, deliveryId, laneOf } from "../../core/delivery.ts"
import type { Engine } from "../../core/engine.ts"
import { Event } from "../../core/event.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../testing/clock.ts"
import { createSimulatedDisk, type SimulatedDisk } from "../../testing/disk.ts"
import { createPower } from "../../testing/power.ts"
import { createSimulatedStore, type SimulatedStore } from "../../testing/store.ts"
import { isJournaled, tables } from "../parts/store.ts"
import { openEmbeddedEngine } from "./engine.ts"

const orders = { tenant: "acme", topic: "orders" }

/** A machine whose store can be thrown away; each `open` is a new process on it. */
function machine(seed: string, compactBytesMin = 4_096) {
  const clock = createSimulatedClock(1_000_000)
  const chance = createSimulatedChance(seed)
  const disk: SimulatedDisk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => 0.1 })
  const newStore = () => createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 })
  let power = createPower({ clock })
  const host = {
    clock,
    disk,
    store: newStore(),
    lines: [] as string[],
    rebuilds: 0,
    run: <T>(work: Promise<T>) => runUntil(clock, work),
    cut: () => power.cut(),
    loseStore() {
      host.store = newStore()
    },
    async open(): Promise<Engine> {
      power = createPower({ clock })
      const parts = { disk: disk.mount(power), store: host.store.mount(power), clock: power.clock }
      return host.run(
        openEmbeddedEngine({
          ...parts,
          segmentBytes: 16 << 10,
          reserveBytes: 0,
          compactBytesMin,
          defer: queueMicrotask,
          random: (bytes) => Buffer.alloc(bytes, 7),
          onNotice(line) {
            if (!line.includes("never finished")) host.lines.push(line)
          },
          onRebuild: () => host.rebuilds++,
        }),
      )
    },
  }
  return host
}

const event = (id: string) =>
  Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created" }, Buffer.from(`{"id":"${id}"}`), "json")

/** Everything that the journal tells. */
function rows(store: SimulatedStore) {
  return tables
    .filter(isJournaled)
    .flatMap((table) =>
      store.entries(table).map(({ key, value }) => `${table} ${key} ${Buffer.from(value).toString("latin1")}`),
    )
    .filter((row) => !/^meta (queue-epoch|dropped|losses)/.test(row))
    .map((row) => row.slice(0, 120))
}

type Step =
  | { readonly kind: "publish"; readonly count: number }
  | { readonly kind: "route"; readonly destination: number }
  | { readonly kind: "settle" | "retry" | "bury" | "hold"; readonly max: number }
  | { readonly kind: "put" | "remove"; readonly key: number; readonly bytes: number }
  | { readonly kind: "trim"; readonly keep: number }
  | { readonly kind: "drop"; readonly every: number; readonly from: number }
  | { readonly kind: "restart"; readonly how: "close" | "cut" }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("publish" as const), count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ kind: fc.constant("route" as const), destination: fc.integer({ min: 0, max: 2 }) }),
  fc.record({
    kind: fc.constantFrom("settle" as const, "retry" as const, "bury" as const, "hold" as const),
    max: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constantFrom("put" as const, "remove" as const),
    key: fc.integer({ min: 0, max: 5 }),
    bytes: fc.oneof(fc.nat(200), fc.constant(9_000)),
  }),
  fc.record({ kind: fc.constant("drop" as const), every: fc.integer({ min: 1, max: 3 }), from: fc.nat(20) }),
  fc.record({ kind: fc.constant("trim" as const), keep: fc.integer({ min: 0, max: 20 }) }),
  fc.record({ kind: fc.constant("restart" as const), how: fc.constantFrom("close" as const, "cut" as const) }),
)

class Life {
  readonly host: ReturnType<typeof machine>
  engine!: Engine
  #ids = 0
  #routed = ""
  readonly #destinations = new Set<string>()

  constructor(host: ReturnType<typeof machine>) {
    this.host = host
  }

  async take(step: Step): Promise<void> {
    const { host, engine } = this
    switch (step.kind) {
      case "publish":
        await host.run(
          engine.log.append(
            orders,
            Array.from({ length: step.count }, () => event(`e${this.#ids++}`)),
            { dedupeWindowMs: 60_000 },
          ),
        )
        return
      case "route":
        return this.#route(`d${step.destination}`)
      case "put":
        await host.run(engine.catalog.put(`topics/acme/t${step.key}`, { text: "x".repeat(step.bytes) }))
        return
      case "remove":
        await host.run(engine.catalog.delete(`topics/acme/t${step.key}`))
        return
      case "trim":
        await host.run(engine.log.trim(orders, { eventsMax: step.keep }))
        return
      case "drop":
        return this.#drop(step.every, step.from)
      case "restart":
        if (step.how === "close") await host.run(engine.close())
        else host.cut()
        this.engine = await host.open()
        return
      default:
        return this.#end(step.kind, step.max)
    }
  }

  async #drop(every: number, from: number): Promise<void> {
    const { host, engine } = this
    const { found } = await readAll(host, engine)
    const going = found.slice(from).filter((_, i) => i % every === 0)
    await host.run(
      engine.log.drop(
        orders,
        going.map((line) => line.slice(0, 11) as Cursor),
      ),
    )
    const left = new Set(found).difference(new Set(going))
    expect((await readAll(host, engine)).found).toEqual([...left])
  }

  async #route(destination: string): Promise<void> {
    const { host, engine } = this
    this.#destinations.add(destination)
    const deliveries: Delivery[] = []
    let next = await host.run(engine.log.head())
    const saved = await host.run(engine.queue.position("router"))
    const reading = async () => {
      for await (const batch of engine.log.read({ from: saved ?? "oldest" })) {
        for (const { cursor } of batch.events) deliveries.push(delivery(cursor, destination))
        next = batch.next
      }
    }
    await host.run(reading())
    if (next > this.#routed) await host.run(engine.queue.enqueue(deliveries, { reader: "router", cursor: next }))
    this.#routed = next
  }

  async #end(kind: "settle" | "retry" | "bury" | "hold", max: number): Promise<void> {
    const { host, engine } = this
    for (const destination of this.#destinations) {
      const lane = laneOf({ tenant: "acme", destination })
      const leases = await host.run(engine.queue.lease({ lane, max, leaseMs: 1_000_000 }))
      for (const lease of leases) await host.run(end(engine, kind, lease))
    }
  }
}

function delivery(cursor: Delivery["cursor"], destination: string): Delivery {
  const [trigger, incarnation] = ["on", "i1"]
  return {
    id: deliveryId(cursor, trigger, incarnation),
    tenant: "acme",
    trigger,
    incarnation,
    destination,
    cursor,
    fingerprint: 7,
  }
}

function end(engine: Engine, kind: "settle" | "retry" | "bury" | "hold", lease: Lease): Promise<void> {
  if (kind === "settle") return engine.queue.end(lease, { kind: "done" })
  if (kind === "retry") return engine.queue.end(lease, { kind: "retry", delayMs: 5_000 })
  if (kind === "hold") return engine.queue.end(lease, { kind: "hold" })
  return engine.queue.end(lease, {
    kind: "dead",
    letter: {
      ...lease.delivery,
      address: orders,
      reason: "exhausted",
      attempts: lease.attempt,
      diedAt: 1,
      lastOutcome: { kind: "failed", detail: "500", permanent: false },
    },
  })
}

async function readAll(host: ReturnType<typeof machine>, engine: Engine) {
  const found: string[] = []
  const reading = async () => {
    for await (const { events } of engine.log.read({}))
      for (const { cursor, event } of events) found.push(`${cursor} ${event.id}`)
  }
  await host.run(reading())
  return { found, stats: await host.run(engine.log.stats(orders)) }
}

describe("the state", () => {
  test("that was thrown away is made again from the log, row by row", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.array(step, { minLength: 5, maxLength: 40 }), async (seed, steps) => {
        const host = machine(seed)
        const life = new Life(host)
        life.engine = await host.open()
        for (const step of steps) await life.take(step)
        const before = await readAll(host, life.engine)
        await host.run(life.engine.close())
        const told = rows(host.store)

        host.loseStore()
        const again = await host.open()
        expect(await readAll(host, again)).toEqual(before)
        expect(host.lines).toEqual([])
        const last = before.found.at(-1)?.slice(0, 11) ?? ""
        const [added] = await host.run(again.log.append(orders, [event("after")]))
        expect(added!.cursor > last).toBe(true)
        await host.run(again.close())
        expect(rows(host.store)).toEqual(told)
      }),
      { numRuns: 100 },
    )
  })

  test("that is older than the log is brought up to it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.array(step, { minLength: 20, maxLength: 40 }), async (seed, steps) => {
        const host = machine(seed)
        const life = new Life(host)
        life.engine = await host.open()
        for (const step of steps.slice(0, 8)) await life.take(step)
        await host.run(life.engine.close())
        const old = tables.flatMap((table) => host.store.entries(table).map((entry) => ({ table, ...entry })))
        life.engine = await host.open()
        for (const step of steps.slice(8)) await life.take(step)
        const before = await readAll(host, life.engine)
        await host.run(life.engine.close())
        const told = rows(host.store)

        host.loseStore()
        const store = host.store.mount(createPower({ clock: host.clock }))
        await host.run(store.write(old))
        await host.run(store.flushed())
        const again = await host.open()
        expect(await readAll(host, again)).toEqual(before)
        await host.run(again.close())
        expect(rows(host.store)).toEqual(told)
      }),
      { numRuns: 50 },
    )
  })

  test("whose records in the log are damaged owes again what they may have owed, and says so", async () => {
    const host = machine("holes", 1 << 20)
    const engine = await host.open()
    const life = new Life(host)
    life.engine = engine
    await life.take({ kind: "put", key: 1, bytes: 10 })
    await life.take({ kind: "publish", count: 3 })
    const before = host.disk.peek("00000000008.segment", 0, 16 << 10)
    await life.take({ kind: "route", destination: 0 })
    const after = host.disk.peek("00000000008.segment", 0, 16 << 10)
    const at = after.findIndex((byte, i) => byte !== before[i])
    await life.take({ kind: "publish", count: 2 })
    await life.take({ kind: "route", destination: 0 })
    const end = await host.run(engine.log.head())
    await host.run(engine.close())
    host.disk.flipBit("00000000008.segment", at + 60, 2)

    host.loseStore()
    const again = await host.open()
    expect((await readAll(host, again)).found).toHaveLength(5)
    expect(host.lines).toContainEqual(expect.stringContaining("the hub's own records between cursors"))
    expect((await host.run(again.queue.position("router"))) ?? "").toBe("")
    const anew = new Life(host)
    anew.engine = again
    await anew.take({ kind: "route", destination: 0 })
    expect(await host.run(again.queue.depth("acme/d0"))).toBe(5)
    expect(await host.run(again.queue.position("router"))).toBe(end)
    await host.run(again.close())
  })
})
