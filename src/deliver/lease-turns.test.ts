import { describe, expect, it } from "vitest"
import { createSimulatedClock, quiesce } from "../testing/clock.ts"
import { LeaseTurns } from "./lease-turns.ts"

/** Lanes that lease all that they can. */
class Greedy {
  readonly clock = createSimulatedClock()
  readonly turns = new LeaseTurns(this.clock)
  readonly taken: { readonly tenant: string; readonly lane: number; readonly count: number }[] = []
  #lanes = 0

  /** Another lane of the tenant; answers how to take it away. */
  add(tenant: string, weight = 1): () => void {
    const lane = this.#lanes++
    const go = () => {
      const count = this.turns.take({ name: tenant, weight }, 96, go)
      if (count === 0) return
      this.taken.push({ tenant, lane, count })
      // It has leased before the turn is over.
      queueMicrotask(go)
    }
    go()
    return () => this.turns.forget(tenant, go)
  }

  /** What was taken in so many turns of the event loop. */
  async run(turns: number): Promise<Greedy["taken"]> {
    await quiesce()
    const before = this.taken.length
    for (let n = 0; n < turns; n++) {
      this.clock.step()
      await quiesce()
    }
    return this.taken.slice(before)
  }

  async sums(turns: number): Promise<Record<string, number>> {
    const sums: Record<string, number> = {}
    for (const { tenant, count } of await this.run(turns)) sums[tenant] = (sums[tenant] ?? 0) + count
    return sums
  }
}

describe("the leases of one turn of the event loop", () => {
  it("are more where one tenant is alone than where others have some", async () => {
    const all = new Greedy()
    for (let n = 0; n < 10; n++) all.add("flood")
    expect((await all.sums(10)).flood).toBe(2_560)
    const leave = all.add("other")
    await all.run(1)
    for (let turn = 0; turn < 10; turn++) {
      const { flood = 0, other = 0 } = await all.sums(1)
      expect(flood + other).toBe(32)
    }
    leave()
    all.clock.jump(10_001)
    await all.run(1)
    expect((await all.sums(10)).flood).toBe(2_560)
  })

  it("are parted between tenants, however many lanes each has", async () => {
    const all = new Greedy()
    for (let n = 0; n < 100; n++) all.add("flood")
    all.add("other")
    await all.run(1)
    const { flood = 0, other = 0 } = await all.sums(100)
    expect(flood + other).toBe(3_200)
    expect(other).toBe(1_600)
  })

  it("are parted by weight", async () => {
    const all = new Greedy()
    all.add("light")
    all.add("heavy", 3)
    await all.run(1)
    const { light = 0, heavy = 0 } = await all.sums(100)
    expect(heavy).toBe(3 * light)
  })

  it("reach every lane in its turn", async () => {
    const all = new Greedy()
    for (let n = 0; n < 100; n++) all.add("flood")
    for (let n = 0; n < 40; n++) all.add(`t${n}`)
    await all.run(1)
    const taken = await all.run(1_000)
    const counts = new Map<number, number>()
    for (const { lane, count } of taken) counts.set(lane, (counts.get(lane) ?? 0) + count)
    expect(counts.size).toBe(140)
    const flood = Array.from({ length: 100 }, (_, lane) => counts.get(lane)!)
    expect(Math.max(...flood) - Math.min(...flood)).toBeLessThanOrEqual(4)
  })

  it("go to others where there was nothing to lease", async () => {
    const clock = createSimulatedClock()
    const turns = new LeaseTurns(clock)
    expect(turns.take({ name: "a", weight: 1 }, 256, () => {})).toBe(256)
    turns.give(255)
    expect(turns.take({ name: "a", weight: 1 }, 300, () => {})).toBe(255)
    let woken = 0
    expect(turns.take({ name: "a", weight: 1 }, 1, () => woken++)).toBe(0)
    clock.step()
    expect(woken).toBe(1)
  })
})
