import { expect } from "vitest"
import { foreverMs, type Lease } from "../../core/deliveries.ts"
import { LeaseLostError } from "../../core/errors.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Declare } from "./harness.ts"
import { delivery, ids, lane, leaseMs, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

const nameOf = ({ token, delivery }: Lease) => ({ token, id: delivery.id })
const keep = (queue: DeliveryQueue, leases: readonly Lease[]) => queue.anywhere.keep(lane, leases.map(nameOf))
const stateOf = async (queue: DeliveryQueue, { delivery }: Lease) => (await queue.open(delivery))?.state

/** Leases so many that never lapse. */
async function kept({ queue, cursors }: QueueUnderTest, count: number, orderKey?: string): Promise<readonly Lease[]> {
  const made = (await cursors(count)).map((cursor) => delivery(cursor, orderKey === undefined ? {} : { orderKey }))
  await queue.enqueue(made)
  const leases = await take(queue, count)
  expect(await keep(queue, leases)).toEqual(leases.map(() => true))
  return leases
}

/** Leases that never lapse, and how they end all the same. */
export function queueKept(it: Declare<QueueUnderTest>): void {
  it("keeps a lease over its time and over a crash, until it is ended by the one that it was", async (tested, harness) => {
    const leases = await kept(tested, 3)
    await harness.elapse(3 * leaseMs)
    expect(await take(tested.queue)).toEqual([])
    const next = await harness.crash(tested)
    const { queue } = next
    expect(await take(queue)).toEqual([])
    expect(await queue.depth(lane)).toBe(3)
    const { deliveries } = await queue.openDeliveries({ tenant: "acme", state: "leased", limit: 10 })
    expect(deliveries.map(({ delivery }) => delivery.id)).toEqual(ids(leases))
    const found = await queue.anywhere.leased(lane, leases.map(nameOf))
    expect(found).toMatchObject(leases.map((lease) => ({ ...lease, leftMs: foreverMs })))
    expect(found[0]!.heldMs).toBeGreaterThanOrEqual(3 * leaseMs)
    const [a, b, c] = leases
    const forged = { ...a!, token: a!.token + 1_000 }
    await expect(queue.anywhere.end(forged, { kind: "done" })).rejects.toThrow(LeaseLostError)
    await queue.anywhere.extend(a!, leaseMs)
    await queue.anywhere.end(a!, { kind: "done" })
    await expect(queue.anywhere.end(a!, { kind: "done" })).rejects.toThrow(LeaseLostError)
    await queue.anywhere.end(b!, { kind: "dead", letter: letter(b!.delivery) })
    await queue.anywhere.end(c!, { kind: "retry", delayMs: 100 })
    await harness.elapse(200)
    expect(await takeOne(queue)).toMatchObject({ delivery: c!.delivery, attempt: 2, attemptsForgiven: 0 })
    expect((await queue.deadLetters({ tenant: "acme", limit: 10 })).map(({ id }) => id)).toEqual([b!.delivery.id])
    expect(await queue.depth(lane)).toBe(1)
  })

  it("knows one that was carried from elsewhere from another lease of the same token", async ({ queue, cursors }) => {
    const [a, b, c] = (await cursors(3)).map((cursor) => delivery(cursor))
    await queue.enqueue([a!])
    const first = await takeOne(queue)
    await queue.enqueue([b!])
    const token = first.token + 1
    const state = { attempts: 0, attemptsForgiven: 0, firstDueAt: 0, dueAt: 0, held: false }
    await queue.carry([{ kind: "open", delivery: c!, ...state, kept: token }])
    const second = await takeOne(queue)
    expect(second).toMatchObject({ delivery: b, token })
    const carried = { ...second, delivery: c! }
    const found = await queue.anywhere.leased(lane, [nameOf(second), nameOf(carried)])
    expect(found.map((each) => each?.delivery.id)).toEqual([b!.id, c!.id])
    await queue.anywhere.end(carried, { kind: "done" })
    await queue.anywhere.end(second, { kind: "done" })
    expect(await queue.depth(lane)).toBe(1)
  })

  it("keeps no lease that is over, or of another lane", async ({ queue, cursors }, { elapse }) => {
    await queue.enqueue((await cursors(2)).map((cursor) => delivery(cursor)))
    const [a, b] = await take(queue)
    await queue.end(a!, { kind: "done" })
    expect(await queue.anywhere.keep("acme/d2", [nameOf(b!)])).toEqual([false])
    expect(await keep(queue, [a!, b!, { ...b!, token: b!.token + 1_000 }])).toEqual([false, true, false])
    expect(await keep(queue, [b!])).toEqual([true])
    await elapse(leaseMs)
    expect(await take(queue)).toEqual([])
  })

  it("unlocks what is leased, for ever or not, and forgives the attempt; over a crash too", async (tested, harness) => {
    const forever = await kept(tested, 2)
    const [other] = (await tested.cursors(1)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([other!])
    const timed = await takeOne(tested.queue)
    const asked = [forever[1]!, timed].map(({ delivery }) => delivery.id)
    expect((await tested.queue.anywhere.unlock(lane, [...asked, "none", asked[0]!])).toSorted()).toEqual(asked)
    expect(await tested.queue.anywhere.unlock(lane, asked)).toEqual([])
    expect(await tested.queue.anywhere.unlock(lane, [])).toEqual([])
    for (const lease of [forever[1]!, timed])
      await expect(tested.queue.anywhere.end(lease, { kind: "done" })).rejects.toThrow(LeaseLostError)
    const { queue } = await harness.crash(tested)
    const again = await take(queue)
    expect(ids(again)).toEqual(asked)
    expect(again).toMatchObject([
      { attempt: 2, attemptsForgiven: 1 },
      { attempt: 2, attemptsForgiven: 1 },
    ])
    expect(await stateOf(queue, forever[0]!)).toBe("leased")
    for (const lease of [...again, forever[0]!]) await queue.anywhere.end(lease, { kind: "done" })
    expect(await queue.depth(lane)).toBe(0)
  })

  it("gives one back as if it had not been leased, holds it, and drops it with its trigger", async (tested, harness) => {
    const [back, held, dropped] = await kept(tested, 3)
    await tested.queue.anywhere.end(back!, { kind: "release", delayMs: 0 })
    await tested.queue.anywhere.end(held!, { kind: "hold" })
    expect(await takeOne(tested.queue)).toMatchObject({ delivery: back!.delivery, attempt: 1, attemptsForgiven: 0 })
    expect(await stateOf(tested.queue, held!)).toBe("held")
    const { queue } = await harness.crash(tested)
    expect(await queue.resume("acme", "t1", "i1")).toBe(1)
    expect(ids(await take(queue))).toEqual(ids([back!, held!]))
    expect(await queue.move({ tenant: "acme", trigger: "t1", incarnation: "i1" }, "d2")).toBe(0)
    expect(await stateOf(queue, dropped!)).toBe("leased")
    expect(await queue.drop("acme", "t1", "i1")).toBe(3)
    expect(await queue.depth(lane)).toBe(0)
    expect(await queue.anywhere.unlock(lane, [dropped!.delivery.id])).toEqual([])
  })

  it("keeps back those of its order key, also one that is redriven before it, and over a crash", async (tested, harness) => {
    const { queue, cursors } = tested
    const made = (await cursors(3)).map((cursor) => delivery(cursor, { orderKey: "k" }))
    await queue.enqueue(made)
    const first = await takeOne(queue)
    await queue.end(first, { kind: "dead", letter: letter(first.delivery) })
    const second = await takeOne(queue)
    expect(await keep(queue, [second])).toEqual([true])
    expect(await queue.redrive("acme", first.delivery.id)).toBe(true)
    expect(await take(queue)).toEqual([])
    const next = (await harness.crash(tested)).queue
    expect(await take(next)).toEqual([])
    await next.anywhere.end(second, { kind: "done" })
    const again = await takeOne(next)
    expect(again.delivery.id).toBe(first.delivery.id)
    await next.end(again, { kind: "done" })
    const third = await takeOne(next)
    expect(third.delivery.id).toBe(made[2]!.id)
    expect(await keep(next, [third])).toEqual([true])
    expect(await next.anywhere.unlock(lane, [third.delivery.id])).toEqual([third.delivery.id])
    expect(ids(await take(next))).toEqual([third.delivery.id])
  })
}
