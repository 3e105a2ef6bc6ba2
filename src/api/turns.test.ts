import { afterAll, beforeAll, expect, test } from "vitest"
import type { Clock } from "../core/clock.ts"
import { systemClock } from "../telemetry/clock.ts"
import { openTestApi, type TestApi } from "./api.fixture.ts"

/** A clock on which a millisecond goes by whenever somebody looks at it, and how often somebody let others have their turn. */
function restlessClock() {
  let looks = 0
  let rests = 0
  const clock: Clock = {
    now: () => systemClock.now(),
    steady: () => systemClock.steady() + looks++,
    after(ms, run) {
      if (ms === 0) rests++
      return systemClock.after(ms, run)
    },
  }
  return { clock, rests: () => rests }
}

const { clock, rests } = restlessClock()
const triggers = 300
const heavy = { any: Array.from({ length: 30 }, (_, at) => ({ sql: `data.s LIKE '%a_b${at}%'` })) }
const event = { specversion: "1.0", id: "1", source: "/s", type: "t", data: { s: "a".repeat(200_000) } }
let api: TestApi
let cursor: string

beforeAll(async () => {
  api = await openTestApi({ clock })
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  const data = Buffer.from(JSON.stringify(event.data))
  cursor = (await api.append("orders", ["1"], data))[0]!
  for (let at = 0; at < triggers; at++) {
    const body = { id: `t${at}`, topic: at % 2 === 0 ? "orders" : "others", destination: "shop", paused: true }
    expect((await api.call("POST", "/v1/triggers", body)).status).toBe(201)
  }
})
afterAll(() => api.close())

/** How often others had their turn while a request was answered. */
async function restsOf(method: string, path: string, body?: object): Promise<number> {
  const before = rests()
  const answer = await api.call(method, path, body)
  expect([path, answer.status]).toEqual([path, 200])
  return rests() - before
}

test("a look at many triggers lets others have their turn", async () => {
  expect(await restsOf("POST", "/v1/triggers:match", { cursor, explain: true })).toBeGreaterThan(triggers / 20)
  expect(await restsOf("POST", "/v1/triggers:match", { topic: "none", event })).toBeGreaterThan(triggers / 20)
  expect(await restsOf("GET", `/v1/events/${cursor}/journey`)).toBeGreaterThan(triggers / 20)
})

test("a question that all triggers are read for lets others have their turn", async () => {
  const enough = triggers / 20
  expect(await restsOf("GET", `/v1/events/${cursor}/deliveries`)).toBeGreaterThan(2 * enough)
  expect(await restsOf("GET", "/v1/triggers?labels=none%3Dhere")).toBeGreaterThan(enough)
  await api.call("POST", "/v1/destinations", { id: "spare", kind: "webhook", config: { url: "https://example.com/" } })
  await api.call("POST", "/v1/topics", { id: "spare" })
  expect(await restsOf("DELETE", "/v1/destinations/spare?validate_only=true")).toBeGreaterThan(enough)
  expect(await restsOf("DELETE", "/v1/topics/spare?validate_only=true")).toBeGreaterThan(enough)
  const used = await api.call("DELETE", "/v1/topics/orders")
  expect(used.body.detail).toContain(`and ${triggers / 2 - 5} more`)
  expect(await restsOf("PATCH", "/v1/topics/spare", { retention: { ageMax: "1d" } })).toBeGreaterThan(enough)
})

test("an event that takes long to decide lets others have their turn", async () => {
  const steps = 30 * event.data.s.length
  const turns = steps / 500_000 / 2
  expect(await restsOf("POST", "/v1/triggers:explain", { filters: [heavy], event })).toBeGreaterThan(turns)
  expect(await restsOf("POST", "/v1/triggers:dry-run", { topic: "orders", filters: [heavy] })).toBeGreaterThan(turns)
  const filters = encodeURIComponent(JSON.stringify([heavy]))
  expect(await restsOf("GET", `/v1/topics/orders/events?filters=${filters}`)).toBeGreaterThan(turns)
  expect(await restsOf("GET", `/v1/topics/orders/events?limit=all&format=ndjson&filters=${filters}`)).toBeGreaterThan(
    turns,
  )
})
