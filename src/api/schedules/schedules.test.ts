import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { scheduleKeys } from "../../core/catalog-keys.ts"
import type { Schedule } from "../../core/schedules.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let passed = 0
/** No two things are at one time. */
const clock = { ...systemClock, now: () => systemClock.now() + passed++ }
beforeAll(async () => {
  api = await openTestApi({ eventBytesMax: 10_000, clock })
})
afterAll(() => api.close())

const event = { type: "day.begun" }
const cron = "0 9 * * 1-5"

async function create(more: object): Promise<Awaited<ReturnType<TestApi["call"]>>> {
  return api.call("POST", "/v1/schedules", { topic: "orders", event, ...more })
}

async function faultsOf(more: object): Promise<readonly (readonly string[])[]> {
  const { status, body } = await create(more)
  expect(status, JSON.stringify(body)).toBe(400)
  return body.errors.map(({ field, message }: Record<string, string>) => [field, message])
}

test("a schedule is shown with its defaults, and how it fares", async () => {
  const made = await create({ id: "shown", cron })
  expect(made.status).toBe(201)
  const { body } = await api.call("GET", "/v1/schedules/shown")
  expect(body).toMatchObject({
    ...{ id: "shown", topic: "orders", event, cron, timeZone: "UTC" },
    ...{ missed: "once", twice: "first", absent: "moved", paused: false },
    status: { state: "active", nextRunAt: expect.stringMatching(/T09:00:00.000Z$/) },
  })
  const { items } = (await api.call("GET", "/v1/schedules")).body
  expect(items.find(({ id }: { id: string }) => id === "shown")).toEqual(body)
})

describe("what is wrong is named:", () => {
  test.each([
    [{ cron: "0 25 * * *" }, "cron", 'has "25" as hour, which is 0 to 23'],
    [{ cron: "0 0 30 2 *" }, "cron", "never comes: no month that it names has such a day"],
    [{ interval: "10ms" }, "interval", "must be 1s to 3650d"],
    [{ cron, interval: "15m" }, "interval", "is there beside cron: leave one out"],
    [{}, "cron", "is required, or interval"],
    [
      { cron, timeZone: "Europe/Bern" },
      "timeZone",
      expect.stringContaining("must be a time zone of the IANA database"),
    ],
    [{ cron, start: "tomorrow" }, "start", expect.stringContaining("must be an RFC 3339 time")],
    [{ cron, start: "2030-01-02T00:00:00Z", end: "2030-01-01T00:00:00Z" }, "end", "is before the start"],
    [{ cron, end: "2020-01-01T00:00:00Z" }, "end", "is before the first run: there would be none"],
    [{ cron, topic: "redcar.attempts" }, "topic", "is written by the hub alone"],
    [{ cron, topic: "Orders" }, "topic", expect.stringContaining("a topic's name is")],
    [{ cron, event: { ...event, source: "a b" } }, "event.source", expect.stringContaining("URI")],
    [{ cron, event: { ...event, dataContentType: "x" } }, "event.dataContentType", expect.any(String)],
    [
      { cron, event: { ...event, extensions: { id: "1" } } },
      "event.extensions.id",
      expect.stringContaining("no extension"),
    ],
    [{ cron, event: { ...event, extensions: { a: 2 ** 40 } } }, "event.extensions.a", expect.any(String)],
    [{ cron, event: { ...event, data: "x".repeat(10_000) } }, "event", expect.stringContaining("10000 at most")],
  ])("%j", async (more, field, message) => {
    expect(await faultsOf(more)).toEqual([[field, message]])
  })

  test("data that would not be kept as they are written", async () => {
    const text = `{"topic":"orders","cron":"${cron}","event":{"type":"t","data":{"n":9007199254740993}}}`
    const { status, body } = await api.call("POST", "/v1/schedules", text)
    expect([status, body.errors[0].field]).toEqual([400, "event.data.n"])
  })
})

test("one whose time zone this process does not know is shown, with what is wrong", async () => {
  await create({ id: "odd", cron, paused: true })
  const odd = { ...(await stored("odd")), timeZone: "Mars/Base" }
  await api.engine.catalog.put(scheduleKeys.of(odd), odd)
  const { status, body } = await api.call("GET", "/v1/schedules")
  expect(status).toBe(200)
  expect(body.items.find(({ id }: { id: string }) => id === "odd").status).toMatchObject({
    lastError: { detail: "timeZone: this process knows no Mars/Base" },
  })
  expect((await api.call("GET", "/v1/schedules/odd/next")).body.items).toEqual([])
})

test("where publishing makes no topics, a schedule needs one that is there", async () => {
  const strict = await openTestApi({ topics: { autoCreate: false, dedupeWindowMs: 0 } })
  const body = { topic: "nowhere", event, cron }
  const refused = await strict.call("POST", "/v1/schedules", body)
  expect(refused.body.errors).toEqual([{ field: "topic", message: "there is no topic nowhere; create it first" }])
  await strict.call("POST", "/v1/topics", { id: "nowhere" })
  expect((await strict.call("POST", "/v1/schedules", body)).status).toBe(201)
  await strict.close()
})

async function stored(id: string): Promise<Schedule> {
  return (await api.engine.catalog.get<Schedule>(scheduleKeys.of({ tenant: "default", id })))!.value
}

test("what its runs are counted from changes with its timing alone, and when it is resumed", async () => {
  await create({ id: "since", cron })
  const first = await stored("since")
  const patch = (body: object) =>
    api.call("PATCH", "/v1/schedules/since", body, { "content-type": "application/merge-patch+json" })
  expect((await patch({ event: { type: "other" }, missed: "all" })).status).toBe(200)
  expect((await stored("since")).since).toBe(first.since)
  expect((await patch({ cron: null, interval: "15m" })).status).toBe(200)
  const second = await stored("since")
  expect(second.since).toBeGreaterThan(first.since)
  expect(second).toMatchObject({ intervalMs: 900_000, anchor: first.createdAt, incarnation: first.incarnation })
  await api.call("POST", "/v1/schedules/since/pause", { reason: "closed" })
  expect((await api.call("GET", "/v1/schedules/since")).body).toMatchObject({
    ...{ paused: true, pauseReason: "closed" },
    status: { state: "paused" },
  })
  await api.call("POST", "/v1/schedules/since/resume")
  expect((await stored("since")).since).toBeGreaterThan(second.since)
})

test("one that is made anew under its id is another one", async () => {
  await create({ id: "again", cron })
  const { incarnation } = await stored("again")
  await api.call("DELETE", "/v1/schedules/again")
  await create({ id: "again", cron })
  expect((await stored("again")).incarnation).not.toBe(incarnation)
})

test("a patch replaces data as a whole, with their nulls", async () => {
  await create({ id: "data", cron, event: { ...event, data: { a: 1, b: 2 } } })
  const headers = { "content-type": "application/merge-patch+json" }
  const patched = await api.call("PATCH", "/v1/schedules/data", { event: { data: { a: null } } }, headers)
  expect(patched.body.event).toEqual({ ...event, data: { a: null } })
  const without = await api.call("PATCH", "/v1/schedules/data", { event: { data: null } }, headers)
  expect(without.body.event).toEqual(event)
})

test("the next runs are told, of one that is saved and of one that is not", async () => {
  await create({ id: "next", interval: "1h", start: "2090-01-01T00:30:00+01:00" })
  const { items } = (await api.call("GET", "/v1/schedules/next/next?count=2")).body
  expect(items).toEqual([
    { at: "2089-12-31T23:30:00.000Z", local: "2089-12-31T23:30:00+00:00" },
    { at: "2090-01-01T00:30:00.000Z", local: "2090-01-01T00:30:00+00:00" },
  ])
  const night = { cron: "30 2 * * *", timeZone: "Europe/Berlin", start: "2090-01-28T00:00:00Z" }
  const unsaved = (await api.call("POST", "/v1/schedules/next?count=1", night)).body.items
  expect(unsaved).toEqual([{ at: "2090-01-28T01:30:00.000Z", local: "2090-01-28T02:30:00+01:00" }])
  const ending = { interval: "1h", start: "2090-01-01T00:00:00Z", end: "2090-01-01T01:00:00Z" }
  expect((await api.call("POST", "/v1/schedules/next", ending)).body.items).toHaveLength(2)
  const wrong = await api.call("POST", "/v1/schedules/next", { cron: "x" })
  expect(wrong.body.errors.map(({ field }: { field: string }) => field)).toEqual(["cron"])
})

test("nobody sees or changes another tenant's schedule", async () => {
  await create({ id: "mine", cron })
  const other = { authorization: "Bearer other" }
  for (const [method, path] of [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/pause"],
    ["GET", "/next"],
  ] as const) {
    expect((await api.call(method, `/v1/schedules/mine${path}`, undefined, other)).status).toBe(404)
  }
  expect((await api.call("GET", "/v1/schedules", undefined, other)).body.items).toEqual([])
})
