import fc from "fast-check"
import { expect } from "vitest"
import { type Delivery, laneOf } from "../../core/delivery.ts"
import { type OpenDelivery, type OpenDeliveryQuery, type OpenState, openStates } from "../../core/open-delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Declare } from "./harness.ts"
import { delivery, leaseMs, letter, type QueueUnderTest, take, takeOne } from "./queue-fixture.ts"

/** Every page, to the end. */
async function pagesOf(queue: DeliveryQueue, query: OpenDeliveryQuery): Promise<readonly (readonly OpenDelivery[])[]> {
  const pages: (readonly OpenDelivery[])[] = []
  for (let after = query.after; pages.length < 1_000; ) {
    const page = await queue.openDeliveries({ ...query, ...(after !== undefined && { after }) })
    expect(page.deliveries.length).toBeLessThanOrEqual(query.limit)
    pages.push(page.deliveries)
    if (page.next === undefined) return pages
    expect(page.next > (after ?? "")).toBe(true)
    after = page.next
  }
  throw new Error("the pages never end")
}

const idsOf = (found: readonly OpenDelivery[]) => found.map((open) => open.delivery.id)

interface Made {
  readonly delivery: Delivery
  readonly state: OpenState | "done" | "dead"
}

/** Brings one lane's deliveries to their states: all are leased, and each lease ends as it has to. */
async function bring(queue: DeliveryQueue, made: readonly Made[]): Promise<void> {
  for (const lane of new Set(made.map((each) => laneOf(each.delivery)))) {
    for (const lease of await queue.lease({ lane, max: 100, leaseMs: 60_000 })) {
      const { state } = made.find((each) => each.delivery.id === lease.delivery.id && laneOf(each.delivery) === lane)!
      if (state === "due") await queue.end(lease, { kind: "release", delayMs: 0 })
      if (state === "parked") await queue.end(lease, { kind: "retry", delayMs: 3_600_000 })
      if (state === "held") await queue.end(lease, { kind: "hold" })
      if (state === "done") await queue.end(lease, { kind: "done" })
      if (state === "dead") await queue.end(lease, { kind: "dead", letter: letter(lease.delivery) })
    }
  }
}

const maybe = <T>(values: readonly T[]) => fc.option(fc.constantFrom(...values), { nil: undefined })

/** Open deliveries: listed in order, by page, by what they are. */
export function queueOpen(it: Declare<QueueUnderTest>): void {
  it("lists what is open as a naive list of it would, whatever is asked", async ({ queue, cursors }) => {
    const states = [...openStates, "done", "dead"] as const
    const places = await cursors(40)
    const made = places.flatMap((cursor, i): readonly Made[] => {
      const one = (n: number, tenant = "acme") => ({
        delivery: delivery(cursor, { trigger: `t${n}`, destination: `d${(i * n) % 3}`, tenant }),
        state: states[(i * 7 + n * 3) % states.length]!,
      })
      return i % 5 === 0 ? [one(1, "globex")] : [one(1), one(2)]
    })
    await queue.enqueue(made.map((each) => each.delivery))
    await bring(queue, made)
    const isOpen = ({ state }: Made) => (openStates as readonly string[]).includes(state)
    const query = fc.record({
      tenant: fc.constantFrom("acme", "globex", "acm"),
      limit: fc.constantFrom(1, 3, 50, 1_000),
      trigger: maybe(["t1", "t2", "t3"]),
      destination: maybe(["d0", "d1", "d2", "d"]),
      state: maybe(openStates),
      after: maybe(made.map((each) => each.delivery.id)),
    })
    await fc.assert(
      fc.asyncProperty(query, async ({ tenant, limit, trigger, destination, state, after }) => {
        const expected = made
          .filter((each) => isOpen(each) && each.delivery.tenant === tenant)
          .filter((each) => trigger === undefined || each.delivery.trigger === trigger)
          .filter((each) => destination === undefined || each.delivery.destination === destination)
          .filter((each) => state === undefined || each.state === state)
          .filter((each) => after === undefined || each.delivery.id > after)
          .sort((a, b) => (a.delivery.id < b.delivery.id ? -1 : 1))
        const which = {
          ...(trigger !== undefined && { trigger }),
          ...(destination !== undefined && { destination }),
          ...(state !== undefined && { state }),
          ...(after !== undefined && { after }),
        }
        const found = (await pagesOf(queue, { tenant, limit, ...which })).flat()
        expect(found.map((open) => ({ delivery: open.delivery, state: open.state }))).toEqual(expected)
      }),
      { numRuns: 150 },
    )
  })

  it("tells of an open delivery what finding it tells", async ({ queue, cursors }, { elapse }) => {
    const all = (await cursors(3)).map((cursor) => delivery(cursor))
    await queue.enqueue(all)
    const [first, second] = await take(queue, 2)
    await elapse(500)
    await queue.end(first!, { kind: "retry", delayMs: 60_000 })
    const { deliveries } = await queue.openDeliveries({ tenant: "acme", limit: 10 })
    expect(deliveries).toEqual(await Promise.all(all.map((each) => queue.open(each))))
    expect(deliveries.map(({ state, attempts }) => [state, attempts])).toEqual([
      ["parked", 1],
      ["leased", 0],
      ["due", 0],
    ])
    for (const { firstDueAt } of deliveries) expect(firstDueAt).toBe(second!.firstDueAt)
    await elapse(leaseMs + 100)
    const lapsed = await queue.openDeliveries({ tenant: "acme", limit: 1, state: "due" })
    expect(lapsed).toMatchObject({ deliveries: [{ delivery: all[1], attempts: 1 }], next: all[1]!.id })
  })

  it("looks at a bounded number in one call, and others go on meanwhile", async ({ queue, cursors }) => {
    const places = await cursors(12_500)
    await queue.enqueue(places.map((cursor, i) => delivery(cursor, { trigger: i === 12_400 ? "rare" : "t1" })))
    let turns = 0
    let counting = setImmediate(function count() {
      turns++
      counting = setImmediate(count)
    })
    const page = await queue.openDeliveries({ tenant: "acme", limit: 10, trigger: "rare" })
    clearImmediate(counting)
    expect(page.deliveries).toEqual([])
    expect(page.next).toBeDefined()
    expect(turns).toBeGreaterThan(5)
    const pages = await pagesOf(queue, { tenant: "acme", limit: 10, trigger: "rare" })
    expect(pages.length).toBeLessThan(10)
    expect(idsOf(pages.flat())).toEqual([delivery(places[12_400]!, { trigger: "rare" }).id])
    expect((await pagesOf(queue, { tenant: "acme", limit: 10, trigger: "none" })).flat()).toEqual([])
  })

  it("goes on where a page ended, though what was there has ended meanwhile", async ({ queue, cursors }) => {
    const all = (await cursors(4)).map((cursor, i) => delivery(cursor, { destination: `d${i % 2}` }))
    await queue.enqueue(all)
    const first = await queue.openDeliveries({ tenant: "acme", limit: 1 })
    expect(idsOf(first.deliveries)).toEqual([all[0]!.id])
    for (const lease of await take(queue, 1, "acme/d0")) await queue.end(lease, { kind: "done" })
    await queue.end((await take(queue, 1, "acme/d1"))[0]!, { kind: "done" })
    const rest = await queue.openDeliveries({ tenant: "acme", limit: 10, after: first.next! })
    expect(idsOf(rest.deliveries)).toEqual([all[2]!.id, all[3]!.id])
    expect(rest.next).toBeUndefined()
  })

  it("tells where lanes stand: what they are owed, since when, and what is told of how they fare", async (tested, harness) => {
    const { queue, cursors } = tested
    const [a, b, c] = (await cursors(3)).map((cursor, i) => delivery(cursor, { destination: i < 2 ? "d1" : "d2" }))
    await queue.enqueue([a!])
    await harness.elapse(500)
    await queue.enqueue([b!, c!])
    const lanes = ["acme/d1", "acme/d2", "acme/none", "globex/d1"]
    const [first, other] = [await queue.open(a!), await queue.open(c!)]
    expect(Object.fromEntries(await queue.statusOf(lanes))).toEqual({
      "acme/d1": { open: 2, oldestDueAt: first!.firstDueAt },
      "acme/d2": { open: 1, oldestDueAt: other!.firstDueAt },
      "acme/none": { open: 0 },
      "globex/d1": { open: 0 },
    })
    const lastError = { at: 1_000, detail: "503 Service Unavailable", status: 503 }
    const report = { breaker: "open", restsUntil: 2_000, inFlight: 1, attempts: 10, delivered: 3, lastError } as const
    const quiet = { breaker: "closed", inFlight: 0, attempts: 0, delivered: 0 } as const
    queue.reportBy((lane) => (lane === "acme/d1" ? report : quiet))
    await queue.end((await take(queue, 1))[0]!, { kind: "retry", delayMs: 60_000 })
    const told = await queue.statusOf(lanes)
    expect(told.get("acme/d1")).toEqual({ open: 2, oldestDueAt: first!.firstDueAt, report })
    expect(told.get("acme/none")).toEqual({ open: 0, report: quiet })
    const many = Array.from({ length: 1_000 }, (_, i) => `acme/x${i}`)
    expect([...(await queue.statusOf(many)).keys()].sort()).toEqual(many.sort())
  })

  it("keeps what it lists through a crash", async (tested, harness) => {
    const [a, b] = (await tested.cursors(2)).map((cursor) => delivery(cursor))
    await tested.queue.enqueue([a!])
    await tested.queue.end(await takeOne(tested.queue), { kind: "retry", delayMs: 60_000 })
    await tested.queue.enqueue([b!])
    const { queue } = await harness.crash(tested)
    const { deliveries } = await queue.openDeliveries({ tenant: "acme", limit: 10 })
    expect(deliveries.map(({ delivery: { id }, state }) => [id, state])).toEqual([
      [a!.id, "parked"],
      [b!.id, "due"],
    ])
  })
}
