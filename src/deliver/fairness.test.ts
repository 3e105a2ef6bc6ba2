import { describe, expect, it } from "vitest"
import type { TenantShare } from "../core/tenant-shares.ts"
import { type Behave, Delivering, failed, ok } from "../testing/delivering.ts"

const patient = { attemptsMax: 100, delaysMs: [1_000], jitter: 0, ageMaxMs: 86_400_000 }
const after =
  (hub: () => Delivering, ms: number): Behave =>
  () =>
    new Promise((resolve) => hub().power.clock.after(ms, () => resolve(ok)))

async function limited(share: Partial<TenantShare>): Promise<Delivering> {
  const hub = await Delivering.start({ tenants: new Map([["default", { weight: 1, ...share }]]) })
  for (const name of ["a", "b", "c"])
    await hub.connect(
      name,
      after(() => hub, 20),
      {},
      { concurrency: 64 },
    )
  return hub
}

describe("a tenant's limits", () => {
  it("hold over all of its destinations together, at once", async () => {
    const hub = await limited({ inFlightMax: 5 })
    for (const name of ["a", "b", "c"]) await hub.owe(50, name)
    let most = 0
    // Ends: what is owed does.
    while (hub.sent.length < 150) {
      await hub.machine.clock.advance(5)
      most = Math.max(
        most,
        [...hub.flying.values()].reduce((sum, { now }) => sum + now, 0),
      )
    }
    expect(most).toBe(5)
    const half = hub.sent.slice(20, 90).map(({ to }) => to)
    for (const name of ["a", "b", "c"]) expect(half.filter((to) => to === name).length).toBeGreaterThan(15)
  })

  it("hold for the probe of a destination that is down as well", async () => {
    const hub = await Delivering.start({ tenants: new Map([["default", { weight: 1, inFlightMax: 3 }]]) })
    await hub.connect("a", () => failed, { retry: patient })
    await hub.owe(12, "a")
    // Ends: with the tenth failure its breaker opens, for a second.
    while (hub.sentTo("a") < 10) await hub.machine.clock.advance(10)
    await hub.connect(
      "b",
      after(() => hub, 5_000),
    )
    await hub.owe(3, "b")
    await hub.machine.clock.advance(500)
    expect(hub.sentTo("b")).toBe(3)
    const before = hub.sentTo("a")
    await hub.machine.clock.advance(4_000)
    expect(hub.sentTo("a")).toBe(before)
    await hub.machine.clock.advance(4_000)
    expect(hub.sentTo("a")).toBeGreaterThan(before)
  })

  it("hold per second, and its destinations take turns", async () => {
    const hub = await limited({ ratePerSecond: 30 })
    for (const name of ["a", "b", "c"]) await hub.owe(100, name)
    await hub.machine.clock.advance(4_000)
    expect(hub.sent.length).toBeGreaterThan(110)
    for (const { at } of hub.sent) {
      expect(hub.sent.filter((other) => other.at >= at && other.at < at + 1_000).length).toBeLessThanOrEqual(34)
    }
    for (const name of ["a", "b", "c"]) expect(hub.sentTo(name)).toBeGreaterThan(30)
  })
})

describe("a destination that comes back", () => {
  it("gets what has piled up a little at a time, as far as it follows", async () => {
    const hub = await Delivering.start()
    let isUp = false
    const answer = after(() => hub, 100)
    await hub.connect("a", (...given) => (isUp ? answer(...given) : failed), { retry: patient }, { concurrency: 64 })
    await hub.owe(2_000, "a")
    await hub.machine.clock.advance(10_000)
    isUp = true
    const before = hub.sent.length
    const most: number[] = []
    // Ends: it is probed within a minute.
    while (hub.sent.length === before) await hub.machine.clock.advance(10)
    for (let around = 0; around < 12; around++) {
      hub.flying.get("a")!.max = 0
      await hub.machine.clock.advance(100)
      most.push(hub.flying.get("a")!.max)
    }
    expect(most[2]).toBeLessThanOrEqual(16)
    for (const [around, now] of most.entries()) if (around > 0) expect(now).toBeLessThanOrEqual(3 * most[around - 1]!)
    expect(most.at(-1)).toBe(64)
  })
})
