import { afterAll, beforeAll, expect, test } from "vitest"
import { attemptsTopic } from "../../core/address.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"
import { type Item, makeWork } from "./work.fixture.ts"

const clock = createSimulatedClock(1_700_000_000_000)
let api: TestApi

beforeAll(async () => {
  api = await openTestApi({ clock })
})
afterAll(() => api.close())

const work = (config: object = {}, trigger: object = {}) => makeWork(api, config, trigger)

/** Resolves when so many requests wait for work. */
async function untilPolls(count: number): Promise<void> {
  while (api.figures().api_polls_open !== count) await new Promise(setImmediate)
}

test("a delivery is leased with its event, once, and is over when it is done", async () => {
  const { queue, add, lease, settle, status } = await work()
  const [a, b] = await add(2)
  const [one] = await lease()
  expect(one).toMatchObject({
    delivery: a!.id,
    attempt: 1,
    trigger: queue,
    topic: "orders:7",
    cursor: a!.cursor,
    expiresAt: new Date(clock.now() + 30_000).toISOString(),
    event: { specversion: "1.0", source: "/test", data: { a: 1 } },
  })
  expect((await lease({ max: 10 })).map(({ delivery }) => delivery)).toEqual([b!.id])
  expect(await lease({ max: 10 })).toEqual([])
  expect(await status()).toMatchObject({ open: 2, leased: 2, ready: 0, complete: true })
  const settlement = { lease: one!.lease, result: "done" }
  expect(await settle([settlement, settlement])).toEqual(["settled", "lost"])
  expect(await settle([settlement])).toEqual(["lost"])
  expect(await status()).toMatchObject({ open: 1, leased: 1, dead: 0 })
  const { items } = (await api.call("GET", `/v1/events/${a!.cursor}/deliveries`)).body
  expect(items.find(({ trigger }: { trigger: string }) => trigger === queue)).toMatchObject({
    state: "done",
    attempts: [{ number: 1, outcome: { kind: "delivered", detail: "done by a worker" } }],
  })
})

test("concurrent workers share nothing", async () => {
  const { add, lease } = await work()
  const made = await add(60)
  const given = (await Promise.all(Array.from({ length: 12 }, () => lease({ max: 5 })))).flat()
  expect(new Set(given.map(({ delivery }) => delivery))).toEqual(new Set(made.map(({ id }) => id)))
  expect(given).toHaveLength(60)
})

test("those who wait are served in their order, as soon as something comes", async () => {
  const { add, lease } = await work()
  const first = lease({ max: 2, waitFor: "20s" })
  await untilPolls(1)
  const second = lease({ max: 2, waitFor: "20s" })
  await untilPolls(2)
  expect(await lease()).toEqual([])
  const [a, b, c] = await add(3)
  expect((await first).map(({ delivery }) => delivery)).toEqual([a!.id, b!.id])
  expect((await second).map(({ delivery }) => delivery)).toEqual([c!.id])
})

test("who waits in vain is answered with nothing when the time is over", async () => {
  const { lease } = await work()
  const waiting = lease({ waitFor: "20s" })
  await untilPolls(1)
  await clock.advance(20_000)
  expect(await waiting).toEqual([])
  await untilPolls(0)
})

test("a worker that goes away while it waits has leased nothing", async () => {
  const { queue, add, lease } = await work()
  const gone = new AbortController()
  const headers = { authorization: "Bearer admin", "content-type": "application/json" }
  const url = `${api.url}/v1/queues/${queue}/lease`
  const request = { method: "POST", headers, body: '{"waitFor":"20s"}', signal: gone.signal }
  const answer = fetch(url, request).catch(() => undefined)
  await untilPolls(1)
  gone.abort()
  await answer
  await untilPolls(0)
  await add(1)
  expect((await lease()).map(({ attempt }) => attempt)).toEqual([1])
})

test("a retry counts and comes back when it is asked for, or by the policy, and at last it is dead", async () => {
  const { queue, add, lease, settle, status } = await work({ attemptsMax: 3 }, { retry: { delays: ["5s"], jitter: 0 } })
  const [made] = await add(1)
  const again = async (more: object) => settle([{ lease: (await lease())[0]!.lease, result: "retry", ...more }])
  expect(await again({ after: "10s", reason: "the printer is out of paper" })).toEqual(["settled"])
  expect(await status()).toMatchObject({ parked: 1, ready: 0 })
  await clock.advance(9_999)
  expect(await lease()).toEqual([])
  await clock.advance(1)
  expect(await again({})).toEqual(["settled"])
  await clock.advance(5_000)
  expect(await again({ after: "1s", reason: "still no paper" })).toEqual(["settled"])
  expect(await status()).toMatchObject({ open: 0, dead: 1 })
  expect((await api.call("GET", `/v1/dead-letters/${made!.id}`)).body).toMatchObject({
    destination: queue,
    reason: "exhausted",
    attempts: [{ number: 1 }, { number: 2 }, { number: 3 }],
    lastOutcome: { kind: "failed", detail: "still no paper" },
  })
  const told = (await api.call("GET", `/v1/topics/${attemptsTopic}:${made!.cursor}/events`)).body
  const verdicts = told
    .filter((event: { source: string }) => event.source === `/redcar/triggers/${queue}`)
    .map(({ data }: { data: { number: number; verdict: object } }) => [data.number, data.verdict])
  expect(verdicts).toEqual([
    [1, { kind: "retry", delayMs: 10_000 }],
    [2, { kind: "retry", delayMs: 5_000 }],
    [3, { kind: "dead", reason: "exhausted" }],
  ])
})

test("what is rejected is a dead letter with the reason, and comes back when it is redriven", async () => {
  const { add, lease, settle } = await work()
  const [made] = await add(1)
  expect(await settle([{ lease: (await lease())[0]!.lease, result: "reject", reason: "no such customer" }])).toEqual([
    "settled",
  ])
  const letter = (await api.call("GET", `/v1/dead-letters/${made!.id}`)).body
  expect(letter).toMatchObject({
    reason: "permanent",
    attempts: [{ number: 1 }],
    lastOutcome: { detail: "no such customer" },
  })
  await api.call("POST", `/v1/dead-letters/${made!.id}/redrive`)
  expect((await lease()).map(({ attempt }) => attempt)).toEqual([2])
})

test("a lease that lapses counts, may be made longer, and at last the delivery is dead", async () => {
  const { add, lease, post, settle, status } = await work({ lease: "10s", attemptsMax: 2 })
  const [made] = await add(1)
  const [first] = await lease()
  await clock.advance(9_000)
  const extended = (await post("extend", { leases: [first!.lease], by: "1m" })).body.items
  expect(extended).toEqual([
    { lease: first!.lease, state: "extended", expiresAt: new Date(clock.now() + 60_000).toISOString() },
  ])
  await clock.advance(59_000)
  expect(await lease()).toEqual([])
  await clock.advance(1_000)
  expect((await post("extend", { leases: [first!.lease] })).body.items[0].state).toBe("lost")
  const [second] = await lease({ lease: "1s" })
  expect(second).toMatchObject({ delivery: made!.id, attempt: 2 })
  expect(await settle([{ lease: first!.lease, result: "done" }])).toEqual(["lost"])
  await clock.advance(1_000)
  expect(await lease()).toEqual([])
  expect(await status()).toMatchObject({ open: 0, dead: 1 })
  expect((await api.call("GET", `/v1/dead-letters/${made!.id}`)).body).toMatchObject({
    reason: "exhausted",
    lastOutcome: { detail: "no worker settled it: its last lease lapsed" },
  })
})

test("of one order key the next comes when the one before is done, and none while it is retried or held", async () => {
  const ordered = { ordering: { by: "subject", deadLetter: "hold" } }
  const { add, lease, settle, status } = await work({ attemptsMax: 2 }, ordered)
  const [a1, b1, a2] = await add(3, ["a", "b", "a"])
  const [first, other] = await lease({ max: 10 })
  expect([first!.delivery, other!.delivery]).toEqual([a1!.id, b1!.id])
  expect(await status()).toMatchObject({ leased: 2, waiting: 1 })
  await settle([{ lease: first!.lease, result: "retry", after: "5s" }])
  expect(await lease({ max: 10 })).toEqual([])
  await clock.advance(5_000)
  const [again] = await lease({ max: 10 })
  expect(again!.delivery).toBe(a1!.id)
  await settle([{ lease: again!.lease, result: "reject" }])
  expect(await lease({ max: 10 })).toEqual([])
  await api.call("POST", `/v1/dead-letters/${a1!.id}/discard`, { reason: "nobody wants it" })
  expect((await lease({ max: 10 })).map(({ delivery }) => delivery)).toEqual([a2!.id])
})

test("while its trigger is paused nothing is leased, and what it was owed is dropped with the trigger", async () => {
  const { queue, add, lease, status } = await work()
  await add(2)
  await api.call("PATCH", `/v1/triggers/${queue}`, { paused: true })
  expect(await lease({ max: 10 })).toEqual([])
  expect(await status()).toMatchObject({ held: 2, ready: 0 })
})

test("an event that is gone is a dead letter, and the next one is leased", async () => {
  const { queue, add, lease } = await work()
  const [made] = await add(1)
  const gone: Delivery = { ...made!, fingerprint: 12_345, id: `${made!.cursor}.x` }
  await api.engine.queue.enqueue([gone])
  expect((await lease({ max: 10 })).map(({ delivery }) => delivery)).toEqual([made!.id])
  const letters = (await api.call("GET", `/v1/dead-letters?destination=${queue}`)).body.items
  expect(letters.map(({ reason }: { reason: string }) => reason)).toEqual(["damaged"])
})

test("queues are their tenant's, and leases their queue's", async () => {
  const one = await work()
  const other = await work()
  await one.add(1)
  await other.add(1)
  const [leased] = await one.lease()
  const other403 = { authorization: "Bearer other" }
  expect((await api.call("GET", `/v1/queues/${one.queue}`, undefined, other403)).status).toBe(404)
  const settlements = [{ lease: leased!.lease, result: "done" }]
  for (const [verb, body] of [
    ["lease", {}],
    ["extend", { leases: [leased!.lease] }],
    ["settle", { settlements }],
  ] as const) {
    expect((await one.post(verb, body, other403)).status).toBe(404)
  }
  await api.call("POST", "/v1/destinations", { id: one.queue, kind: "queue", config: {} }, other403)
  expect((await one.post("settle", { settlements }, other403)).body.items[0].state).toBe("lost")
  expect(await other.settle(settlements)).toEqual(["lost"])
  expect(await one.settle(settlements)).toEqual(["settled"])
})

test("what is no queue is leased from by nobody, and nothing is sent to a queue", async () => {
  const { queue } = await work()
  await api.call("POST", "/v1/destinations", { id: "hook", kind: "webhook", config: { url: "https://example.com/" } })
  expect((await api.call("POST", "/v1/queues/hook/lease")).status).toBe(409)
  expect((await api.call("POST", "/v1/queues/nowhere/lease")).status).toBe(404)
  const tested = await api.call("POST", `/v1/destinations/${queue}/test`)
  expect([tested.status, tested.body.detail]).toEqual([
    409,
    `destination ${queue} is a queue: nothing is sent there, so there is nothing to test`,
  ])
})

test("what is out of range is refused by its name", async () => {
  const { post } = await work()
  const fields = async (verb: string, body: unknown) =>
    (await post(verb, body)).body.errors.map(({ field }: { field: string }) => field)
  expect(await fields("lease", { max: 1_001, waitFor: "61s", lease: "99ms" })).toEqual(["max", "waitFor", "lease"])
  expect(await fields("extend", { leases: [], by: "25h" })).toEqual(["leases", "by"])
  const settlements = [
    { lease: "x", result: "done", after: "1s", reason: "why" },
    { lease: "x", result: "never" },
  ]
  expect(await fields("settle", { settlements })).toEqual(
    expect.arrayContaining(["settlements[1].result", "settlements[0].after", "settlements[0].reason"]),
  )
  expect((await post("settle", { settlements: [{ lease: "x", result: "done" }] })).body.items[0].state).toBe("lost")
})

test("large events are not given all at once, and what is left over can be leased", async () => {
  const { queue, lease } = await work()
  const { incarnation = "" } = (await api.engine.catalog.get<Trigger>(`trigger/default/${queue}`))!.value
  const data = Buffer.from(JSON.stringify("x".repeat(400_000)))
  const ids = Array.from({ length: 40 }, (_, i) => `large${i}`)
  const cursors = await api.append("orders", ids, data)
  const names = { tenant: "default", trigger: queue, incarnation, destination: queue, fingerprint: 0 }
  await api.engine.queue.enqueue(
    cursors.map((cursor) => ({ ...names, cursor, id: deliveryId(cursor, queue, incarnation) })),
  )
  const first = await lease({ max: 100 })
  expect(first.length).toBeLessThan(40)
  const rest: Item[] = []
  while (first.length + rest.length < 40) rest.push(...(await lease({ max: 100 })))
  expect(rest.every(({ attempt }) => attempt === 1)).toBe(true)
})

test("what is replayed waits in a lane of its own, and is leased and settled all the same", async () => {
  const { add, lease, settle, status, queue } = await work()
  const waiting = lease({ max: 10, waitFor: "20s" })
  await untilPolls(1)
  const [made] = await add(1)
  const [fresh] = await waiting
  const replay = { id: "r1", tenant: "default", state: "running" }
  await api.engine.catalog.put("replay/default/r1", replay)
  const again = lease({ max: 10, waitFor: "20s" })
  await untilPolls(1)
  await api.engine.queue.enqueue([{ ...made!, id: `${made!.id}.r1`, replay: "r1" }])
  const [replayed] = await again
  expect(replayed).toMatchObject({ cursor: made!.cursor, event: { redcarreplay: "r1" } })
  expect(await status()).toMatchObject({ open: 2, leased: 2, destination: queue })
  const settlements = [replayed, fresh].map((each) => ({ lease: each!.lease, result: "done" }))
  expect(await settle(settlements)).toEqual(["settled", "settled"])
  expect(await status()).toMatchObject({ open: 0 })
})
