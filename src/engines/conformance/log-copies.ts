import { expect } from "vitest"
import type { Address } from "../../core/address.ts"
import type { Engine } from "../../core/engine.ts"
import type { Declare } from "./harness.ts"
import { all, append, event, events, key, orders, users } from "./log-fixture.ts"

const times = (stored: readonly { readonly storedAt: number }[]) => stored.map((one) => one.storedAt)

/** Copies of events that were stored elsewhere before. */
export function logCopies(it: Declare<Engine>): void {
  it("keeps when a copy was stored, through a crash", async (engine, harness) => {
    const { log } = engine
    await log.append(orders, events(2, "a"), { storedAt: 1_000_000 })
    await log.append(key("7"), events(1, "b"), { storedAt: 1_000_000 })
    await log.append(orders, events(1, "c"), { storedAt: 2_000_123 })
    const expected = [1_000_000, 1_000_000, 1_000_000, 2_000_123]
    expect(times(await all(log, { where: orders }))).toEqual(expected)
    expect(await log.stats(orders)).toMatchObject({ events: 4, oldestAt: 1_000_000, newestAt: 2_000_123 })
    const crashed = await harness.crash(engine)
    const stored = await all(crashed.log, { where: orders })
    expect(times(stored)).toEqual(expected)
    expect((await crashed.log.get(stored[3]!.cursor))?.storedAt).toBe(2_000_123)
    expect(await all(crashed.log, { where: orders, from: { time: 1_000_001 } })).toHaveLength(1)
  })

  it("never lets the time fall, neither of copies nor of what comes after them", async (engine, harness) => {
    const { log } = engine
    await log.append(orders, events(1, "a"), { storedAt: 5_000_000 })
    await log.append(orders, events(1, "b"), { storedAt: 4_000_000 })
    expect(times(await all(log, { where: orders }))).toEqual([5_000_000, 5_000_000])
    const crashed = await harness.crash(engine)
    await crashed.log.append(orders, events(1, "c"), { storedAt: 3_000_000 })
    expect(times(await all(crashed.log, { where: orders }))).toEqual([5_000_000, 5_000_000, 5_000_000])
    await append(crashed.log, orders, event("d"))
    const last = (await all(crashed.log, { where: orders })).at(-1)!
    expect(last.storedAt).toBeGreaterThan(5_000_000)
  })

  it("stores copies in the order of calls, of all topics, many on their way at once", async (engine, harness) => {
    const { log } = engine
    const topics = [orders, users, { tenant: "globex", topic: "orders" }, { tenant: "acme", topic: "stock" }, key("7")]
    const calls = Array.from({ length: 300 }, (_, i) =>
      log.append(topics[(i * 7) % topics.length]!, [event(`e${i}`)], { storedAt: 1_000_000 + i }),
    )
    await Promise.all(calls)
    const crashed = await harness.crash(engine)
    for (const where of topics.slice(0, 4)) {
      const stored = await all(crashed.log, { where })
      const expected = calls.flatMap((_, i) => (isIn(topics[(i * 7) % topics.length]!, where) ? [i] : []))
      expect(stored.map((one) => one.event.id)).toEqual(expected.map((i) => `e${i}`))
      expect(times(stored)).toEqual(expected.map((i) => 1_000_000 + i))
    }
  })
}

function isIn(address: Address, { tenant, topic }: Address): boolean {
  return address.tenant === tenant && address.topic === topic
}
