import { describe, expect, it } from "vitest"
import { attemptsTopic } from "../core/address.ts"
import type { Outcome } from "../core/delivery.ts"
import { Delivering, ok } from "../testing/delivering.ts"

const heldBack = (retryAfterMs: number): Outcome => ({
  kind: "failed",
  detail: "held back: not yet",
  permanent: false,
  retryAfterMs,
  unsent: true,
})

describe("a destination that takes nothing yet", () => {
  it("is asked again after its time; nothing counts as an attempt, and its status says why it waits", async () => {
    const hub = await Delivering.start()
    let agrees = false
    const retry = { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 3_600_000 }
    await hub.connect("a", () => (agrees ? ok : heldBack(60_000)), { retry })
    await hub.owe(5, "a")
    await hub.machine.until(() => hub.sentTo("a") > 0)
    await hub.machine.clock.advance(59_000)
    const before = hub.sentTo("a")
    expect(before).toBeLessThanOrEqual(5)
    const { report } = (await hub.engine.queue.statusOf(["default/a"])).get("default/a")!
    expect(report).toMatchObject({ breaker: "closed", attempts: 0, lastError: { detail: "held back: not yet" } })
    expect(report!.restsUntil).toBeGreaterThan(hub.power.clock.now())
    const { deliveries } = await hub.machine.run(hub.engine.queue.openDeliveries({ tenant: "default", limit: 10 }))
    expect(deliveries.map(({ state, attempts }) => [state, attempts])).toEqual(Array(5).fill(["due", 0]))
    agrees = true
    await hub.empty("a")
    expect(hub.sent.slice(before).map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1])
    expect(await hub.letters()).toEqual([])
    expect(await hub.records(attemptsTopic)).toHaveLength(5)
  })

  it("is sent to at once where it has come to agree meanwhile", async () => {
    const hub = await Delivering.start()
    let tries = 0
    await hub.connect("a", () => (tries++ < 3 ? heldBack(0) : ok))
    await hub.owe(3, "a")
    const begun = hub.power.clock.steady()
    await hub.empty("a")
    expect(hub.power.clock.steady() - begun).toBeLessThan(1_000)
    expect(hub.sentTo("a")).toBe(6)
  })
})

describe("what a receiver lets through", () => {
  it.each([
    [undefined, 1, 1],
    [1, 5, 1],
    [5, 1, 1],
  ])("limits the lane beside the destination's own %j: %d", async (own, agreed, perSecond) => {
    const hub = await Delivering.start()
    hub.ratesPerSecond.set("a", agreed)
    await hub.connect(
      "a",
      () => ok,
      {},
      own === undefined ? { concurrency: 1 } : { concurrency: 1, ratePerSecond: own },
    )
    await hub.owe(6, "a")
    await hub.empty("a")
    const times = hub.sent.map(({ at }) => at)
    expect(times.at(-1)! - times[1]!).toBeGreaterThanOrEqual(3_900 / perSecond)
  })
})
