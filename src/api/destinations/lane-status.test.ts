import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import type { LaneReport } from "../../core/lane-status.ts"
import type { Trigger } from "../../core/resources.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
const report: LaneReport = {
  breaker: "open",
  restsUntil: Date.now() + 60_500,
  inFlight: 1,
  attempts: 8,
  delivered: 6,
  lastError: { at: Date.now() - 5_000, detail: "503 Service Unavailable", status: 503 },
}

beforeAll(async () => {
  api = await openTestApi()
  for (const id of ["bank", "shop"])
    await api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
  await api.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })
  const { queue, catalog } = api.engine
  const { incarnation = "" } = (await catalog.get<Trigger>("trigger/default/paid"))!.value
  const deliveries = (await api.append("orders", ["1", "2", "3"])).map((cursor): Delivery => {
    const names = { tenant: "default", trigger: "paid", incarnation, destination: "shop", cursor, fingerprint: 0 }
    return { ...names, id: deliveryId(cursor, "paid", incarnation) }
  })
  await queue.enqueue(deliveries)
  const [lease] = await queue.lease({ lane: "default/shop", max: 1, leaseMs: 60_000 })
  await queue.end(lease!, { kind: "hold" })
})
afterAll(() => api.close())

const get = async (path: string) => (await api.call("GET", path)).body

test("while nobody delivers, what waits is told, and the breaker is unknown", async () => {
  const { status } = await get("/v1/destinations/shop")
  expect(status).toEqual({ breaker: "unknown", waiting: 3, oldestDueAt: expect.stringMatching(/Z$/) })
})

test("a destination and a trigger tell how they fare, alone and in their lists", async () => {
  const quiet: LaneReport = { breaker: "closed", inFlight: 0, attempts: 0, delivered: 0 }
  api.engine.queue.reportBy((lane) => (lane === "default/shop" ? report : quiet))
  const shop = {
    breaker: "open",
    restsUntil: new Date(report.restsUntil!).toISOString(),
    waiting: 3,
    oldestDueAt: expect.stringMatching(/Z$/),
    inFlight: 1,
    recent: { attempts: 8, delivered: 6, successRate: 0.75 },
    lastError: { at: new Date(report.lastError!.at).toISOString(), detail: "503 Service Unavailable", status: 503 },
  }
  const bank = { breaker: "closed", waiting: 0, inFlight: 0, recent: { attempts: 0, delivered: 0 } }
  expect((await get("/v1/destinations/shop")).status).toEqual(shop)
  expect((await get("/v1/destinations")).items.map(({ status }: { status: object }) => status)).toEqual([bank, shop])
  expect((await get("/v1/triggers")).items[0].status).toEqual({ state: "active", destination: shop })
  expect((await get("/v1/triggers/paid")).status).toEqual({
    state: "active",
    destination: shop,
    waiting: 3,
    held: 1,
    waitingComplete: true,
    oldestDueAt: shop.oldestDueAt,
  })
})

test("what was read can be sent back, and a status is set by the hub alone", async () => {
  for (const path of ["/v1/destinations/shop", "/v1/triggers/paid"]) {
    const read = await api.call("GET", path)
    const etag = { "if-match": read.headers.get("etag")! }
    const replaced = await api.call("PUT", path, read.body, etag)
    expect(replaced.status).toBe(200)
    const patched = await api.call("PATCH", path, { status: { breaker: "closed" } })
    expect([patched.status, patched.body.errors[0].field]).toEqual([400, "status"])
  }
})

test("the command line lists how destinations and triggers fare", async () => {
  const flags = ["--url", api.url, "--key", "admin"]
  const { out } = await runCli(["destination", "list", ...flags])
  expect(out).toMatch(/^ID +KIND +TO +BREAKER +WAITING +OLDEST +5 MIN +LAST ERROR\n/)
  expect(out).toMatch(/bank .* closed +0 +- +-\n/)
  expect(out).toMatch(/shop .* open, in (1m|5\ds) +3 +\ds +75% +503 Service Unavailable, \d+s ago\n/)
  expect((await runCli(["trigger", "list", ...flags])).out).toMatch(/paid +orders +shop +active +open, in (1m|5\ds) /)
  expect((await runCli(["destination", "get", "shop", ...flags])).out).toMatch(/breaker: open\n/)
})
