import { describe, expect, it } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { fingerprintOf } from "../core/fingerprint.ts"
import type { Trigger } from "../core/resources.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import type { Power } from "../testing/power.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../testing/simulated-machine.ts"
import { type Router, startRouter } from "./router.ts"

/** A hub that only routes, and what it has routed. */
class Routing {
  readonly machine: SimulatedMachine
  readonly log = createMemoryLog()
  engine!: Engine
  power!: Power
  router!: Router
  #events = 0

  private constructor(machine: SimulatedMachine) {
    this.machine = machine
  }

  static async start(): Promise<Routing> {
    const routing = new Routing(createSimulatedMachine())
    await routing.boot()
    return routing
  }

  async boot(): Promise<void> {
    const { power, engine } = await this.machine.boot()
    this.power = power
    this.engine = engine
    this.router = startRouter({ engine, clock: power.clock, log: this.log })
    this.router.done.catch(() => {})
  }

  /** Ends the process in good order, and starts another. */
  async restart(): Promise<void> {
    await this.machine.run(this.router.stop())
    await this.machine.run(this.engine.close())
    this.power.cut()
    await this.boot()
  }

  async crash(): Promise<void> {
    this.power.cut()
    await this.boot()
  }

  async publish(count: number, type = "order.created", topic = "orders"): Promise<Cursor[]> {
    const events = Array.from({ length: count }, () => createEvent(`e${this.#events++}`, { type }))
    const appended = await this.machine.run(this.engine.log.append({ ...ordersAddress, topic }, events))
    return appended.map(({ cursor }) => cursor)
  }

  async put(trigger: Trigger): Promise<void> {
    await this.machine.run(this.engine.catalog.put(`trigger/${trigger.tenant}/${trigger.id}`, trigger))
  }

  async delete(id: string): Promise<void> {
    await this.machine.run(this.engine.catalog.delete(`trigger/default/${id}`))
  }

  /** Waits until nothing more is routed, then answers what was: delivery ids, and takes them as done. */
  async routed(): Promise<string[]> {
    await this.settle()
    const ids: string[] = []
    for (const lane of ["default/there", "default/elsewhere"]) {
      for (;;) {
        const leases = await this.machine.run(this.engine.queue.lease({ lane, max: 100, leaseMs: 60_000 }))
        if (leases.length === 0) break
        for (const lease of leases) {
          ids.push(lease.delivery.id)
          await this.machine.run(this.engine.queue.end(lease, { kind: "done" }))
        }
      }
    }
    return ids
  }

  async settle(): Promise<void> {
    await this.machine.clock.advance(2_000)
    await this.machine.until(() => this.router.catching() === 0)
    await this.machine.clock.advance(2_000)
  }
}

const paused = { since: 0, reason: "a test" }
const ids = (cursors: readonly Cursor[], trigger: string) => cursors.map((cursor) => deliveryId(cursor, trigger, ""))

describe("the router", () => {
  it("owes an event to each trigger that it fires, and to no other", async () => {
    const hub = await Routing.start()
    const head = await hub.engine.log.head()
    await hub.put(createTrigger("all", head))
    await hub.put(
      createTrigger("paid", head, { filters: [{ exact: { type: "order.paid" } }], destination: "elsewhere" }),
    )
    await hub.put(createTrigger("other", head, { topic: "others" }))
    const created = await hub.publish(2)
    const [paid] = await hub.publish(1, "order.paid")
    expect(await hub.routed()).toEqual([...ids([...created, paid!], "all"), deliveryId(paid!, "paid", "")])
    expect(await hub.routed()).toEqual([])
    expect(hub.log.lines).toEqual([])
  })

  it("starts a trigger anywhere in the past, and goes on from there", async () => {
    const hub = await Routing.start()
    const early = await hub.publish(3)
    await hub.machine.clock.advance(10_000)
    const time = hub.machine.clock.now()
    const late = await hub.publish(3)
    await hub.settle()
    await hub.put(createTrigger("oldest", hub.engine.log.oldest()))
    await hub.put(createTrigger("time", await hub.engine.log.at(time)))
    await hub.put(createTrigger("cursor", late[0]!))
    await hub.put(createTrigger("now", await hub.engine.log.head()))
    const next = await hub.publish(1)
    const routed = await hub.routed()
    for (const [trigger, expected] of [
      ["oldest", [...early, ...late, ...next]],
      ["time", [...late, ...next]],
      ["cursor", [...late.slice(1), ...next]],
      ["now", next],
    ] as const) {
      expect(routed.filter((id) => id.endsWith(`.${trigger}`))).toEqual(ids(expected, trigger))
    }
  })

  it("reads a long past in order and joins the present without a gap", async () => {
    const hub = await Routing.start()
    const past: Cursor[] = []
    for (let n = 0; n < 12; n++) past.push(...(await hub.publish(1_000)))
    await hub.settle()
    await hub.put(createTrigger("late", hub.engine.log.oldest()))
    const present = [...(await hub.publish(500)), ...(await hub.publish(500))]
    expect(await hub.routed()).toEqual(ids([...past, ...present], "late"))
    const after = await hub.publish(1)
    expect(await hub.routed()).toEqual(ids(after, "late"))
  })

  it("loses nothing by a pause, and routes nothing during one", async () => {
    const hub = await Routing.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    await hub.put(trigger)
    const before = await hub.publish(2)
    expect(await hub.routed()).toEqual(ids(before, "t"))
    await hub.put({ ...trigger, paused })
    await hub.settle()
    const during = await hub.publish(3)
    expect(await hub.routed()).toEqual([])
    await hub.restart()
    expect(await hub.routed()).toEqual([])
    await hub.put(trigger)
    const after = await hub.publish(1)
    expect(await hub.routed()).toEqual(ids([...during, ...after], "t"))
  })

  it("starts a trigger that was made paused from where it was to start", async () => {
    const hub = await Routing.start()
    const past = await hub.publish(2)
    const trigger = createTrigger("t", hub.engine.log.oldest())
    await hub.put({ ...trigger, paused })
    await hub.settle()
    const during = await hub.publish(2)
    await hub.crash()
    expect(await hub.routed()).toEqual([])
    await hub.put(trigger)
    expect(await hub.routed()).toEqual(ids([...past, ...during], "t"))
  })

  it("applies changed filters to what comes after", async () => {
    const hub = await Routing.start()
    const trigger = createTrigger("t", await hub.engine.log.head(), { filters: [{ exact: { type: "a" } }] })
    await hub.put(trigger)
    const [a] = await hub.publish(1, "a")
    await hub.publish(1, "b")
    expect(await hub.routed()).toEqual(ids([a!], "t"))
    await hub.put({ ...trigger, filters: [{ exact: { type: "b" } }], destination: "elsewhere" })
    await hub.settle()
    await hub.publish(1, "a")
    const [b] = await hub.publish(1, "b")
    expect(await hub.routed()).toEqual(ids([b!], "t"))
  })

  it("drops what a deleted trigger is owed, also when it was deleted while nobody looked", async () => {
    const hub = await Routing.start()
    const head = await hub.engine.log.head()
    await hub.put(createTrigger("one", head))
    await hub.put(createTrigger("two", head))
    await hub.publish(3)
    await hub.settle()
    await hub.delete("one")
    await hub.settle()
    expect(await hub.engine.queue.depth("default/there")).toBe(3)
    await hub.machine.run(hub.router.stop())
    await hub.delete("two")
    await hub.restart()
    expect(await hub.routed()).toEqual([])
    expect(await hub.engine.catalog.list("routing/", { limit: 1_000 })).toEqual([])
    expect(await hub.engine.queue.position("trigger/default/one")).toBeUndefined()
  })

  it("takes a trigger that was deleted and made anew for another one", async () => {
    const hub = await Routing.start()
    await hub.publish(2)
    await hub.settle()
    await hub.put(createTrigger("t", hub.engine.log.oldest()))
    await hub.settle()
    await hub.machine.run(hub.router.stop())
    await hub.delete("t")
    const again = createTrigger("t", await hub.engine.log.head(), { createdAt: hub.machine.clock.now() })
    await hub.put(again)
    await hub.restart()
    const after = await hub.publish(1)
    expect(await hub.routed()).toEqual(ids(after, "t"))
    await hub.delete("t")
    await hub.put({ ...again, createdAt: again.createdAt + 1 })
    const last = await hub.publish(1)
    expect(await hub.routed()).toEqual(ids([...after, ...last], "t"))
  })

  it("owes a trigger made anew under its old id what has died or been done under the old one", async () => {
    const hub = await Routing.start()
    const [dead, done] = await hub.publish(2)
    const { queue, log } = hub.engine
    const make = (incarnation: string) => hub.put(createTrigger("t", log.oldest(), { incarnation }))
    await make("i1")
    await hub.settle()
    const [first, second] = await hub.machine.run(queue.lease({ lane: "default/there", max: 9, leaseMs: 60_000 }))
    const fingerprint = fingerprintOf((await hub.engine.log.get(dead!))!)
    expect(first!.delivery).toMatchObject({ incarnation: "i1", cursor: dead, fingerprint })
    const lastOutcome = { kind: "failed", detail: "404", permanent: true } as const
    const death = { reason: "permanent", attempts: 1, diedAt: 0, lastOutcome } as const
    await hub.machine.run(
      queue.end(first!, { kind: "dead", letter: { ...first!.delivery, ...death, address: ordersAddress } }),
    )
    await hub.machine.run(queue.end(second!, { kind: "done" }))
    await hub.delete("t")
    await make("i2")
    expect(await hub.routed()).toEqual([deliveryId(dead!, "t", "i2"), deliveryId(done!, "t", "i2")])
    expect((await queue.deadLetters({ tenant: "default", limit: 9 })).map(({ id }) => id)).toEqual([
      deliveryId(dead!, "t", "i1"),
    ])
  })

  it("lets go of a trigger whose id another one has taken in another part of the log", async () => {
    const hub = await Routing.start()
    await hub.put(createTrigger("t", await hub.engine.log.head(), { incarnation: "i1" }))
    await hub.settle()
    const { log } = hub.engine
    const partitionOf = log.partitionOf.bind(log)
    log.partitionOf = (address) => (address.topic === "others" ? 1 : partitionOf(address))
    const anothers = { of: "i2", partition: 1 }
    await hub.machine.run(hub.engine.catalog.put("routing/default/t", anothers))
    // As it comes by where the deletion between was not seen.
    await hub.put(createTrigger("t", await log.head(), { topic: "others", incarnation: "i2" }))
    await hub.settle()
    await hub.publish(1)
    expect(await hub.routed()).toEqual([])
    expect(await hub.engine.catalog.list("routing/", { limit: 1_000 })).toMatchObject([{ value: anothers }])
  })

  it("lets a trigger rest that cannot be matched, until it is put right", async () => {
    const hub = await Routing.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    await hub.put({ ...trigger, filters: [{ exact: {} }] })
    await hub.put(createTrigger("sound", await hub.engine.log.head()))
    const events = await hub.publish(2)
    expect(await hub.routed()).toEqual(ids(events, "sound"))
    expect(hub.log.lines).toEqual([expect.stringContaining("the trigger rests")])
    await hub.put({ ...trigger, filters: [{ exact: {} }], destination: "another" })
    expect(hub.log.lines).toHaveLength(1)
    await hub.put(trigger)
    expect(await hub.routed()).toEqual(ids(events, "t"))
  })

  it("saves its position where nothing matches, but not at every event", async () => {
    const hub = await Routing.start()
    await hub.settle()
    await hub.publish(1, "x", "unmatched")
    await hub.machine.clock.advance(10)
    const saved = await hub.engine.queue.position("router")
    expect(saved).toBe(await hub.engine.log.head())
    await hub.publish(1, "x", "unmatched")
    await hub.machine.clock.advance(50)
    expect(await hub.engine.queue.position("router")).toBe(saved)
    // When nothing more comes it is saved all the same, for others to know what has been judged.
    await hub.machine.clock.advance(1_010)
    expect(await hub.engine.queue.position("router")).toBe(await hub.engine.log.head())
    await hub.publish(1, "x", "unmatched")
    await hub.machine.clock.advance(50)
    await hub.machine.run(hub.router.stop())
    expect(await hub.engine.queue.position("router")).toBe(await hub.engine.log.head())
  })

  it("routes again what a crash took from the queue", async () => {
    const hub = await Routing.start()
    await hub.put(createTrigger("t", await hub.engine.log.head()))
    const events = await hub.publish(5)
    await hub.crash()
    await hub.settle()
    expect(await hub.engine.queue.depth("default/there")).toBe(5)
    await hub.crash()
    expect(await hub.routed()).toEqual(ids(events, "t"))
  })
})
