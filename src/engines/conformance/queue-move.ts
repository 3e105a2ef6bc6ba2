import { expect } from "vitest"
import type { Delivery } from "../../core/delivery.ts"
import type { Declare } from "./harness.ts"
import { delivery, ids, lane, leaseMs, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

const of = { tenant: "acme", trigger: "t1", incarnation: "i1" }
const at = (d: Delivery, destination: string): Delivery => ({ ...d, destination })
const names = Array.from({ length: 8 }, (_, i) => `to-${i}`)

/** A trigger's open deliveries, brought to another destination. */
export function queueMove(it: Declare<QueueUnderTest>): void {
  it("moves what is due, parked and held of a trigger: due at once, with no attempts made", async (tested, harness) => {
    const { queue, cursors } = tested
    const all = (await cursors(6)).map((cursor) => delivery(cursor))
    const others = [{ trigger: "t2" }, { incarnation: "i2" }, { tenant: "globex" }].map((parts) =>
      delivery(all[0]!.cursor, parts),
    )
    await queue.enqueue([...all, ...others])
    const mine = (await take(queue, 20)).filter((lease) => all.some(({ id }) => id === lease.delivery.id))
    const [parked, held, leased, dead, ...rest] = mine
    const rested = (await take(queue, 20)).map((lease) => queue.end(lease, { kind: "release", delayMs: 0 }))
    await Promise.all([...rested, ...rest.map((lease) => queue.end(lease, { kind: "release", delayMs: 0 }))])
    await queue.end(parked!, { kind: "retry", delayMs: 3_600_000 })
    await queue.end(held!, { kind: "hold" })
    await queue.end(dead!, { kind: "dead", letter: letter(dead!.delivery) })
    expect(await queue.move(of, "d2")).toBe(4)
    expect(await queue.move(of, "d2")).toBe(0)
    expect(await queue.depth("acme/d2")).toBe(4)
    expect(await queue.open(parked!.delivery)).toBeUndefined()
    expect(await queue.open(at(parked!.delivery, "d2"))).toMatchObject({ state: "due", attempts: 0 })
    expect(await queue.open(leased!.delivery)).toMatchObject({ state: "leased" })
    expect(await queue.deadLetter("acme", dead!.delivery.id)).toMatchObject({ destination: "d1" })
    await queue.end(leased!, { kind: "done" })
    const there = await take(queue, 20, "acme/d2")
    const moved = [parked!, held!, ...rest].map((lease) => at(lease.delivery, "d2"))
    expect(there.map((lease) => lease.delivery)).toEqual(moved.sort((a, b) => (a.id < b.id ? -1 : 1)))
    for (const lease of there) {
      expect(lease).toMatchObject({ attempt: 1, attemptsForgiven: 0 })
      await queue.end(lease, { kind: "done" })
    }
    expect(await queue.resume("acme", "t1", "i1")).toBe(0)
    expect(await queue.depth("acme/d2")).toBe(0)
    const again = await harness.crash(tested)
    await harness.elapse(leaseMs * 2)
    expect(ids(await take(again.queue, 20)).sort()).toEqual([others[0]!.id, others[1]!.id].sort())
    expect((await takeOne(again.queue, "globex/d1")).delivery).toEqual(others[2])
  })

  it("moves to whatever lane, keeps what it moved through a crash, and wakes the lane", async (tested, harness) => {
    const all = (await tested.cursors(names.length)).map((cursor, i) => delivery(cursor, { trigger: `t${i}` }))
    await tested.queue.enqueue(all)
    const stop = new AbortController()
    const woken = new Set<string>()
    const listening = (async () => {
      for await (const lane of tested.queue.lanes(stop.signal)) {
        woken.add(lane)
        if (names.every((name) => woken.has(`acme/${name}`))) return
      }
    })()
    const moving = all.map((d, i) => tested.queue.move({ ...of, trigger: d.trigger }, names[i]!))
    expect(await Promise.all(moving)).toEqual(names.map(() => 1))
    await listening
    stop.abort()
    expect(await tested.queue.depth(lane)).toBe(0)
    const { queue } = await harness.crash(tested)
    expect(await queue.depth(lane)).toBe(0)
    for (const [i, name] of names.entries()) {
      expect((await takeOne(queue, `acme/${name}`)).delivery).toEqual(at(all[i]!, name))
    }
  })

  it("moves there and back at the same time, and loses and doubles nothing", async ({ queue, cursors }) => {
    const there = (await cursors(20)).map((cursor) => delivery(cursor, { destination: "to-1" }))
    const back = there.map(({ cursor }) => delivery(cursor, { trigger: "t2", destination: "to-2" }))
    await queue.enqueue([...there, ...back])
    await Promise.all([queue.move(of, "to-2"), queue.move({ ...of, trigger: "t2" }, "to-1")])
    expect(ids(await take(queue, 50, "acme/to-2"))).toEqual(there.map(({ id }) => id))
    expect(ids(await take(queue, 50, "acme/to-1"))).toEqual(back.map(({ id }) => id))
  })

  it("moves very many", async (tested, harness) => {
    const cursors = await tested.cursors(3_000)
    await tested.queue.enqueue(cursors.map((cursor) => delivery(cursor)))
    await tested.queue.enqueue(cursors.map((cursor) => delivery(cursor, { trigger: "t2" })))
    expect(await tested.queue.move(of, "d2")).toBe(3_000)
    expect([await tested.queue.depth(lane), await tested.queue.depth("acme/d2")]).toEqual([3_000, 3_000])
    const { queue } = await harness.crash(tested)
    expect([await queue.depth(lane), await queue.depth("acme/d2")]).toEqual([3_000, 3_000])
    expect(ids(await take(queue, 5_000, "acme/d2"))).toEqual(cursors.map((cursor) => delivery(cursor).id))
  })
}
