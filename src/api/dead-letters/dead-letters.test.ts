import { afterAll, beforeAll, expect, test } from "vitest"
import { attemptsTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type DeadReason, type Delivery, deliveryId, type Verdict } from "../../core/delivery.ts"
import { Event } from "../../core/event.ts"
import type { Trigger } from "../../core/resources.ts"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly Cursor[]
const failed = { kind: "failed", detail: "500 Internal Server Error", permanent: false } as const

beforeAll(async () => {
  api = await openTestApi()
  for (const id of ["shop", "bank"]) {
    await api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
    await makeTrigger(`to-${id}`, id)
  }
  cursors = await api.append("orders:7", ["1", "2", "3", "4", "5"])
})
afterAll(() => api.close())

/** Of each trigger that a delivery was made for. */
const incarnations = new Map<string, string>()

function deliveryOf(cursor: Cursor, destination: string): Delivery {
  const trigger = `to-${destination}`
  const incarnation = incarnations.get(trigger)!
  const id = deliveryId(cursor, trigger, incarnation)
  return { id, tenant: "default", trigger, incarnation, destination, cursor, fingerprint: 0 }
}

async function makeTrigger(id: string, destination: string): Promise<void> {
  await api.call("POST", "/v1/triggers", { id, topic: "orders", destination })
  const made = await api.engine.catalog.get<Trigger>(`trigger/default/${id}`)
  incarnations.set(id, made!.value.incarnation!)
}

/** Has a delivery end as a dead letter. */
async function die(delivery: Delivery, reason: DeadReason): Promise<void> {
  const { queue } = api.engine
  await queue.enqueue([delivery])
  const leases = await queue.lease({ lane: `default/${delivery.destination}`, max: 100, leaseMs: 60_000 })
  const lease = leases.find((each) => each.delivery.id === delivery.id)
  const address = { tenant: "default", topic: "orders", key: "7" }
  await queue.end(lease!, {
    kind: "dead",
    letter: { ...delivery, address, reason, attempts: 2, diedAt: Date.now(), lastOutcome: failed },
  })
}

/** Tells of an attempt as the delivery workers do. */
async function tell(
  { id: delivery, trigger, incarnation, destination, cursor }: Delivery,
  number: number,
  verdict: Verdict,
): Promise<void> {
  const outcome = verdict.kind === "done" ? { kind: "delivered", detail: "204 No Content" } : failed
  const data = {
    delivery,
    trigger,
    incarnation,
    destination,
    topic: "orders",
    cursor,
    number,
    startedAt: 1_000 * number,
    durationMs: 5,
    outcome,
    verdict,
  }
  const attributes = {
    specversion: "1.0",
    id: `${delivery}.${number}`,
    source: `/redcar/triggers/${trigger}`,
    type: "redcar.attempt",
  }
  const event = Event.of(attributes, Buffer.from(JSON.stringify(data)), "json")
  await api.engine.log.append({ tenant: "default", topic: attemptsTopic, key: cursor }, [event])
}

const ids = (answer: Answer): string[] => answer.body.items.map((item: { id: string }) => item.id)

test("dead letters are listed, filtered, paged, read and redriven", async () => {
  const shop = cursors.map((cursor) => deliveryOf(cursor, "shop"))
  for (const delivery of shop) await die(delivery, "exhausted")
  const bank = deliveryOf(cursors[0]!, "bank")
  await die(bank, "permanent")
  await tell(shop[0]!, 1, { kind: "retry", delayMs: 5 })
  await tell(shop[0]!, 2, { kind: "dead", reason: "exhausted" })

  const all = await api.call("GET", "/v1/dead-letters")
  expect(ids(all)).toHaveLength(6)
  expect(all.body.items.find((item: { id: string }) => item.id === bank.id)).toMatchObject({
    trigger: "to-bank",
    destination: "bank",
    topic: "orders:7",
    cursor: bank.cursor,
    reason: "permanent",
    attempts: 2,
    lastOutcome: failed,
    diedAt: expect.stringMatching(/Z$/),
  })
  expect(ids(await api.call("GET", "/v1/dead-letters?destination=bank"))).toEqual([bank.id])
  expect(ids(await api.call("GET", "/v1/dead-letters?reason=expired"))).toEqual([])
  expect((await api.call("GET", "/v1/dead-letters?reason=bored")).status).toBe(400)
  const first = await api.call("GET", "/v1/dead-letters?trigger=to-shop&pageSize=3")
  const second = await api.call(
    "GET",
    `/v1/dead-letters?trigger=to-shop&pageSize=3&pageToken=${first.body.nextPageToken}`,
  )
  expect([...ids(first), ...ids(second)]).toEqual(shop.map(({ id }) => id))
  expect(second.body.nextPageToken).toBeUndefined()
  expect((await api.call("GET", `/v1/dead-letters?pageToken=${first.body.nextPageToken}`)).status).toBe(400)
  expect((await api.call("GET", "/v1/dead-letters", undefined, { authorization: "Bearer other" })).body.items).toEqual(
    [],
  )

  const one = await api.call("GET", `/v1/dead-letters/${shop[0]!.id}`)
  expect(one.body).toMatchObject({ id: shop[0]!.id, event: { id: "1", source: "/test", type: "test.1" } })
  expect(one.body.attempts.map((attempt: { number: number }) => attempt.number)).toEqual([1, 2])
  expect(one.body.attempts[1]).toEqual({
    number: 2,
    destination: "shop",
    startedAt: new Date(2_000).toISOString(),
    durationMs: 5,
    outcome: failed,
  })

  expect((await api.call("POST", `/v1/dead-letters/${bank.id}/redrive`)).body).toEqual({ matched: 1, redriven: 1 })
  expect((await api.engine.queue.open(bank))?.state).toBe("due")
  expect((await api.call("POST", `/v1/dead-letters/${bank.id}/redrive`)).status).toBe(404)

  const dry = await api.call("POST", "/v1/dead-letters/redrive", { trigger: "to-shop", dryRun: true })
  expect(dry.body).toEqual({ matched: 5, redriven: 0 })
  expect(ids(await api.call("GET", "/v1/dead-letters"))).toHaveLength(5)
  expect((await api.call("POST", "/v1/dead-letters/redrive", { triger: "to-shop" })).status).toBe(400)
  expect((await api.call("POST", "/v1/dead-letters/redrive", { trigger: "to-shop" })).body).toEqual({
    matched: 5,
    redriven: 5,
  })
  expect(ids(await api.call("GET", "/v1/dead-letters"))).toEqual([])
  expect((await api.engine.queue.open(shop[4]!))?.state).toBe("due")
})

test("what has no trigger or destination any more is not redriven", async () => {
  await api.call("POST", "/v1/destinations", { id: "old", kind: "webhook", config: { url: "https://example.com/" } })
  await makeTrigger("to-old", "old")
  const delivery = deliveryOf(cursors[0]!, "old")
  await die(delivery, "exhausted")
  await api.call("DELETE", "/v1/triggers/to-old")
  const refused = await api.call("POST", `/v1/dead-letters/${delivery.id}/redrive`)
  expect([refused.status, refused.body.code]).toEqual([409, "conflict"])
  expect(refused.body.detail).toContain(`trigger to-old was deleted; one that starts before the event`)
  const none = { matched: 1, redriven: 0 }
  expect((await api.call("POST", "/v1/dead-letters/redrive", { destination: "old" })).body).toEqual(none)
  // One that is made anew is another one.
  await makeTrigger("to-old", "old")
  expect((await api.call("POST", `/v1/dead-letters/${delivery.id}/redrive`)).status).toBe(409)
  expect((await api.call("POST", "/v1/dead-letters/redrive", { destination: "old" })).body).toEqual(none)
})

test("a damaged event's letter is told by its reason, and another event at its place is not shown", async () => {
  const [cursor] = await api.append("orders", ["another"])
  const delivery = { ...deliveryOf(cursor!, "shop"), fingerprint: 1 }
  await die(delivery, "damaged")
  const { items } = (await api.call("GET", "/v1/dead-letters?reason=damaged")).body
  expect(items).toMatchObject([{ id: delivery.id, reason: "damaged" }])
  const detail = await api.call("GET", `/v1/dead-letters/${delivery.id}`)
  expect([detail.status, detail.body.event]).toEqual([200, undefined])
  expect((await api.call("POST", `/v1/dead-letters/${delivery.id}/redrive`)).body.redriven).toBe(1)
})

test("an event tells what became of it", async () => {
  const cursor = (await api.append("orders", ["told"]))[0]!
  const [shop, bank] = [deliveryOf(cursor, "shop"), deliveryOf(cursor, "bank")]
  const gone: Delivery = {
    ...deliveryOf(cursor, "shop"),
    id: deliveryId(cursor, "to-gone", "gone1"),
    trigger: "to-gone",
    incarnation: "gone1",
  }
  const path = `/v1/events/${cursor}/deliveries`
  expect((await api.call("GET", path)).body).toEqual({ items: [] })
  await die(bank, "permanent")
  await tell(bank, 1, { kind: "dead", reason: "permanent" })
  await api.engine.queue.enqueue([shop])
  await tell(gone, 1, { kind: "retry", delayMs: 1 })
  const before = (await api.call("GET", path)).body.items
  expect(before).toMatchObject([
    { trigger: "to-bank", destination: "bank", state: "dead", attempts: [{ number: 1 }] },
    { trigger: "to-gone", state: "dropped" },
    { trigger: "to-shop", destination: "shop", state: "due", attempts: [], dueAt: expect.stringMatching(/Z$/) },
  ])
  const lane = "default/shop"
  let lease = (await api.engine.queue.lease({ lane, max: 100, leaseMs: 60_000 })).find(
    (each) => each.delivery.id === shop.id,
  )
  expect((await api.call("GET", path)).body.items[2].state).toBe("leased")
  await api.engine.queue.end(lease!, { kind: "retry", delayMs: 60_000 })
  await tell(shop, 1, { kind: "retry", delayMs: 60_000 })
  expect((await api.call("GET", path)).body.items[2]).toMatchObject({
    state: "parked",
    attempts: [{ number: 1, outcome: failed }],
  })
  await api.engine.queue.drop("default", "to-shop", incarnations.get("to-shop")!)
  await api.engine.queue.enqueue([shop])
  lease = (await api.engine.queue.lease({ lane, max: 100, leaseMs: 60_000 })).find(
    (each) => each.delivery.id === shop.id,
  )
  await api.engine.queue.end(lease!, { kind: "done" })
  await tell(shop, 2, { kind: "done" })
  const { items } = (await api.call("GET", path)).body
  expect(items[2]).toMatchObject({
    state: "done",
    attempts: [{ number: 1 }, { number: 2, outcome: { kind: "delivered" } }],
  })
})
