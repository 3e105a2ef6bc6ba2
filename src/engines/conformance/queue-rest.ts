import { expect } from "vitest"
import type { Declare } from "./harness.ts"
import { delivery, ids, lane, leaseMs, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

/** Deliveries that wait: parked until a time, given back, held for a trigger, dropped with it. */
export function queueRest(it: Declare<QueueUnderTest>): void {
  it("parks a retry until it is due, and counts attempts", async ({ queue, cursors }, { elapse }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const first = await takeOne(queue)
    await queue.end(first, { kind: "retry", delayMs: 3_000 })
    expect(await queue.depth(lane)).toBe(1)
    await elapse(1_000)
    expect(await take(queue)).toEqual([])
    await elapse(2_100)
    const second = await takeOne(queue)
    expect(second).toMatchObject({ attempt: 2, attemptsForgiven: 0, firstDueAt: first.firstDueAt })
    await queue.end(second, { kind: "retry", delayMs: 500 })
    await elapse(600)
    expect((await takeOne(queue)).attempt).toBe(3)
  })

  it("gives parked deliveries in the order of their events once they are due", async ({ queue, cursors }, {
    elapse,
  }) => {
    const all = (await cursors(5)).map((cursor) => delivery(cursor))
    await queue.enqueue(all.slice(0, 4))
    for (const [i, lease] of (await take(queue)).entries()) {
      await queue.end(lease, { kind: "retry", delayMs: 1_000 - i * 200 })
    }
    await elapse(700)
    expect(ids(await take(queue))).toEqual([all[2]!.id, all[3]!.id])
    await queue.enqueue(all.slice(4))
    await elapse(400)
    expect(ids(await take(queue))).toEqual([all[0]!.id, all[1]!.id, all[4]!.id])
  })

  it("delivers fresh work past any number of parked retries", async ({ queue, cursors }) => {
    const all = (await cursors(1_501)).map((cursor) => delivery(cursor))
    const fresh = all.pop()!
    await queue.enqueue(all)
    for (let left = all.length; left > 0; ) {
      const leases = await take(queue, 250)
      expect(leases.length, `${left} never came`).toBeGreaterThan(0)
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "retry", delayMs: 3_600_000 })))
      left -= leases.length
    }
    await queue.enqueue([fresh])
    expect(ids(await take(queue))).toEqual([fresh.id])
    expect(await queue.depth(lane)).toBe(1_501)
  })

  it("makes very many due that were parked until one moment, without holding up another lane", async (tested, {
    elapse,
  }) => {
    const { queue } = tested
    const all = (await tested.cursors(2_500)).map((cursor) => delivery(cursor))
    await queue.enqueue([...all, delivery(all[0]!.cursor, { trigger: "t2", destination: "d2" })])
    for (const from of [lane, "acme/d2"]) {
      const leases = await take(queue, 5_000, from)
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "retry", delayMs: 1_000 })))
    }
    await elapse(1_100)
    await elapse(leaseMs / 4)
    const seen: string[] = []
    for (let empty = 0; seen.length < all.length && empty < 100; ) {
      const leases = await take(queue, 400)
      if (leases.length === 0) empty++
      if (leases.length === 0) await elapse(10)
      seen.push(...ids(leases))
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
    }
    expect(new Set(seen).size).toBe(2_500)
    expect(seen).toHaveLength(2_500)
    expect((await takeOne(queue, "acme/d2")).attempt).toBe(2)
    expect(await queue.depth(lane)).toBe(0)
  })

  it("keeps parked deliveries, their times and attempts through a crash", async (tested, harness) => {
    const [a, b] = (await tested.cursors(2)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([a!, b!])
    const [first, second] = await take(tested.queue)
    await tested.queue.end(first!, { kind: "retry", delayMs: 1_000 })
    await tested.queue.end(second!, { kind: "retry", delayMs: 10_000 })
    let { queue } = await harness.crash(tested)
    expect(await queue.depth(lane)).toBe(2)
    expect(await take(queue)).toEqual([])
    await harness.elapse(1_100)
    const again = await takeOne(queue)
    expect(again).toMatchObject({ delivery: a, attempt: 2, firstDueAt: first!.firstDueAt })
    queue = (await harness.crash({ ...tested, queue })).queue
    await harness.elapse(10_000)
    expect(ids(await take(queue))).toEqual([a!.id, b!.id])
  })

  it("takes a lease back uncounted, at once or after a time", async ({ queue, cursors }, { elapse }) => {
    const d = delivery((await cursors(1))[0]!)
    await queue.enqueue([d])
    const first = await takeOne(queue)
    await queue.end(first, { kind: "release", delayMs: 0 })
    const second = await takeOne(queue)
    expect(second).toMatchObject({ attempt: 1, firstDueAt: first.firstDueAt })
    await queue.end(second, { kind: "release", delayMs: 1_000 })
    expect(await queue.open(d)).toMatchObject({ attempts: 0, state: "parked" })
    expect(await take(queue)).toEqual([])
    await elapse(1_100)
    expect((await takeOne(queue)).attempt).toBe(1)
  })

  it("puts a delivery that was given back where its event belongs", async ({ queue, cursors }) => {
    const all = (await cursors(4)).map((cursor) => delivery(cursor))
    await queue.enqueue(all)
    const [, second] = await take(queue, 2)
    await queue.end(second!, { kind: "release", delayMs: 0 })
    expect(ids(await take(queue))).toEqual([all[1]!.id, all[2]!.id, all[3]!.id])
  })

  it("holds deliveries until their trigger is resumed, uncounted and without ageing", async (tested, { elapse }) => {
    const { queue } = tested
    const [a, b, c] = await tested.cursors(3)
    const other = delivery(c!, { trigger: "t2" })
    await queue.enqueue([delivery(a!), delivery(b!), other])
    const leases = await take(queue)
    await elapse(100)
    for (const lease of leases) await queue.end(lease, { kind: "hold" })
    await elapse(5_000)
    expect(await take(queue)).toEqual([])
    expect(await queue.depth(lane)).toBe(3)
    expect(await queue.resume("globex", "t1", "i1")).toBe(0)
    expect(await queue.resume("acme", "t1", "i1")).toBe(2)
    expect(await queue.resume("acme", "t1", "i1")).toBe(0)
    const again = await take(queue)
    expect(ids(again)).toEqual([a!, b!].map((cursor) => delivery(cursor).id))
    for (const lease of again) {
      expect(lease.attempt).toBe(1)
      expect(lease.firstDueAt - leases[0]!.firstDueAt).toBeGreaterThanOrEqual(5_000)
      expect(lease.firstDueAt - leases[0]!.firstDueAt).toBeLessThan(5_100)
    }
    expect(await queue.open(other)).toMatchObject({ state: "held" })
  })

  it("names the triggers that something is held for, through a crash, until they are resumed", async (tested, harness) => {
    const { queue } = tested
    expect(await queue.held()).toEqual([])
    const [a, b, c, d] = await tested.cursors(4)
    const of = (trigger: string, incarnation: string) => ({ tenant: "acme", trigger, incarnation })
    const all = [
      delivery(a!),
      delivery(b!),
      delivery(c!, { trigger: "t2" }),
      delivery(d!, { trigger: "t1", incarnation: "i2" }),
    ]
    await queue.enqueue(all)
    for (const lease of await take(queue)) await queue.end(lease, { kind: "hold" })
    const names = (found: readonly object[]) => found.map((each) => JSON.stringify(each)).sort()
    const everyone = names([of("t1", "i1"), of("t1", "i2"), of("t2", "i1")])
    expect(names(await queue.held())).toEqual(everyone)
    const again = await harness.crash(tested)
    expect(names(await again.queue.held())).toEqual(everyone)
    await again.queue.resume("acme", "t1", "i1")
    expect(names(await again.queue.held())).toEqual(names([of("t1", "i2"), of("t2", "i1")]))
  })

  it("resumes what was being held when it was asked", async ({ queue, cursors }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const lease = await takeOne(queue)
    const [, resumed] = await Promise.all([queue.end(lease, { kind: "hold" }), queue.resume("acme", "t1", "i1")])
    expect(resumed).toBe(1)
    await takeOne(queue)
  })

  it("keeps what is held, and whose it is, through a crash", async (tested, harness) => {
    const [a] = await tested.cursors(1)
    await tested.queue.enqueue([delivery(a!)])
    await tested.queue.end(await takeOne(tested.queue), { kind: "hold" })
    const { queue } = await harness.crash(tested)
    await harness.elapse(leaseMs * 2)
    expect(await take(queue)).toEqual([])
    await queue.enqueue([delivery(a!)])
    expect(await queue.depth(lane)).toBe(1)
    expect(await queue.resume("acme", "t1", "i1")).toBe(1)
    expect((await takeOne(queue)).attempt).toBe(1)
  })

  it("drops all that is open of a trigger: due, leased, parked and held", async (tested, { elapse }) => {
    const { queue } = tested
    const all = (await tested.cursors(6)).map((cursor) => delivery(cursor))
    const others = [delivery(all[0]!.cursor, { trigger: "t2" }), delivery(all[0]!.cursor, { tenant: "globex" })]
    await queue.enqueue(all.slice(0, 4))
    const [first, second, third] = await take(queue, 3)
    await queue.end(first!, { kind: "retry", delayMs: 1_000 })
    await queue.end(second!, { kind: "hold" })
    await queue.enqueue([...all.slice(4), ...others])
    expect(await queue.drop("acme", "t1", "i1")).toBe(6)
    await expect(queue.end(third!, { kind: "done" })).rejects.toThrow()
    await elapse(leaseMs * 2)
    expect(ids(await take(queue))).toEqual([others[0]!.id])
    expect(await queue.resume("acme", "t1", "i1")).toBe(0)
    expect(await queue.depth(lane)).toBe(1)
    expect(await queue.depth("globex/d1")).toBe(1)
    expect(await queue.drop("acme", "t1", "i1")).toBe(0)
  })

  it("resumes and drops what is of one trigger, and nothing of another that had its id before", async (tested, harness) => {
    const { queue } = tested
    const cursors = await tested.cursors(3)
    const of = (incarnation: string) => cursors.map((cursor) => delivery(cursor, { incarnation }))
    await queue.enqueue([...of("i1"), ...of(""), ...of("i2")])
    for (const lease of await take(queue, 20))
      if (lease.delivery.cursor !== cursors[2]) await queue.end(lease, { kind: "hold" })
    expect(await queue.resume("acme", "t1", "i3")).toBe(0)
    expect(await queue.resume("acme", "t1", "i1")).toBe(2)
    expect(await queue.resume("acme", "t1", "")).toBe(2)
    expect(await queue.drop("acme", "t1", "i1")).toBe(3)
    expect(await queue.drop("acme", "t1", "")).toBe(3)
    for (const [i, one] of of("i2").entries()) {
      expect(await queue.open(one)).toMatchObject({ delivery: one, state: i === 2 ? "leased" : "held" })
    }
    const again = await harness.crash(tested)
    expect(await again.queue.resume("acme", "t1", "i2")).toBe(2)
    await harness.elapse(leaseMs * 2)
    expect((await take(again.queue, 20)).map((lease) => lease.delivery)).toEqual(of("i2"))
  })

  it("drops very many, of many lanes, and keeps them dropped through a crash", async (tested, harness) => {
    const cursors = await tested.cursors(2_000)
    const of = (trigger: string) =>
      cursors.map((cursor, i) => delivery(cursor, { trigger, destination: i % 4 === 0 ? "d2" : "d1" }))
    await tested.queue.enqueue(of("t1"))
    await tested.queue.enqueue(of("t2"))
    expect(await tested.queue.drop("acme", "t1", "i1")).toBe(2_000)
    expect([await tested.queue.depth(lane), await tested.queue.depth("acme/d2")]).toEqual([1_500, 500])
    const { queue } = await harness.crash(tested)
    expect([await queue.depth(lane), await queue.depth("acme/d2")]).toEqual([1_500, 500])
    expect(new Set((await take(queue, 5_000)).map((lease) => lease.delivery.trigger))).toEqual(new Set(["t2"]))
  })
}
