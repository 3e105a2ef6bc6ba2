import { expect } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import { type Delivery, lanesOf, replayedId } from "../../core/delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Declare } from "./harness.ts"
import { delivery, ids, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

/** So many deliveries of each of these order keys, in turn: a, b, a, b. */
async function ordered(
  { cursors }: { cursors(count: number): Promise<readonly Cursor[]> },
  keys: readonly string[],
  each: number,
): Promise<readonly Delivery[]> {
  const places = await cursors(keys.length * each)
  return places.map((cursor, i) => delivery(cursor, { orderKey: keys[i % keys.length]! }))
}

const of = (all: readonly Delivery[], key: string) => all.filter(({ orderKey }) => orderKey === key).map(({ id }) => id)

/** Leases and ends as done until nothing is due; answers the ids in the order of leasing, and how many were leased at once. */
async function deliverAll(queue: DeliveryQueue, max = 100): Promise<{ taken: string[]; most: number }> {
  const taken: string[] = []
  let most = 0
  for (let leases = await take(queue, max); leases.length > 0; leases = await take(queue, max)) {
    taken.push(...ids(leases))
    most = Math.max(most, leases.length)
    await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
  }
  return { taken, most }
}

/** Deliveries of one order key: one at a time, in the order of their events, whatever becomes of one. */
export function queueOrder(it: Declare<QueueUnderTest>): void {
  it("leases one of an order key at a time, oldest event first, and other keys beside it", async (tested) => {
    const all = await ordered(tested, ["a", "b", "c"], 5)
    const loose = (await tested.cursors(2)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([...all, ...loose])
    const first = await take(tested.queue)
    expect(new Set(ids(first))).toEqual(new Set([...all.slice(0, 3), ...loose].map(({ id }) => id)))
    expect(await take(tested.queue)).toEqual([])
    await tested.queue.end(first.find(({ delivery }) => delivery.orderKey === "b")!, { kind: "done" })
    expect(ids([await takeOne(tested.queue)])).toEqual([of(all, "b")[1]])
  })

  it("keeps a key behind one that waits for its retry, and no other", async (tested, { elapse }) => {
    const { queue } = tested
    const all = await ordered(tested, ["a", "b"], 3)
    await queue.enqueue(all)
    const [a, b] = await take(queue)
    await queue.end(a!, { kind: "retry", delayMs: 2_000 })
    await queue.end(b!, { kind: "done" })
    expect((await deliverAll(queue)).taken).toEqual(of(all, "b").slice(1))
    await elapse(2_100)
    expect(await deliverAll(queue)).toEqual({ taken: of(all, "a"), most: 1 })
  })

  it("keeps a key behind a lease that lapsed, and one that was given back or held", async (tested, { elapse }) => {
    const { queue } = tested
    const all = await ordered(tested, ["a"], 2)
    await queue.enqueue(all)
    await takeOne(queue)
    await elapse(2_500)
    await queue.end(await takeOne(queue), { kind: "release", delayMs: 0 })
    await queue.end(await takeOne(queue), { kind: "hold" })
    expect(await take(queue)).toEqual([])
    expect(await queue.resume("acme", "t1", "i1")).toBe(1)
    expect((await deliverAll(queue)).taken).toEqual(of(all, "a"))
  })

  it("goes on behind a dead letter, and takes it first when it is redriven", async (tested) => {
    const { queue } = tested
    const all = await ordered(tested, ["a"], 3)
    await queue.enqueue(all)
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(all[0]!) })
    const second = await takeOne(queue)
    expect(second.delivery).toEqual(all[1])
    expect(await queue.redrive("acme", all[0]!.id)).toBe(true)
    expect(await take(queue), "one of the key is under way").toEqual([])
    await queue.end(second, { kind: "done" })
    expect((await deliverAll(queue)).taken).toEqual([all[0]!.id, all[2]!.id])
  })

  it("waits behind a dead letter that holds its key, until it is redriven or discarded", async (tested, { elapse }) => {
    const { queue } = tested
    const all = await ordered(tested, ["a", "b"], 3)
    await queue.enqueue(all.slice(0, 4))
    for (const lease of await take(queue)) {
      await queue.end(lease, { kind: "dead", letter: letter(lease.delivery), holdsKey: true })
    }
    await queue.enqueue(all.slice(4))
    await elapse(10_000)
    expect(await take(queue)).toEqual([])
    expect(await queue.redrive("acme", all[0]!.id)).toBe(true)
    expect((await deliverAll(queue)).taken).toEqual(of(all, "a"))
    expect(await queue.discard("acme", all[1]!.id)).toBe(true)
    expect((await deliverAll(queue)).taken).toEqual(of(all, "b").slice(1))
  })

  it("goes on behind a dead letter that held its key and is redriven as another delivery, of that key or of another", async (tested) => {
    const { queue } = tested
    const all = await ordered(tested, ["a"], 6)
    await queue.enqueue(all.slice(0, 3))
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(all[0]!), holdsKey: true })
    expect(await take(queue)).toEqual([])
    expect(await queue.redrive("acme", all[0]!.id, all[4]!)).toBe(true)
    const [first, ...others] = await take(queue)
    expect([first!.delivery.id, others]).toEqual([all[1]!.id, []])
    await queue.end(first!, { kind: "dead", letter: letter(all[1]!), holdsKey: true })
    const { orderKey: _, ...free } = all[5]!
    expect(await queue.redrive("acme", all[1]!.id, free)).toBe(true)
    const { taken, most } = await deliverAll(queue)
    expect(taken.filter((id) => id !== free.id)).toEqual([all[2]!.id, all[4]!.id])
    expect([taken.length, most]).toEqual([3, 2])
  })

  it("delivers what is put back while the last one of its key ends", async (tested) => {
    const { queue } = tested
    const [first, second, third] = await ordered(tested, ["a"], 3)
    await queue.enqueue([first!, second!])
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(first!) })
    const ending = queue.end(await takeOne(queue), { kind: "done" })
    const [redriven] = await Promise.all([queue.redrive("acme", first!.id, third), ending])
    expect(redriven).toBe(true)
    expect((await deliverAll(queue)).taken).toEqual([third!.id])
  })

  it("redrives many of one key in the order of their events", async (tested) => {
    const { queue } = tested
    const all = await ordered(tested, ["a"], 6)
    await queue.enqueue(all)
    for (const one of all) await queue.end(await takeOne(queue), { kind: "dead", letter: letter(one) })
    for (const one of [3, 1, 5, 0, 4, 2]) expect(await queue.redrive("acme", all[one]!.id)).toBe(true)
    const { taken, most } = await deliverAll(queue)
    // The one that was redriven first may have been on its way before the others came.
    expect(taken.filter((id) => id !== all[3]!.id)).toEqual(of(all, "a").filter((id) => id !== all[3]!.id))
    expect(most).toBe(1)
  })

  it("keeps the order through a crash", async (tested, { crash, elapse }) => {
    const all = await ordered(tested, ["a", "b", "c"], 3)
    await tested.queue.enqueue(all)
    const [a, b] = await take(tested.queue)
    await tested.queue.end(a!, { kind: "retry", delayMs: 1_000 })
    await tested.queue.end(b!, { kind: "dead", letter: letter(all[1]!), holdsKey: true })
    const again = (await crash(tested)).queue
    await elapse(3_000)
    const { taken } = await deliverAll(again)
    expect(of(all, "a").every((id, i, own) => i === 0 || taken.indexOf(own[i - 1]!) < taken.indexOf(id))).toBe(true)
    expect(taken).toHaveLength(6)
    expect(taken).not.toContain(all[1]!.id)
    expect(await again.redrive("acme", all[1]!.id)).toBe(true)
    expect((await deliverAll(again)).taken).toEqual(of(all, "b"))
  })

  it("has a turn for each of more keys than it holds in memory", async (tested) => {
    const keys = Array.from({ length: 1_500 }, (_, i) => `key-${i}`)
    const all = await ordered(tested, keys, 3)
    for (let i = 0; i < all.length; i += 500) await tested.queue.enqueue(all.slice(i, i + 500))
    const { taken } = await deliverAll(tested.queue, 200)
    expect(taken).toHaveLength(all.length)
    const place = new Map(taken.map((id, i) => [id, i]))
    for (const [i, { id }] of all.entries()) {
      if (i >= keys.length) expect(place.get(id)).toBeGreaterThan(place.get(all[i - keys.length]!.id)!)
    }
  })

  it("lets those behind it go when a delivery is dropped with its trigger, and orders none of another one", async (tested) => {
    const { queue, cursors } = tested
    const places = await cursors(4)
    const old = places.slice(0, 2).map((cursor) => delivery(cursor, { incarnation: "i0", orderKey: "a" }))
    const now = places.slice(2).map((cursor) => delivery(cursor, { orderKey: "a" }))
    await queue.enqueue([...old, ...now])
    expect(new Set(ids(await take(queue)))).toEqual(new Set([old[0]!.id, now[0]!.id]))
    expect(await queue.drop("acme", "t1", "i0")).toBe(2)
    expect(await take(queue)).toEqual([])
  })

  it("tells of one that is behind another that it waits", async (tested) => {
    const all = await ordered(tested, ["a"], 2)
    await tested.queue.enqueue(all)
    expect((await tested.queue.open(all[0]!))?.state).toBe("due")
    expect((await tested.queue.open(all[1]!))?.state).toBe("waiting")
    const { deliveries } = await tested.queue.openDeliveries({ tenant: "acme", limit: 10, state: "waiting" })
    expect(deliveries.map(({ delivery }) => delivery)).toEqual([all[1]])
  })

  it("keeps what is replayed in a lane of its own, which moving leaves alone", async ({ queue, cursors }) => {
    const [cursor] = await cursors(1)
    const fresh = delivery(cursor!, { orderKey: "a" })
    const again = { ...fresh, id: replayedId(cursor!, fresh, "rp-1"), replay: "rp-1" }
    await queue.enqueue([fresh, again])
    const lanes = lanesOf(fresh)
    expect(await Promise.all(lanes.map((lane) => queue.depth(lane)))).toEqual([1, 1])
    const listed = await queue.openDeliveries({ tenant: "acme", destination: "d1", limit: 10 })
    expect(listed.deliveries.map(({ delivery }) => delivery)).toEqual([fresh, again])
    expect(await queue.move({ tenant: "acme", trigger: "t1", incarnation: "i1" }, "d2")).toBe(1)
    const lease = await takeOne(queue, lanes[1])
    expect(lease.delivery).toEqual(again)
    await queue.end(lease, { kind: "dead", letter: letter(again) })
    expect(await queue.redrive("acme", again.id)).toBe(true)
    expect((await takeOne(queue, lanes[1])).delivery).toEqual(again)
  })

  it("gives ordered keys their turns beside more that is in no order than it holds in memory", async (bed) => {
    const all = await ordered(bed, ["a", "b"], 4)
    const loose = (await bed.cursors(1_500)).map((cursor) => delivery(cursor))
    await bed.queue.enqueue(all)
    for (let i = 0; i < loose.length; i += 500) await bed.queue.enqueue(loose.slice(i, i + 500))
    const taken: string[] = []
    for (let round = 0; round < 30; round++) {
      for (const lease of await take(bed.queue, 16)) {
        taken.push(lease.delivery.id)
        await bed.queue.end(lease, { kind: "done" })
      }
    }
    expect(taken).toEqual(expect.arrayContaining(all.map(({ id }) => id)))
  })
}
