import { expect } from "vitest"
import type { DeadReason, Delivery } from "../../core/delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Declare } from "./harness.ts"
import { delivery, lane, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

async function buryAll(queue: DeliveryQueue, from: string, reason: DeadReason): Promise<void> {
  for (const lease of await take(queue, 100, from))
    await queue.end(lease, { kind: "dead", letter: letter(lease.delivery, reason) })
}

/** Deliveries that were given up: listed, found, put back. */
export function queueDead(it: Declare<QueueUnderTest>): void {
  it("keeps what is said of a dead delivery", async ({ queue, cursors }) => {
    const d = delivery((await cursors(1))[0]!)
    await queue.enqueue([d])
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(d) })
    expect(await queue.deadLetter("acme", d.id)).toEqual(letter(d))
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([letter(d)])
    expect(await queue.deadLetter("globex", d.id)).toBeUndefined()
    expect(await queue.deadLetter("acme", "other")).toBeUndefined()
    expect(await queue.open(d)).toBeUndefined()
    expect(await queue.depth(lane)).toBe(0)
  })

  it("lists them in order of event, in pages, by trigger, destination and reason", async ({ queue, cursors }) => {
    const all = (await cursors(12)).map((cursor, i) =>
      delivery(cursor, { trigger: `t${i % 2}`, destination: i % 3 === 0 ? "d1" : "d2" }),
    )
    await queue.enqueue([...all, delivery(all[0]!.cursor, { tenant: "globex", destination: "d9" })])
    await buryAll(queue, "acme/d2", "permanent")
    await buryAll(queue, "acme/d1", "expired")
    await buryAll(queue, "globex/d9", "expired")
    const pages: string[][] = []
    for (let after: string | undefined; ; ) {
      const page = await queue.deadLetters({ tenant: "acme", limit: 5, ...(after !== undefined && { after }) })
      pages.push(page.map((dead) => dead.id))
      if (page.length < 5) break
      after = page.at(-1)!.id
    }
    expect(pages.map((page) => page.length)).toEqual([5, 5, 2])
    expect(pages.flat()).toEqual(all.map((d) => d.id))
    const some = async (query: object) =>
      (await queue.deadLetters({ tenant: "acme", limit: 100, ...query })).map((dead) => dead.id)
    const expected = (keep: (d: Delivery) => boolean) => all.filter(keep).map((d) => d.id)
    expect(await some({ trigger: "t1" })).toEqual(expected((d) => d.trigger === "t1"))
    expect(await some({ destination: "d1" })).toEqual(expected((d) => d.destination === "d1"))
    expect(await some({ reason: "permanent" })).toEqual(expected((d) => d.destination === "d2"))
    expect(await some({ trigger: "t0", reason: "expired", after: all[0]!.id })).toEqual([all[6]!.id])
  })

  it("finds the few that match among very many", async ({ queue, cursors }) => {
    const all = (await cursors(1_300)).map((cursor, i) =>
      delivery(cursor, { trigger: i % 650 === 649 ? "rare" : "t1" }),
    )
    await queue.enqueue(all)
    await Promise.all(
      (await take(queue, 2_000)).map((lease) => queue.end(lease, { kind: "dead", letter: letter(lease.delivery) })),
    )
    const found = await queue.deadLetters({ tenant: "acme", limit: 5, trigger: "rare" })
    expect(found.map((dead) => dead.id)).toEqual([all[649]!.id, all[1_299]!.id])
  })

  it("redrives one: due again, with its attempts counted on and forgiven", async ({ queue, cursors }, { elapse }) => {
    const d = delivery((await cursors(1))[0]!)
    await queue.enqueue([d])
    const first = await takeOne(queue)
    await queue.end(first, { kind: "retry", delayMs: 1_000 })
    await elapse(1_100)
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(d) })
    await elapse(500)
    expect(await queue.redrive("acme", "other")).toBe(false)
    expect(await queue.redrive("globex", d.id)).toBe(false)
    expect(await Promise.all([queue.redrive("acme", d.id), queue.redrive("acme", d.id)])).toEqual([true, false])
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([])
    expect(await queue.depth(lane)).toBe(1)
    const lease = await takeOne(queue)
    expect(lease).toMatchObject({ delivery: d, attempt: 3, attemptsForgiven: 2 })
    expect(lease.firstDueAt).toBeGreaterThanOrEqual(first.firstDueAt + 1_600)
    await queue.end(lease, { kind: "dead", letter: letter(d) })
    expect(await queue.redrive("acme", d.id)).toBe(true)
    expect(await takeOne(queue)).toMatchObject({ attempt: 4, attemptsForgiven: 3 })
  })

  it("has another delivery take a dead one's place, once, as if it were new, through a crash", async (tested, harness) => {
    const [a, b, c] = (await tested.cursors(3)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([a!])
    await tested.queue.end(await takeOne(tested.queue), { kind: "dead", letter: letter(a!) })
    expect(await tested.queue.redrive("globex", a!.id, b)).toBe(false)
    const both = [tested.queue.redrive("acme", a!.id, b), tested.queue.redrive("acme", a!.id, c)]
    expect(await Promise.all(both)).toEqual([true, false])
    expect(await tested.queue.depth(lane)).toBe(1)
    const { queue } = await harness.crash(tested)
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([])
    expect([await queue.open(a!), await queue.open(c!)]).toEqual([undefined, undefined])
    const lease = await takeOne(queue)
    expect(lease).toMatchObject({ delivery: b, attempt: 1, attemptsForgiven: 0 })
    await queue.end(lease, { kind: "dead", letter: letter(b!) })
    expect(await queue.redrive("acme", a!.id)).toBe(false)
    expect(await queue.redrive("acme", b!.id)).toBe(true)
  })

  it("forgets what is discarded, once, through a crash", async (tested, harness) => {
    const [a, b] = (await tested.cursors(2)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([a!, b!])
    for (const lease of await take(tested.queue))
      await tested.queue.end(lease, { kind: "dead", letter: letter(lease.delivery) })
    expect(await tested.queue.discard("acme", "other")).toBe(false)
    expect(await tested.queue.discard("globex", a!.id)).toBe(false)
    const ends = await Promise.all([tested.queue.discard("acme", a!.id), tested.queue.discard("acme", a!.id)])
    expect(ends).toEqual([true, false])
    expect(await tested.queue.redrive("acme", a!.id)).toBe(false)
    const { queue } = await harness.crash(tested)
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([letter(b!)])
    expect(await queue.open(a!)).toBeUndefined()
    expect(await queue.depth(lane)).toBe(0)
  })

  it("discards or redrives one, not both", async ({ queue, cursors }) => {
    const d = delivery((await cursors(1))[0]!)
    await queue.enqueue([d])
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(d) })
    const [discarded, redriven] = await Promise.all([queue.discard("acme", d.id), queue.redrive("acme", d.id)])
    expect(discarded).not.toBe(redriven)
    expect(await queue.depth(lane)).toBe(redriven ? 1 : 0)
    expect(await queue.deadLetter("acme", d.id)).toBeUndefined()
  })

  it("keeps burial and redrive through a crash", async (tested, harness) => {
    const [a, b] = (await tested.cursors(2)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([a!, b!])
    for (const lease of await take(tested.queue))
      await tested.queue.end(lease, { kind: "dead", letter: letter(lease.delivery) })
    await tested.queue.redrive("acme", a!.id)
    const { queue } = await harness.crash(tested)
    expect(await queue.deadLetters({ tenant: "acme", limit: 10 })).toEqual([letter(b!)])
    await queue.enqueue([a!, b!])
    expect(await takeOne(queue)).toMatchObject({ delivery: a, attempt: 2, attemptsForgiven: 1 })
  })
}
