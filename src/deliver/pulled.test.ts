import { describe, expect, it } from "vitest"
import { destinationKeys } from "../core/catalog-keys.ts"
import { Delivering, ok } from "../testing/delivering.ts"

const lease = (hub: Delivering) =>
  hub.machine.run(hub.engine.queue.anywhere.lease({ lane: "default/a", max: 10, leaseMs: 60_000 }))

describe("a destination whose deliveries workers lease", () => {
  it("is sent nothing, before a restart and after it", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { kind: "pulled" })
    await hub.connect("b", () => ok)
    await hub.owe(3, "a", "b")
    await hub.empty("b")
    await hub.machine.run(hub.worker.stop())
    await hub.machine.run(hub.engine.close())
    await hub.boot()
    await hub.owe(1, "a", "b")
    await hub.empty("b")
    await hub.machine.clock.advance(600_000)
    expect(hub.sentTo("a")).toBe(0)
    expect((await lease(hub)).map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1])
  })

  it("is sent what waits, where one that is sent to comes in its place", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { kind: "pulled" })
    await hub.owe(3, "a")
    await hub.machine.clock.advance(1_000)
    expect(hub.sentTo("a")).toBe(0)
    await hub.destination("a")
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(3)
  })

  it("is sent nothing more where it comes in the place of one that was sent to", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok)
    await hub.owe(1, "a")
    await hub.empty("a")
    await hub.destination("a", { kind: "pulled" })
    await hub.machine.clock.advance(1_000)
    await hub.owe(2, "a")
    await hub.machine.clock.advance(60_000)
    expect(hub.sentTo("a")).toBe(1)
    expect((await lease(hub)).map(({ attempt }) => attempt)).toEqual([1, 1])
  })

  it("leaves nothing behind where it is deleted: what waits is held with its trigger, which is paused", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { kind: "pulled" })
    await hub.owe(2, "a")
    await hub.machine.clock.advance(1_000)
    await hub.machine.run(hub.engine.catalog.delete(destinationKeys.of({ tenant: "default", id: "a" })))
    const held = async () => {
      const { deliveries } = await hub.engine.queue.openDeliveries({ tenant: "default", limit: 10, state: "held" })
      return deliveries.length === 2
    }
    await hub.machine.until(held)
    expect(hub.sentTo("a")).toBe(0)
  })
})
