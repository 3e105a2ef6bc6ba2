import { expect } from "vitest"
import type { Lease } from "../../core/deliveries.ts"
import { LeaseLostError } from "../../core/errors.ts"
import type { Declare } from "./harness.ts"
import { delivery, ids, lane, leaseMs, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

const nameOf = ({ token, delivery }: Lease) => ({ token, id: delivery.id })
const never = () => new AbortController().signal

/** Leasing from outside the loops, from whichever process. */
export function queueAnywhere(it: Declare<QueueUnderTest>): void {
  it("gives a delivery once, to loops or to workers, and takes its end from either", async ({ queue, cursors }) => {
    const { anywhere } = queue
    await queue.enqueue((await cursors(4)).map((cursor) => delivery(cursor)))
    const [two, others, none] = await Promise.all([
      anywhere.lease({ lane, max: 2, leaseMs }),
      take(queue, 10),
      anywhere.lease({ lane: "acme/nothing", max: 2, leaseMs }),
    ])
    expect(new Set([...ids(two), ...ids(others)]).size).toBe(4)
    expect([two.length, others.length, none]).toEqual([2, 2, []])
    for (const lease of two) await queue.end(lease, { kind: "done" })
    for (const lease of others) await anywhere.end(lease, { kind: "done" })
    await expect(anywhere.end(two[0]!, { kind: "done" })).rejects.toThrow(LeaseLostError)
    expect(await queue.depth(lane)).toBe(0)
  })

  it("finds leases by their tokens while they live, and those of their lane alone", async (tested, { elapse }) => {
    const { queue, cursors } = tested
    const { anywhere } = queue
    await queue.enqueue((await cursors(3)).map((cursor) => delivery(cursor)))
    const leases = await anywhere.lease({ lane, max: 3, leaseMs })
    const [a, b, c] = leases.map(nameOf)
    const none = { token: 0, id: "none" }
    await elapse(500)
    await anywhere.end(leases[0]!, { kind: "done" })
    await anywhere.extend(leases[1]!, 10 * leaseMs)
    const found = await anywhere.leased(lane, [c!, a!, b!, none])
    expect(found.map((lease) => lease?.token)).toEqual([c!.token, undefined, b!.token, undefined])
    expect(found[0]).toMatchObject(leases[2]!)
    expect(found[0]!.heldMs).toBeGreaterThanOrEqual(500)
    expect(found[0]!.leftMs).toBeLessThanOrEqual(leaseMs - 500)
    expect(found[2]!.leftMs).toBeGreaterThan(leaseMs)
    expect(found[2]!.leftMs).toBeLessThanOrEqual(10 * leaseMs)
    expect((await anywhere.leased(lane, [b!]))[0]!.begunAt).toBe(found[2]!.begunAt)
    expect(await anywhere.leased("other/d1", [b!, c!])).toEqual([undefined, undefined])
    await elapse(leaseMs)
    expect((await anywhere.leased(lane, [b!, c!])).map((lease) => lease?.token)).toEqual([b!.token, undefined])
  })

  it("refuses a lease that says another lane than it is of", async ({ queue, cursors }) => {
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    const lease = await takeOne(queue)
    for (const other of [{ tenant: "other" }, { destination: "d2" }]) {
      const forged = { ...lease, delivery: { ...lease.delivery, ...other } }
      await expect(queue.anywhere.end(forged, { kind: "done" })).rejects.toThrow(LeaseLostError)
      await expect(queue.anywhere.extend(forged, leaseMs)).rejects.toThrow(LeaseLostError)
    }
    await queue.end(lease, { kind: "done" })
  })

  it("says when a lane comes to be due, for as long as nobody found it empty", async (tested, { elapse }) => {
    const { queue, cursors } = tested
    const { anywhere } = queue
    const [a, b] = (await cursors(2)).map((cursor) => delivery(cursor))
    expect(await take(queue)).toEqual([])
    const due = [anywhere.due(lane, never()), anywhere.due(lane, never())]
    await queue.enqueue([a!])
    await Promise.all(due)
    await anywhere.due(lane, never())
    const lease = await takeOne(queue)
    const later = anywhere.due(lane, never())
    await queue.end(lease, { kind: "retry", delayMs: 1_000 })
    await elapse(1_000)
    await later
    const again = await takeOne(queue)
    const lapsed = anywhere.due(lane, never())
    await elapse(leaseMs)
    await lapsed
    expect(ids(await take(queue))).toEqual([again.delivery.id])
    const elsewhere = anywhere.due("acme/d2", never())
    await queue.enqueue([{ ...b!, destination: "d2" }])
    await elsewhere
  })

  it("waits no longer than it is asked to", async ({ queue }) => {
    const stop = new AbortController()
    const waiting = queue.anywhere.due(lane, stop.signal)
    stop.abort()
    await waiting
    await queue.anywhere.due(lane, stop.signal)
  })
}
