import { afterAll, beforeAll, expect, test } from "vitest"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi, testEvent } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly string[]
const address = { tenant: "default", topic: "orders" }

beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  cursors = await api.append(
    "orders",
    ["1", "2", "1", "3", "1"].map(String).map((id, n) => `${id}.${n}`),
  )
  const filters = [{ prefix: { type: "test.1" } }]
  const body = { id: "ones", topic: "orders", destination: "shop", filters, paused: true }
  expect((await api.call("POST", "/v1/triggers", body)).status).toBe(201)
})
afterAll(() => api.close())

async function dryRun(path: string, body?: object) {
  const answer = await api.call("POST", path, body)
  if (answer.status !== 200) return { ...answer, lines: [], result: undefined }
  const lines = answer.text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  return { ...answer, lines, result: lines.at(-1) }
}

test("counts, a sample, what decided about the others, and the rate", async () => {
  const { headers, lines, result } = await dryRun("/v1/triggers/ones/dry-run")
  expect(headers.get("content-type")).toBe("application/x-ndjson")
  expect(lines[0]).toMatchObject({ kind: "progress", events: 0 })
  expect(result).toMatchObject({
    kind: "result",
    events: 5,
    matched: 3,
    complete: true,
    perMinute: 3,
    perMinuteMax: 3,
    clauses: [{ clause: 'type begins with "test.1"', events: 2 }],
  })
  expect(result.sample.map((each: { id: string }) => each.id)).toEqual(["1.0", "1.2", "1.4"])
  expect(result.sample[0]).toEqual({ cursor: cursors[0], id: "1.0", source: "/test", type: "test.1.0" })
})

test("a range by cursors, by times and by count; next is where to go on", async () => {
  const between = await dryRun("/v1/triggers/ones/dry-run", { from: cursors[0], until: cursors[2] })
  expect(between.result).toMatchObject({ events: 2, matched: 1, complete: true })
  const limited = await dryRun("/v1/triggers/ones/dry-run", { eventsMax: 2, sampleMax: 0 })
  expect(limited.result).toMatchObject({ events: 2, matched: 1, complete: false, next: cursors[1], sample: [] })
  const rest = await dryRun("/v1/triggers/ones/dry-run", { from: limited.result.next })
  expect(rest.result).toMatchObject({ events: 3, matched: 2, complete: true })
  const exactly = await dryRun("/v1/triggers/ones/dry-run", { eventsMax: 5 })
  expect(exactly.result).toMatchObject({ events: 5, complete: true })
  const past = await dryRun("/v1/triggers/ones/dry-run", { until: "2001-01-01T00:00:00Z" })
  expect(past.result).toMatchObject({ events: 0, matched: 0, complete: true, perMinute: 0, clauses: [] })
  const nothing = await dryRun("/v1/triggers/ones/dry-run", { from: rest.result.next })
  expect(nothing.result).toMatchObject({ events: 0, matched: 0, complete: true })
})

test("a trigger that is not saved", async () => {
  const body = { topic: "orders", filters: [{ sql: "type = 'test.2.1'" }, { query: "data.a == 1" }] }
  const { result } = await dryRun("/v1/triggers:dry-run", body)
  expect(result).toMatchObject({ matched: 1, clauses: [{ clause: "type = 'test.2.1'", events: 4 }] })
  const empty = await dryRun("/v1/triggers:dry-run", { topic: "nobody" })
  expect(empty.result).toMatchObject({ events: 0, matched: 0 })
})

test("every fault names its field, and what is another tenant's is not there", async () => {
  const faults = async (path: string, body: object) =>
    (await api.call("POST", path, body)).body.errors.map((each: { field: string }) => each.field).sort()
  expect(await faults("/v1/triggers/ones/dry-run", { from: "?", until: "oldest", eventsMax: 0, x: 1 })).toEqual([
    "eventsMax",
    "from",
    "until",
    "x",
  ])
  expect(await faults("/v1/triggers/ones/dry-run", { from: "newest" })).toEqual(["from"])
  expect(await faults("/v1/triggers:dry-run", { filters: [{ exact: {} }] })).toEqual(["filters[0].exact", "topic"])
  const other = await api.call("POST", "/v1/triggers/ones/dry-run", {}, { authorization: "Bearer other" })
  expect(other.status).toBe(404)
  const unsaved = await api.call("POST", "/v1/triggers:dry-run", { topic: "orders" }, { authorization: "Bearer other" })
  expect(JSON.parse(unsaved.text.trim().split("\n").at(-1)!)).toMatchObject({ events: 0 })
})

test("the rate is over the stored time of the range", async () => {
  const clock = createSimulatedClock(Date.UTC(2030, 0, 1))
  // Its timers have to pass by themselves: the test waits for no one else.
  const after = (_: number, run: () => void) => passes(run)
  const passing = { now: () => clock.now(), steady: () => clock.steady(), after }
  const timed = await openTestApi({ clock: passing })
  try {
    await timed.call("POST", "/v1/topics", { id: "orders" })
    for (const id of ["1", "2", "3", "4"]) {
      await timed.engine.log.append(address, [testEvent(id)])
      await clock.advance(id === "1" ? 1_000 : 120_000)
    }
    const { text } = await timed.call("POST", "/v1/triggers:dry-run", { topic: "orders" })
    const result = JSON.parse(text.trim().split("\n").at(-1)!)
    expect(result).toMatchObject({ matched: 4, perMinuteMax: 2, perMinute: 0.996 })
  } finally {
    await timed.close()
  }
})

function passes(run: () => void): () => void {
  const pending = setImmediate(run)
  return () => clearImmediate(pending)
}

test("it ends when its client goes away, and makes room for another", async () => {
  const many = Array.from({ length: 20_000 }, (_, n) => testEvent(`m${n}`))
  await api.call("POST", "/v1/topics", { id: "many" })
  await api.engine.log.append({ tenant: "default", topic: "many" }, many)
  const body = JSON.stringify({ topic: "many", filters: [{ sql: "UPPER(type) = 'X' AND data.a > 5" }] })
  const headers = { authorization: "Bearer admin", "content-type": "application/json" }
  const start = async () => {
    const stop = new AbortController()
    const answer = await fetch(`${api.url}/v1/triggers:dry-run`, { method: "POST", body, headers, signal: stop.signal })
    return { status: answer.status, stop }
  }
  const runs = await Promise.all([start(), start(), start(), start(), start()])
  expect(runs.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 503])
  for (const { stop } of runs) stop.abort()
  const again = async () => {
    const { status, stop } = await start()
    stop.abort()
    return status
  }
  await expect.poll(again).toBe(200)
})
