import { expect, it } from "vitest"
import { asideKey } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { type AsideRecord, placeOfTenant } from "../core/routing.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import type { Power } from "../testing/power.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"
import { type Router, startRouter } from "./router.ts"

const chunk = 10

/** A hub that only routes; each write to its log takes 5 ms. */
class Flooded {
  readonly machine = createSimulatedMachine(1, 5)
  readonly log = createMemoryLog()
  engine!: Engine
  power!: Power
  router!: Router
  #events = 0

  static async start(tenants: readonly string[]): Promise<Flooded> {
    const hub = new Flooded()
    await hub.boot()
    const head = await hub.engine.log.head()
    for (const tenant of tenants) {
      const trigger = createTrigger("t", head, { tenant })
      await hub.machine.run(hub.engine.catalog.put(`trigger/${tenant}/t`, trigger))
    }
    await hub.machine.clock.advance(100)
    return hub
  }

  async boot(): Promise<void> {
    const { power, engine } = await this.machine.boot()
    this.power = power
    this.engine = engine
    const limits = { sharedEnqueueMax: chunk }
    this.router = startRouter({ engine, clock: power.clock, log: this.log, limits })
  }

  async crash(): Promise<void> {
    this.power.cut()
    await this.boot()
  }

  async publish(tenant: string, count: number): Promise<readonly Cursor[]> {
    const events = Array.from({ length: count }, () => createEvent(`e${this.#events++}`))
    const appended = await this.machine.run(this.engine.log.append({ ...ordersAddress, tenant }, events))
    return appended.map(({ cursor }) => cursor)
  }

  depth(tenant: string): Promise<number> {
    return this.engine.queue.depth(`${tenant}/there`)
  }

  async untilDepth(tenant: string, depth: number): Promise<void> {
    await this.machine.until(async () => (await this.depth(tenant)) >= depth)
  }

  /** Takes the tenant's deliveries as done; answers their ids. */
  async take(tenant: string): Promise<readonly string[]> {
    const ids: string[] = []
    // Ends: with the deliveries.
    for (;;) {
      const lease = { lane: `${tenant}/there`, max: 100, leaseMs: 60_000 }
      const leases = await this.machine.run(this.engine.queue.lease(lease))
      if (leases.length === 0) return ids
      for (const each of leases) {
        ids.push(each.delivery.id)
        await this.machine.run(this.engine.queue.end(each, { kind: "done" }))
      }
    }
  }

  async aside(): Promise<readonly (string | null)[]> {
    return (await this.engine.catalog.get<AsideRecord>(asideKey(0)))?.value.tenants ?? []
  }
}

const ids = (cursors: readonly Cursor[]) => cursors.map((cursor) => deliveryId(cursor, "t", ""))

it("routes a tenant that floods aside, so that another's event does not wait for its own", async () => {
  const hub = await Flooded.start(["flood", "other"])
  const flood = await hub.publish("flood", 2_000)
  const [event] = await hub.publish("other", 1)
  await hub.untilDepth("other", 1)
  // Few of the flood's are enqueued by then: a chunk, and what went on beside it.
  expect(await hub.depth("flood")).toBeLessThanOrEqual(10 * chunk)
  expect(await hub.aside()).toEqual(["flood"])
  expect(await hub.take("other")).toEqual(ids([event!]))
  await hub.untilDepth("flood", flood.length)
  await hub.machine.until(async () => (await hub.aside()).every((tenant) => tenant === null))
  expect(await hub.take("flood")).toEqual(ids(flood))
  const after = await hub.publish("flood", 3)
  await hub.untilDepth("flood", 3)
  expect(await hub.take("flood")).toEqual(ids(after))
  await hub.machine.run(hub.router.stop())
})

it("leaves a tenant where it is that is alone", async () => {
  const hub = await Flooded.start(["flood"])
  const flood = await hub.publish("flood", 500)
  await hub.untilDepth("flood", flood.length)
  expect(await hub.aside()).toEqual([])
  await hub.machine.run(hub.router.stop())
})

it("goes on aside after a crash: nothing is lost and nothing is routed again", async () => {
  const hub = await Flooded.start(["flood", "other"])
  const flood = await hub.publish("flood", 500)
  const others = [...(await hub.publish("other", 5))]
  const taken: string[] = []
  for (let crashes = 0; crashes < 20; crashes++) {
    await hub.machine.clock.advance(5 + 7 * crashes)
    taken.push(...(await hub.take("flood")), ...(await hub.take("other")))
    // What is taken is on disk.
    await hub.machine.run(hub.engine.catalog.put("mark", crashes))
    others.push(...(await hub.publish("other", 1)))
    await hub.crash()
  }
  await hub.machine.clock.advance(20_000)
  taken.push(...(await hub.take("flood")), ...(await hub.take("other")))
  expect(taken.toSorted()).toEqual(ids([...flood, ...others]).toSorted())
  await hub.machine.run(hub.router.stop())
})

it("tells others how far a tenant has come that is aside", async () => {
  const hub = await Flooded.start(["flood", "other"])
  const flood = await hub.publish("flood", 2_000)
  await hub.publish("other", 1)
  const { log } = hub.engine
  const placeOf = (tenant: string) => placeOfTenant({ engine: hub.engine, partition: 0, tenant })
  const isBeyond = async (tenant: string) => {
    const { cursor } = await placeOf(tenant)
    return cursor !== undefined && log.compare(cursor, flood.at(-1)!) > 0
  }
  await hub.machine.until(() => isBeyond("other"))
  expect(await placeOf("other")).toMatchObject({ isAside: false })
  expect(await placeOf("flood")).toMatchObject({ isAside: true })
  expect(await isBeyond("flood")).toBe(false)
  await hub.machine.run(hub.router.stop())
})
