import { expect } from "vitest"
import { type Delivery, laneOf } from "../../core/delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Carried, CarriedDelivery } from "../../core/transfer.ts"
import type { Declare } from "./harness.ts"
import { delivery, ids, lane, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

async function carriedOf(queue: DeliveryQueue): Promise<readonly Carried[]> {
  const all: Carried[] = []
  for await (const items of queue.carried()) {
    expect(items.length).toBeGreaterThan(0)
    expect(items.length).toBeLessThanOrEqual(512)
    all.push(...items)
  }
  return all.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}

const idOf = (item: Carried) => (item.kind === "dead" ? item.letter.id : item.delivery.id)

/** What is carried of a delivery that was given and no more. */
function fresh(d: Delivery, parts: Partial<CarriedDelivery> = {}): CarriedDelivery {
  const times = { firstDueAt: 1_000, dueAt: 1_000 }
  return { kind: "open", delivery: d, attempts: 0, attemptsForgiven: 0, ...times, held: false, ...parts }
}

/** What a queue holds, carried to another one. */
export function queueCarry(it: Declare<QueueUnderTest>): void {
  it("says what it holds: due, leased, parked, held and dead", async ({ queue, cursors }) => {
    const all = (await cursors(6)).map((cursor) => delivery(cursor))
    await queue.enqueue(all)
    const leases = await take(queue, 5)
    await queue.end(leases[0]!, { kind: "retry", delayMs: 3_600_000 })
    await queue.end(leases[1]!, { kind: "hold" })
    await queue.end(leases[2]!, { kind: "dead", letter: letter(all[2]!) })
    await queue.end(leases[3]!, { kind: "done" })
    const { firstDueAt } = leases[0]!
    const parked = await queue.open(all[0]!)
    const open = { kind: "open", attemptsForgiven: 0, held: false }
    expect(await carriedOf(queue)).toEqual([
      { ...open, delivery: all[0], attempts: 1, firstDueAt, dueAt: parked!.dueAt },
      { ...open, delivery: all[1], attempts: 0, firstDueAt, dueAt: expect.any(Number), held: true },
      { kind: "dead", letter: letter(all[2]!), attempts: 1 },
      { ...open, delivery: all[4], attempts: 0, firstDueAt, dueAt: firstDueAt },
      { ...open, delivery: all[5], attempts: 0, firstDueAt, dueAt: firstDueAt },
    ])
    await queue.end(leases[4]!, { kind: "done" })
    expect(await carriedOf(queue)).toHaveLength(4)
  })

  it("takes over what another held, as it was, through a crash", async (tested, harness) => {
    const [due, parked, held, dead, other] = (await tested.cursors(5)).map((cursor) => delivery(cursor)) as [
      Delivery,
      Delivery,
      Delivery,
      Delivery,
      Delivery,
    ]
    const soon = (await dueAtNow(tested, other)) + 2_000
    const items: Carried[] = [
      fresh(due, { attempts: 4, attemptsForgiven: 3 }),
      fresh(parked, { attempts: 2, dueAt: soon }),
      fresh(held, { held: true }),
      { kind: "dead", letter: letter(dead), attempts: 7 },
    ]
    await tested.queue.carry(items)
    await tested.queue.carry(items)
    const { queue } = await harness.crash(tested)
    expect(await carriedOf(queue)).toEqual(items)
    expect(await queue.depth(lane)).toBe(3)
    expect(await queue.open(parked)).toMatchObject({ state: "parked", attempts: 2, dueAt: soon })
    expect(await takeOne(queue)).toMatchObject({ delivery: due, attempt: 5, attemptsForgiven: 3, firstDueAt: 1_000 })
    await harness.elapse(2_500)
    expect((await take(queue)).filter((lease) => lease.delivery.id === parked.id)).toMatchObject([{ attempt: 3 }])
    expect(await queue.resume("acme", "t1", "i1")).toBe(1)
    expect((await take(queue)).map((lease) => lease.delivery.id)).toContain(held.id)
    expect(await queue.redrive("acme", dead.id)).toBe(true)
    expect((await take(queue)).find((lease) => lease.delivery.id === dead.id)).toMatchObject({
      attempt: 8,
      attemptsForgiven: 7,
    })
  })

  it("leaves as it is what it holds already", async ({ queue, cursors }) => {
    const [a, b, c] = (await cursors(3)).map((cursor) => delivery(cursor))
    await queue.enqueue([a!, b!])
    const [first, second] = await take(queue)
    await queue.end(second!, { kind: "dead", letter: letter(b!) })
    const many = { attempts: 9, held: true }
    await queue.carry([fresh(a!, many), fresh(b!, many), fresh(c!), fresh(c!, many)])
    expect(await queue.open(a!)).toMatchObject({ state: "leased", attempts: 0 })
    expect(await queue.deadLetter("acme", b!.id)).toEqual(letter(b!))
    expect((await takeOne(queue)).delivery).toEqual(c)
    expect(await queue.depth(lane)).toBe(2)
    await queue.end(first!, { kind: "done" })
    expect(await queue.depth(lane)).toBe(1)
  })

  it("adds nothing a second time that was carried, and no position hides what is", async ({ queue, cursors }) => {
    const [a, b, c] = await cursors(3)
    await queue.enqueue([], { reader: "router", cursor: b! })
    await queue.carry([fresh(delivery(a!)), fresh(delivery(c!))])
    await queue.enqueue([delivery(a!), delivery(b!), delivery(c!)], { reader: "router", cursor: c! })
    expect(ids(await take(queue))).toEqual([a, b, c].map((cursor) => delivery(cursor!).id))
    expect(await queue.position("router")).toBe(c)
  })

  it("wakes the lane that has come to have due work", async ({ queue, cursors }) => {
    const stop = new AbortController()
    const lanes = queue.lanes(stop.signal)[Symbol.asyncIterator]()
    const d = delivery((await cursors(1))[0]!, { destination: "d7" })
    const woken = lanes.next()
    await queue.carry([fresh(d)])
    expect((await woken).value).toBe(laneOf(d))
    stop.abort()
  })

  it("carries very many, of many lanes, and gives them in the order of their events", async (tested) => {
    const { queue } = tested
    const all = (await tested.cursors(3_000)).map((cursor, i) =>
      delivery(cursor, { destination: i % 3 === 0 ? "d2" : "d1" }),
    )
    const later = (await dueAtNow(tested, all[0]!, false)) + 3_600_000
    const items = all.slice(1).map((d, i) => fresh(d, i % 7 === 0 ? { dueAt: later } : {}))
    for (let i = 0; i < items.length; i += 500) await queue.carry(items.slice(i, i + 500))
    const found = (await carriedOf(queue)).filter((item) => idOf(item) !== all[0]!.id)
    expect(found).toEqual(items)
    const due = items.filter((item) => item.dueAt < later && item.delivery.destination === "d1").map(idOf)
    const leases = await take(queue, 3_000)
    expect(ids(leases)).toEqual(due)
  })
}

/** What the queue takes for now, by a delivery that is done at once, or stays. */
async function dueAtNow({ queue }: QueueUnderTest, d: Delivery, done = true): Promise<number> {
  await queue.enqueue([d])
  const { dueAt } = (await queue.open(d))!
  if (done) await queue.end(await takeOne(queue), { kind: "done" })
  return dueAt
}
