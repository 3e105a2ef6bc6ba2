import { expect } from "vitest"
import type { Lease } from "../../core/deliveries.ts"
import { laneOf } from "../../core/delivery.ts"
import { LeaseLostError } from "../../core/errors.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import { type Declare, type Exemptions, type Harness, suite } from "./harness.ts"
import { queueAnywhere } from "./queue-anywhere.ts"
import { queueCarry } from "./queue-carry.ts"
import { queueDead } from "./queue-dead.ts"
import { delivery, ids, lane, leaseMs, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"
import { queueHistory } from "./queue-history.ts"
import { queueKept } from "./queue-kept.ts"
import { queueMove } from "./queue-move.ts"
import { queueOpen } from "./queue-open.ts"
import { queueOrder } from "./queue-order.ts"
import { queueRest } from "./queue-rest.ts"
import { queueUnended } from "./queue-unended.ts"

/** Every queue passes all of it. */
export function queueConformance(
  name: string,
  make: () => Promise<Harness<QueueUnderTest>>,
  exempt: Exemptions = {},
): void {
  suite(`${name}: queue, adding`, make, exempt, adding)
  suite(`${name}: queue, leases`, make, exempt, leases)
  suite(`${name}: queue, leases from anywhere`, make, exempt, queueAnywhere)
  suite(`${name}: queue, lanes`, make, exempt, lanes)
  suite(`${name}: queue, rest`, make, exempt, queueRest)
  suite(`${name}: queue, order`, make, exempt, queueOrder)
  suite(`${name}: queue, open deliveries`, make, exempt, queueOpen)
  suite(`${name}: queue, moving`, make, exempt, queueMove)
  suite(`${name}: queue, dead letters`, make, exempt, queueDead)
  suite(`${name}: queue, leases that never lapse`, make, exempt, queueKept)
  suite(`${name}: queue, attempts without an end`, make, exempt, queueUnended)
  suite(`${name}: queue, carrying`, make, exempt, queueCarry)
  suite(`${name}: queue, any history`, make, exempt, queueHistory)
}

function adding(it: Declare<QueueUnderTest>): void {
  it("adds a delivery once, however often it is given", async ({ queue, cursors }) => {
    const d = delivery((await cursors(1))[0]!)
    await Promise.all([queue.enqueue([d, d]), queue.enqueue([d])])
    await queue.enqueue([d])
    expect(await queue.depth(lane)).toBe(1)
    const lease = await takeOne(queue)
    expect(lease.delivery).toEqual(d)
    await queue.enqueue([d])
    expect(await take(queue)).toEqual([])
    expect(await queue.depth(lane)).toBe(1)
  })

  it("leaves a parked and a dead delivery as it is", async ({ queue, cursors }) => {
    const [a, b] = (await cursors(2)).map((cursor) => delivery(cursor))
    await queue.enqueue([a!, b!])
    const [first, second] = await take(queue)
    await queue.end(first!, { kind: "retry", delayMs: 60_000 })
    await queue.end(second!, { kind: "dead", letter: letter(second!.delivery) })
    await queue.enqueue([a!, b!])
    expect(await take(queue)).toEqual([])
    expect(await queue.depth(lane)).toBe(1)
  })

  it("saves the reader's position with the deliveries", async ({ queue, cursors }) => {
    const [a, b] = await cursors(2)
    expect(await queue.position("router")).toBeUndefined()
    await queue.enqueue([delivery(a!)], { reader: "router", cursor: a! })
    await queue.enqueue([], { reader: "router", cursor: b! })
    await queue.enqueue([], { reader: "replay", cursor: a! })
    expect(await queue.position("router")).toBe(b)
    expect(await queue.position("replay")).toBe(a)
    await queue.forget("router")
    expect(await queue.position("router")).toBeUndefined()
    expect(await queue.position("replay")).toBe(a)
  })

  it("changes nothing for a position that is not beyond the saved one, so nothing done comes back", async ({
    queue,
    cursors,
  }) => {
    const [a, b, c] = await cursors(3)
    const position = { reader: "router", cursor: b! }
    await queue.enqueue([delivery(a!), delivery(b!)], position)
    for (const lease of await take(queue)) await queue.end(lease, { kind: "done" })
    await queue.enqueue([delivery(a!), delivery(b!)], position)
    await queue.enqueue([delivery(a!), delivery(c!)], { reader: "router", cursor: a! })
    expect(await take(queue)).toEqual([])
    expect(await queue.position("router")).toBe(b)
    expect(await queue.depth(lane)).toBe(0)
  })

  it("holds calls that overlap against each other's position", async ({ queue, cursors }) => {
    const [a, b] = await cursors(2)
    await Promise.all([
      queue.enqueue([delivery(b!)], { reader: "router", cursor: b! }),
      queue.enqueue([delivery(a!)], { reader: "router", cursor: a! }),
      queue.enqueue([delivery(a!)], { reader: "router", cursor: b! }),
    ])
    expect(ids(await take(queue))).toEqual([delivery(b!).id])
    expect(await queue.position("router")).toBe(b)
  })

  it("takes a reader that was forgotten from anywhere", async ({ queue, cursors }) => {
    const [a, b] = await cursors(2)
    await queue.enqueue([], { reader: "router", cursor: b! })
    await Promise.all([queue.forget("router"), queue.enqueue([delivery(a!)], { reader: "router", cursor: a! })])
    expect(await queue.position("router")).toBe(a)
    expect(await queue.depth(lane)).toBe(1)
  })

  it("keeps deliveries and position together through a crash", async (tested, harness) => {
    const [a, b] = await tested.cursors(2)
    await tested.queue.enqueue([delivery(a!), delivery(a!, { destination: "d2" })], { reader: "router", cursor: a! })
    const { queue } = await harness.crash(tested)
    expect(await queue.position("router")).toBe(a)
    expect(await queue.depth(lane)).toBe(1)
    expect(ids(await take(queue))).toEqual([delivery(a!).id])
    expect(ids(await take(queue, 10, "acme/d2"))).toEqual([delivery(a!).id])
    await queue.enqueue([delivery(a!)], { reader: "router", cursor: a! })
    await queue.enqueue([delivery(b!)], { reader: "router", cursor: b! })
    expect(ids(await take(queue))).toEqual([delivery(b!).id])
  })

  it("tells what is open of a delivery", async ({ queue, cursors }, { elapse }) => {
    const d = delivery((await cursors(1))[0]!)
    expect(await queue.open(d)).toBeUndefined()
    await queue.enqueue([d])
    expect(await queue.open(d)).toMatchObject({ delivery: d, attempts: 0, state: "due" })
    const first = await takeOne(queue)
    expect(await queue.open(d)).toMatchObject({ attempts: 0, state: "leased" })
    await queue.end(first, { kind: "retry", delayMs: 1_000 })
    const parked = await queue.open(d)
    expect(parked).toMatchObject({ attempts: 1, state: "parked" })
    expect(parked!.dueAt).toBeGreaterThanOrEqual(first.firstDueAt + 1_000)
    await elapse(1_100)
    expect(await queue.open(d)).toMatchObject({ attempts: 1, state: "due" })
    await queue.end(await takeOne(queue), { kind: "hold" })
    expect(await queue.open(d)).toMatchObject({ attempts: 1, state: "held" })
    await queue.resume("acme", "t1", "i1")
    await queue.end(await takeOne(queue), { kind: "done" })
    expect(await queue.open(d)).toBeUndefined()
  })
}

function leases(it: Declare<QueueUnderTest>): void {
  it("leases the oldest events first, up to `max`", async ({ queue, cursors }) => {
    const [a, b, c, d, e] = await cursors(5)
    await queue.enqueue([delivery(c!), delivery(d!)])
    await queue.enqueue([delivery(e!)])
    await queue.enqueue([delivery(b!), delivery(a!)])
    expect(ids(await take(queue, 2))).toEqual([a!, b!].map((cursor) => delivery(cursor).id))
    expect(ids(await take(queue, 10))).toEqual([c!, d!, e!].map((cursor) => delivery(cursor).id))
    expect(await take(queue, 10)).toEqual([])
  })

  it("leases nothing of a lane that nobody knows", async ({ queue }) => {
    expect(await take(queue, 10, "acme/none")).toEqual([])
    expect(await queue.depth("acme/none")).toBe(0)
  })

  it("hides what is leased, and gives it again when the lease lapses, counted", async ({ queue, cursors }, {
    elapse,
  }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const first = await takeOne(queue)
    expect(first.attempt).toBe(1)
    await elapse(leaseMs / 2)
    expect(await take(queue)).toEqual([])
    await elapse(leaseMs)
    const second = await takeOne(queue)
    expect(second).toMatchObject({ attempt: 2, attemptsForgiven: 0, firstDueAt: first.firstDueAt })
    await elapse(leaseMs * 1.5)
    expect((await takeOne(queue)).attempt).toBe(3)
  })

  it("refuses every end of a lease that lapsed, whoever holds the delivery now", async ({ queue, cursors }, {
    elapse,
  }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const old = await takeOne(queue)
    await elapse(leaseMs * 1.5)
    await refused(queue, old)
    const current = await takeOne(queue)
    await refused(queue, old)
    await queue.end(current, { kind: "done" })
    await refused(queue, current)
    expect(await queue.depth(lane)).toBe(0)
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([])
  })

  it("ends a lease once, though two try at the same time", async ({ queue, cursors }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const lease = await takeOne(queue)
    const ends = await Promise.allSettled([
      queue.end(lease, { kind: "done" }),
      queue.end(lease, { kind: "retry", delayMs: 0 }),
      queue.end(lease, { kind: "dead", letter: letter(lease.delivery) }),
    ])
    expect(ends.map((end) => end.status)).toEqual(["fulfilled", "rejected", "rejected"])
    expect(await queue.depth(lane)).toBe(0)
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([])
  })

  it("begins the lease's time anew", async ({ queue, cursors }, { elapse }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const lease = await takeOne(queue)
    for (let i = 0; i < 3; i++) {
      await elapse(leaseMs * 0.7)
      await queue.extend(lease, leaseMs)
    }
    expect(await take(queue)).toEqual([])
    await elapse(leaseMs * 0.7)
    await queue.end(lease, { kind: "done" })
    expect(await queue.depth(lane)).toBe(0)
  })

  it("refuses a lease from before a crash", async (tested, harness) => {
    await tested.queue.enqueue([delivery((await tested.cursors(1))[0]!)])
    const old = await takeOne(tested.queue)
    const { queue } = await harness.crash(tested)
    await harness.elapse(leaseMs * 1.5)
    const current = await takeOne(queue)
    await expect(queue.end(old, { kind: "done" })).rejects.toThrow(LeaseLostError)
    await queue.end(current, { kind: "done" })
  })

  it("does not give again what was done, not after a crash either", async (tested, harness) => {
    const [a, b] = await tested.cursors(2)
    await tested.queue.enqueue([delivery(a!), delivery(b!)])
    const [first] = await take(tested.queue, 1)
    await tested.queue.end(first!, { kind: "done" })
    const { queue } = await harness.crash(tested)
    await harness.elapse(leaseMs * 1.5)
    expect(ids(await take(queue))).toEqual([delivery(b!).id])
  })
}

async function refused(queue: DeliveryQueue, lease: Lease): Promise<void> {
  await expect(queue.extend(lease, leaseMs)).rejects.toThrow(LeaseLostError)
  await expect(queue.end(lease, { kind: "done" })).rejects.toThrow(LeaseLostError)
  await expect(queue.end(lease, { kind: "retry", delayMs: 1 })).rejects.toThrow(LeaseLostError)
  await expect(queue.end(lease, { kind: "dead", letter: letter(lease.delivery) })).rejects.toThrow(LeaseLostError)
  await expect(queue.end(lease, { kind: "release", delayMs: 0 })).rejects.toThrow(LeaseLostError)
  await expect(queue.end(lease, { kind: "hold" })).rejects.toThrow(LeaseLostError)
}

/** Listens; `next` is the next lane, `stop` ends it. */
function listen(queue: DeliveryQueue) {
  const stop = new AbortController()
  const heard = queue.lanes(stop.signal)[Symbol.asyncIterator]()
  return {
    next: async () => (await heard.next()).value as string | undefined,
    async stop() {
      stop.abort()
      expect((await heard.next()).done).toBe(true)
    },
  }
}

function lanes(it: Declare<QueueUnderTest>): void {
  it("counts and leases each lane for itself, tenants too", async ({ queue, cursors }) => {
    const [a, b] = await cursors(2)
    const all = [
      delivery(a!),
      delivery(b!),
      delivery(a!, { trigger: "t2", destination: "d2" }),
      delivery(a!, { tenant: "globex" }),
    ]
    await queue.enqueue(all)
    expect(await Promise.all([lane, "acme/d2", "globex/d1"].map((name) => queue.depth(name)))).toEqual([2, 1, 1])
    expect(ids(await take(queue, 10, "acme/d2"))).toEqual([all[2]!.id])
    expect((await take(queue, 10, "globex/d1")).map((lease) => lease.delivery)).toEqual([all[3]])
    expect(ids(await take(queue))).toEqual([all[0]!.id, all[1]!.id])
  })

  it("announces a lane that has due work, also to who comes later", async ({ queue, cursors }) => {
    const d = delivery((await cursors(1))[0]!)
    const early = listen(queue)
    const first = early.next()
    await queue.enqueue([d])
    expect(await first).toBe(laneOf(d))
    const late = listen(queue)
    expect(await late.next()).toBe(laneOf(d))
    await early.stop()
    await late.stop()
  })

  it("announces again when work comes to a lane that was found empty", async ({ queue, cursors }) => {
    const [a, b, c] = await cursors(3)
    const listener = listen(queue)
    const first = listener.next()
    await queue.enqueue([delivery(a!)])
    expect(await first).toBe(lane)
    await queue.end((await take(queue, 5))[0]!, { kind: "done" })
    await queue.enqueue([delivery(b!)])
    expect(await listener.next()).toBe(lane)
    const [lease] = await take(queue, 1)
    expect(await take(queue, 1)).toEqual([])
    await queue.enqueue([delivery(c!)])
    expect(await listener.next()).toBe(lane)
    await queue.end(lease!, { kind: "done" })
    await listener.stop()
  })

  it("announces again when work comes to a lane of which all was leased", async ({ queue, cursors }) => {
    const [a, b, c] = await cursors(3)
    const listener = listen(queue)
    const first = listener.next()
    await queue.enqueue([delivery(a!), delivery(b!)])
    expect(await first).toBe(lane)
    expect(await take(queue, 2)).toHaveLength(2)
    await queue.enqueue([delivery(c!)])
    expect(await listener.next()).toBe(lane)
    await listener.stop()
  })

  it("announces a lane whose parked delivery comes due, whose lease lapses, and that gets one back", async (tested, {
    elapse,
  }) => {
    const { queue } = tested
    const listener = listen(queue)
    const first = listener.next()
    await queue.enqueue([delivery((await tested.cursors(1))[0]!)])
    expect(await first).toBe(lane)
    await queue.end(await takeOne(queue), { kind: "retry", delayMs: 1_000 })
    await elapse(1_100)
    expect(await listener.next()).toBe(lane)
    await takeOne(queue)
    await elapse(leaseMs * 1.5)
    expect(await listener.next()).toBe(lane)
    await queue.end(await takeOne(queue), { kind: "release", delayMs: 0 })
    expect(await listener.next()).toBe(lane)
    await queue.end(await takeOne(queue), { kind: "hold" })
    await queue.resume("acme", "t1", "i1")
    expect(await listener.next()).toBe(lane)
    await listener.stop()
  })

  it("announces lanes after a crash", async (tested, harness) => {
    const [a] = await tested.cursors(1)
    await tested.queue.enqueue([delivery(a!), delivery(a!, { trigger: "t2", destination: "d2" })])
    const { queue } = await harness.crash(tested)
    const listener = listen(queue)
    expect([await listener.next(), await listener.next()].toSorted()).toEqual([lane, "acme/d2"])
    await listener.stop()
  })

  it("announces each of many lanes, and loses none that a slow listener has yet to hear", async ({
    queue,
    cursors,
  }) => {
    const [a, b] = await cursors(2)
    const names = Array.from({ length: 50 }, (_, i) => `d${i}`)
    const listener = listen(queue)
    const first = listener.next()
    for (const cursor of [a!, b!]) {
      await queue.enqueue(names.map((destination) => delivery(cursor, { trigger: destination, destination })))
    }
    const heard = new Set([await first])
    while (heard.size < names.length) heard.add(await listener.next())
    expect([...heard].toSorted()).toEqual(names.map((name) => `acme/${name}`).toSorted())
    await listener.stop()
  })

  it("delivers all of a lane with more due than it would hold in memory, oldest first", async ({ queue, cursors }) => {
    const all = (await cursors(5_000)).map((cursor) => delivery(cursor))
    for (let i = 0; i < all.length; i += 1_000) await queue.enqueue(all.slice(i, i + 1_000))
    expect(await queue.depth(lane)).toBe(5_000)
    const seen: string[] = []
    for (;;) {
      const leases = await take(queue, 300)
      if (leases.length === 0) break
      seen.push(...ids(leases))
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
    }
    expect(seen).toEqual(all.map((d) => d.id))
    expect(await queue.depth(lane)).toBe(0)
  })
}
