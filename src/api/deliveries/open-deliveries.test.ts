import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly Cursor[]
let all: readonly Delivery[]

beforeAll(async () => {
  api = await openTestApi()
  cursors = await api.append("orders:7", ["1", "2", "3", "4"])
  all = cursors.flatMap((cursor) => [deliveryOf(cursor, "paid", "bank"), deliveryOf(cursor, "ship", "shop")])
  const { queue } = api.engine
  await queue.enqueue([...all, deliveryOf(cursors[0]!, "foreign", "shop", "other")])
  const [first, second] = await queue.lease({ lane: "default/shop", max: 2, leaseMs: 60_000 })
  await queue.end(first!, { kind: "retry", delayMs: 3_600_000 })
  await queue.end(second!, { kind: "hold" })
})
afterAll(() => api.close())

function deliveryOf(cursor: Cursor, trigger: string, destination: string, tenant = "default"): Delivery {
  const id = deliveryId(cursor, trigger, "i1")
  return { id, tenant, trigger, incarnation: "i1", destination, cursor, fingerprint: 0 }
}

const ids = (answer: Answer): string[] => answer.body.items.map((item: { id: string }) => item.id)
const list = (query = "", headers?: Record<string, string>) =>
  api.call("GET", `/v1/deliveries${query}`, undefined, headers)
const idsWhere = (keep: (delivery: Delivery) => boolean) => all.filter(keep).map(({ id }) => id)

test("what is open is listed with where it stands", async () => {
  const { body } = await list()
  expect(body.items.map((item: { id: string }) => item.id)).toEqual(idsWhere(() => true))
  expect(body.nextPageToken).toBeUndefined()
  expect(body.items[1]).toEqual({
    id: all[1]!.id,
    cursor: cursors[0],
    topic: "orders:7",
    trigger: "ship",
    destination: "shop",
    state: "parked",
    attempts: 1,
    dueAt: expect.stringMatching(/Z$/),
    firstDueAt: expect.stringMatching(/Z$/),
    nextAt: body.items[1].dueAt,
  })
  expect(body.items[3]).toMatchObject({ state: "held", waitsFor: "trigger" })
  expect(body.items[3].nextAt).toBeUndefined()
  expect(Date.parse(body.items[1].dueAt) - Date.parse(body.items[1].firstDueAt)).toBeGreaterThanOrEqual(3_600_000)
})

test("it is listed by trigger, destination and state, and page by page", async () => {
  expect(ids(await list("?trigger=paid"))).toEqual(idsWhere(({ trigger }) => trigger === "paid"))
  expect(ids(await list("?destination=shop"))).toEqual(idsWhere(({ destination }) => destination === "shop"))
  expect(ids(await list("?state=held"))).toEqual([all[3]!.id])
  expect(ids(await list("?destination=shop&state=due"))).toEqual([all[5]!.id, all[7]!.id])
  expect(ids(await list("?trigger=paid&destination=shop"))).toEqual([])
  expect((await list("?state=done")).body.errors).toMatchObject([{ field: "state" }])
  const found: string[] = []
  for (let token = ""; ; ) {
    const page = await list(`?pageSize=3${token}`)
    expect(ids(page).length).toBeLessThanOrEqual(3)
    found.push(...ids(page))
    if (page.body.nextPageToken === undefined) break
    token = `&pageToken=${page.body.nextPageToken}`
  }
  expect(found).toEqual(idsWhere(() => true))
  const { nextPageToken } = (await list("?pageSize=1")).body
  expect((await list(`?state=due&pageToken=${nextPageToken}`)).status).toBe(400)
})

test("each tenant sees its own", async () => {
  const answer = await list("", { authorization: "Bearer other" })
  expect(ids(answer)).toEqual([deliveryId(cursors[0]!, "foreign", "i1")])
  // The event is another tenant's.
  expect(answer.body.items[0].topic).toBeUndefined()
  for (const odd of ["..%2fother", "shop%20", "%00", "x".repeat(5_000)]) {
    expect((await list(`?destination=${odd}`)).body.items).toEqual([])
  }
})

test("the command line shows it to people and programs", async () => {
  const flags = ["--url", api.url, "--key", "admin"]
  const { out } = await runCli(["delivery", "list", "--destination", "shop", ...flags])
  expect(out.split("\n")[0]).toMatch(/^EVENT +TOPIC +TRIGGER +DESTINATION +STATE +TRIES +AGE +NEXT$/)
  expect(out).toMatch(/orders:7 +ship +shop +parked +1 +\ds +in 59m/)
  expect(out).toMatch(/held +0 +\ds +when its trigger is resumed/)
  const json = await runCli(["delivery", "list", "--state", "parked", "--json", ...flags])
  expect(JSON.parse(json.out)).toMatchObject([{ id: all[1]!.id, state: "parked" }])
  const none = await runCli(["delivery", "list", "--trigger", "none", ...flags])
  expect(none.out).toBe("Nothing matches --trigger none.\nThere is no trigger none.\n")
})

test("what is due and held back says what it waits for", async () => {
  const { queue } = api.engine
  const restsUntil = Date.now() + 600_000
  const report = { breaker: "open", restsUntil, inFlight: 0, attempts: 0, delivered: 0 } as const
  queue.reportBy(() => report)
  await api.call("POST", "/v1/destinations", { id: "bank", kind: "webhook", config: { url: "https://example.com/" } })
  await api.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "bank" })
  const cli = async (...args: string[]) => (await runCli([...args, "--url", api.url, "--key", "admin"])).out
  const resting = { state: "due", waitsFor: "destination", nextAt: new Date(restsUntil).toISOString() }
  expect((await list("?trigger=paid")).body.items[0]).toMatchObject(resting)
  expect(await cli("delivery", "list", "--trigger", "paid")).toMatch(/due +0 +\ds +in (9|10)m.*, destination rests/)
  expect(await cli("event", "deliveries", cursors[0]!)).toMatch(/paid +bank +due +0 +in (9|10)m.*, destination rests/)
  const parked = (await list("?state=parked")).body.items[0]
  expect([parked.waitsFor, parked.nextAt]).toEqual([undefined, parked.dueAt])
  await api.call("POST", "/v1/triggers/paid/pause")
  const [paused] = (await list("?trigger=paid")).body.items
  expect([paused.state, paused.waitsFor, paused.nextAt]).toEqual(["due", "trigger", undefined])
  expect(await cli("delivery", "list", "--trigger", "paid")).toMatch(/due +0 +\ds +held: trigger paused/)
  const { items } = (await api.call("GET", `/v1/events/${cursors[0]}/deliveries`)).body
  expect(items[0]).toMatchObject({ trigger: "paid", waitsFor: "trigger" })
})
