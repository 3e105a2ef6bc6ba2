import { afterAll, beforeAll, expect, test } from "vitest"
import { deliveryId } from "../../core/delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
})
afterAll(() => api.close())

const fields = (answer: Answer): string[] => answer.body.errors.map((each: { field: string }) => each.field).sort()
const create = (body: object) => api.call("POST", "/v1/triggers", { topic: "orders", destination: "shop", ...body })
const stored = async (id: string) => (await api.engine.catalog.get<Trigger>(`trigger/default/${id}`))!.value

test("a trigger shows what it became: id, retry in full, start, not paused", async () => {
  const made = await create({ filters: [{ exact: { type: "a" } }], labels: { x: "y" } })
  expect(made.status).toBe(201)
  expect(made.body.id).toMatch(/^trg-[a-z0-9]{20,}$/)
  expect(made.body).toMatchObject({
    topic: "orders",
    destination: "shop",
    filters: [{ exact: { type: "a" } }],
    labels: { x: "y" },
    start: { cursor: api.engine.log.head() },
    paused: false,
    retry: { attemptsMax: 10, jitter: 0.1, ageMax: "28h" },
  })
  expect(made.body.retry.delays.slice(0, 2)).toEqual(["5s", "295s"])
})

test.each([
  "relay",
  "eventarc",
  "standard-webhooks",
  "none",
  { preset: "relay", attemptsMax: 3 },
  { delays: ["1s", 2000], ageMax: "1h" },
])("retry %j sent back as it is shown is the same", async (retry) => {
  const { id, retry: shown } = (await create({ retry })).body
  const before = (await stored(id)).retry
  const put = await api.call("PUT", `/v1/triggers/${id}`, { topic: "orders", destination: "shop", retry: shown })
  expect([put.status, put.body.retry]).toEqual([200, shown])
  expect((await stored(id)).retry).toEqual(before)
})

test("its topic is made, unless that is switched off", async () => {
  expect((await create({ topic: "fresh:7" })).status).toBe(201)
  expect((await api.call("GET", "/v1/topics/fresh")).status).toBe(200)
  const strict = await openTestApi({ topics: { autoCreate: false, dedupeWindowMs: 0 } })
  try {
    await strict.call("POST", "/v1/destinations", {
      id: "shop",
      kind: "webhook",
      config: { url: "https://example.com/" },
    })
    const refused = await strict.call("POST", "/v1/triggers", { topic: "fresh", destination: "shop" })
    expect(fields(refused)).toEqual(["topic"])
    const own = await strict.call("POST", "/v1/triggers", { topic: "redcar.dead-letters", destination: "shop" })
    expect(own.status).toBe(201)
  } finally {
    await strict.close()
  }
})

test("start is now, the oldest, a cursor or a time", async () => {
  const before = Date.now()
  const [first] = await api.append("begin", ["1"])
  await new Promise((resolve) => setTimeout(resolve, 5))
  const between = new Date().toISOString()
  await new Promise((resolve) => setTimeout(resolve, 5))
  await api.append("begin", ["2"])
  const ids = async (start: unknown) => {
    const { from } = await stored((await create({ topic: "begin", start })).body.id)
    const found: string[] = []
    for await (const { events } of api.engine.log.read({ where: { tenant: "default", topic: "begin" }, from })) {
      found.push(...events.map(({ event }) => event.id))
    }
    return found
  }
  expect(await ids(undefined)).toEqual([])
  expect(await ids("now")).toEqual([])
  expect(await ids("oldest")).toEqual(["1", "2"])
  expect(await ids({ cursor: first })).toEqual(["2"])
  expect(await ids({ time: between })).toEqual(["2"])
  expect(await ids({ time: new Date(before).toISOString() })).toEqual(["1", "2"])
  expect(await ids({ time: "2999-01-01T00:00:00Z" })).toEqual([])
})

test.each([
  ["someday", "start"],
  [{ cursor: "nonsense" }, "start.cursor"],
  [{ cursor: "zzzzz000000" }, "start.cursor"],
  [{ time: "2026-13-01T00:00:00Z" }, "start.time"],
  [{ cursor: "x", time: "y" }, "start"],
  [{}, "start"],
])("start %j is refused", async (start, field) => {
  const refused = await create({ start })
  expect([refused.status, fields(refused)]).toEqual([400, [field]])
})

test("start cannot be changed", async () => {
  const { id, start } = (await create({ start: "oldest" })).body
  expect(fields(await api.call("PATCH", `/v1/triggers/${id}`, { start: "now" }))).toEqual(["start"])
  expect((await api.call("PATCH", `/v1/triggers/${id}`, { start, description: "same" })).status).toBe(200)
  expect((await api.call("PUT", `/v1/triggers/${id}`, { topic: "orders", destination: "shop" })).body.start).toEqual(
    start,
  )
})

test("retries have to fit the topic's retention, from both sides", async () => {
  await api.call("POST", "/v1/topics", { id: "short", retention: { ageMax: "1h" } })
  expect(fields(await create({ topic: "short" }))).toEqual(["retry.ageMax"])
  expect((await create({ id: "quick", topic: "short", retry: { delays: ["1s"], ageMax: "1h" } })).status).toBe(201)
  const shorter = await api.call("PATCH", "/v1/topics/short", { retention: { ageMax: "30m" } })
  expect(fields(shorter)).toEqual(["retention.ageMax"])
  expect(shorter.body.errors[0].message).toContain("quick")
})

test("pause and resume say since when and why, and are idempotent", async () => {
  const { id } = (await create({})).body
  const paused = await api.call("POST", `/v1/triggers/${id}/pause`, { reason: "the shop is moving" })
  expect(paused.body).toMatchObject({ paused: true, pauseReason: "the shop is moving" })
  expect(paused.body.pausedSince).toMatch(/Z$/)
  expect(paused.headers.get("etag")).toBe(paused.body.etag)
  const again = await api.call("POST", `/v1/triggers/${id}/pause`)
  expect(again.body).toMatchObject({ pauseReason: "the shop is moving", pausedSince: paused.body.pausedSince })
  const renamed = await api.call("PUT", `/v1/triggers/${id}`, {
    topic: "orders",
    destination: "shop",
    description: "still",
  })
  expect(renamed.body.paused).toBe(true)
  const resumed = await api.call("POST", `/v1/triggers/${id}/resume`, {})
  expect(resumed.body.paused).toBe(false)
  expect(resumed.body.pausedSince).toBeUndefined()
  expect((await api.call("POST", `/v1/triggers/${id}/resume`)).status).toBe(200)
  expect((await api.call("PATCH", `/v1/triggers/${id}`, { paused: true })).body.pauseReason).toBe("paused by request")
  expect((await api.call("POST", "/v1/triggers/unknown/pause")).status).toBe(404)
  expect(fields(await api.call("POST", `/v1/triggers/${id}/pause`, { why: 1, reason: "" }))).toEqual(["reason", "why"])
})

test("a trigger keeps its incarnation through changes, and has a new one when it is made anew", async () => {
  const made = async () => (await api.engine.catalog.get<Trigger>("trigger/default/anew"))!.value.incarnation
  const input = { id: "anew", topic: "orders", destination: "shop" }
  await create(input)
  const first = await made()
  expect(first).toMatch(/^[0-9a-z]{14}$/)
  await api.call("PUT", "/v1/triggers/anew", { ...input, description: "put" })
  await api.call("PATCH", "/v1/triggers/anew", { description: "patched" })
  await api.call("POST", "/v1/triggers/anew/pause")
  expect(await made()).toBe(first)
  await api.call("DELETE", "/v1/triggers/anew")
  await create(input)
  expect(await made()).not.toBe(first)
  expect(JSON.stringify((await api.call("GET", "/v1/triggers/anew")).body)).not.toContain(await made())
})

test("resuming makes due what was held, deleting drops what is open", async () => {
  const { id } = (await create({ id: "held", paused: true })).body
  const [cursor] = await api.append("orders", ["held-1"])
  const { incarnation = "" } = (await api.engine.catalog.get<Trigger>(`trigger/default/${id}`))!.value
  const of = { tenant: "default", trigger: id, incarnation, destination: "shop", cursor: cursor!, fingerprint: 0 }
  const delivery = { ...of, id: deliveryId(cursor!, id, incarnation) }
  const { queue } = api.engine
  await queue.enqueue([delivery])
  const [lease] = await queue.lease({ lane: "default/shop", max: 1, leaseMs: 10_000 })
  await queue.end(lease!, { kind: "hold" })
  expect((await queue.open(delivery))?.state).toBe("held")
  await api.call("PATCH", "/v1/triggers/held", { paused: false })
  expect((await queue.open(delivery))?.state).toBe("due")
  await api.call("DELETE", "/v1/triggers/held")
  expect(await queue.open(delivery)).toBeUndefined()
})
