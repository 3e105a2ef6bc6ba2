import { expect } from "vitest"
import { unendedMs } from "../../core/deliveries.ts"
import type { Declare } from "./harness.ts"
import { delivery, lane, leaseMs, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

const longMs = 4 * unendedMs

/** What becomes of attempts whose process dies. */
export function queueUnended(it: Declare<QueueUnderTest>): void {
  it("counts an attempt that was under way when its process died, and says so", async (tested, harness) => {
    const { queue, cursors } = tested
    await queue.enqueue((await cursors(4)).map((cursor) => delivery(cursor)))
    const [running, released, retried, held] = await take(queue, 4)
    queue.begun([running!, released!, retried!, held!])
    await harness.elapse(longMs)
    const open = await queue.openDeliveries({ tenant: "acme", limit: 10 })
    expect(open.deliveries.map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0])
    await queue.end(released!, { kind: "release", delayMs: 0 })
    await queue.end(retried!, { kind: "retry", delayMs: 0 })
    await queue.end(held!, { kind: "hold" })
    const next = (await harness.crash(tested)).queue
    await next.resume("acme", "t1", "i1")
    const leases = await take(next)
    const found = new Map(leases.map((lease) => [lease.delivery.id, [lease.attempt, lease.unended]]))
    expect(found.get(running!.delivery.id)).toEqual([2, true])
    expect(found.get(released!.delivery.id)).toEqual([1, undefined])
    expect(found.get(retried!.delivery.id)).toEqual([2, undefined])
    expect(found.get(held!.delivery.id)).toEqual([1, undefined])
    expect(leases.map(({ attemptsForgiven }) => attemptsForgiven)).toEqual([0, 0, 0, 0])
  })

  it("counts no attempt that was leased and has not begun", async (tested, harness) => {
    await tested.queue.enqueue([delivery((await tested.cursors(1))[0]!)])
    await takeOne(tested.queue)
    await harness.elapse(longMs)
    const lease = await takeOne((await harness.crash(tested)).queue)
    expect([lease.attempt, lease.unended]).toEqual([1, undefined])
  })

  it("counts one more with each death, until an attempt ends", async (tested, harness) => {
    await tested.queue.enqueue([delivery((await tested.cursors(1))[0]!)])
    let current = tested
    for (let death = 1; death <= 3; death++) {
      current.queue.begun([await takeOne(current.queue)])
      await harness.elapse(longMs)
      current = await harness.crash(current)
    }
    const lease = await takeOne(current.queue)
    expect([lease.attempt, lease.unended]).toEqual([4, true])
    await current.queue.end(lease, { kind: "retry", delayMs: 50 })
    await harness.elapse(100)
    const again = await takeOne(current.queue)
    expect([again.attempt, again.unended]).toEqual([5, undefined])
    current.queue.begun([again])
    await harness.elapse(longMs)
    const { queue } = await harness.crash(current)
    const last = await takeOne(queue)
    expect([last.attempt, last.unended]).toEqual([6, true])
    await queue.end(last, { kind: "done" })
    expect(await queue.depth(lane)).toBe(0)
  })

  it("counts what a worker has leased from anywhere", async (tested, harness) => {
    const { queue, cursors } = tested
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    await queue.anywhere.lease({ lane, max: 1, leaseMs })
    await harness.elapse(longMs)
    const lease = await takeOne((await harness.crash(tested)).queue)
    expect([lease.attempt, lease.unended]).toEqual([2, true])
  })

  it("counts one that lapses once", async (tested, harness) => {
    const { queue, cursors } = tested
    await queue.enqueue([delivery((await cursors(1))[0]!)])
    queue.begun([await takeOne(queue)])
    await harness.elapse(leaseMs + 100)
    const next = (await harness.crash(tested)).queue
    const lease = await takeOne(next)
    expect(lease.attempt).toBe(2)
  })
}
