import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

const count = 2_300
let api: TestApi

beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  await api.call("POST", "/v1/topics", { id: "orders" })
  await api.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })
})
afterAll(() => api.close())

const letters = async () =>
  (await api.engine.queue.deadLetters({ tenant: "default", limit: 10 * count, trigger: "paid" })).length

/** Has as many deliveries as there are dead letters missing die. */
async function bury(): Promise<void> {
  const { queue, catalog } = api.engine
  const { incarnation } = (await catalog.get<Trigger>("trigger/default/paid"))!.value
  await queue.drop("default", "paid", incarnation!)
  const cursors = await api.append(
    "orders",
    Array.from({ length: count - (await letters()) }, (_, i) => `${Date.now()}-${i}`),
  )
  const deliveries = cursors.map(
    (cursor): Delivery => ({
      id: deliveryId(cursor, "paid", incarnation!),
      tenant: "default",
      trigger: "paid",
      incarnation: incarnation!,
      destination: "shop",
      cursor,
      fingerprint: 0,
    }),
  )
  await queue.enqueue(deliveries)
  const leases = await queue.lease({ lane: "default/shop", max: count, leaseMs: 60_000 })
  const lastOutcome = { kind: "failed", detail: "500", permanent: false } as const
  await Promise.all(
    leases.map((lease) => {
      const address = { tenant: "default", topic: "orders" }
      const dead = { address, reason: "exhausted", attempts: 1, diedAt: Date.now(), lastOutcome } as const
      return queue.end(lease, { kind: "dead", letter: { ...lease.delivery, ...dead } })
    }),
  )
  expect(await letters()).toBe(count)
}

test("many are redriven part by part, each once", async () => {
  await bury()
  const path = "/v1/dead-letters/redrive"
  const parts: { matched: number; redriven: number }[] = []
  let pageToken: string | undefined
  do {
    const { body } = await api.call("POST", path, { trigger: "paid", limit: 1_000, ...(pageToken && { pageToken }) })
    pageToken = body.nextPageToken
    parts.push({ matched: body.matched, redriven: body.redriven })
  } while (pageToken !== undefined)
  expect(parts.map(({ matched }) => matched)).toEqual([1_000, 1_000, 300])
  expect(parts.map(({ redriven }) => redriven)).toEqual([1_000, 1_000, 300])
  expect(await letters()).toBe(0)
  expect((await api.call("POST", path, { limit: 10_001 })).body.errors[0].field).toBe("limit")
  const { body } = await api.call("POST", path, { limit: 1, dryRun: true, trigger: "none" })
  expect(body).toEqual({ matched: 0, redriven: 0 })
  // A token is good for what it came of.
  await bury()
  const dry = await api.call("POST", path, { limit: 1, dryRun: true, trigger: "paid" })
  const other = await api.call("POST", path, { limit: 1, trigger: "paid", pageToken: dry.body.nextPageToken })
  expect([dry.body.matched, other.status]).toEqual([1, 400])
})

test("a client that goes away ends it", async () => {
  await bury()
  const { queue } = api.engine
  const leaving = new AbortController()
  let redriven = 0
  const spy = vi.spyOn(queue, "redrive").mockImplementation(async () => {
    redriven++
    leaving.abort()
    // Long enough for the server to see that the connection is closed.
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
    return true
  })
  try {
    const request = fetch(`${api.url}/v1/dead-letters/redrive`, {
      method: "POST",
      headers: { authorization: "Bearer admin", "content-type": "application/json" },
      body: JSON.stringify({ trigger: "paid" }),
      signal: leaving.signal,
    })
    await expect(request).rejects.toThrow()
    let before = -1
    while (before !== redriven) {
      before = redriven
      for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate)
    }
    expect(redriven).toBeLessThan(count / 4)
  } finally {
    spy.mockRestore()
  }
})

test("the command line counts, draws a bar, and stops between parts", async () => {
  await bury()
  const hub = ["--url", api.url, "--key", "admin"]
  const counted = await runCli(["dead-letter", "redrive", "--trigger", "paid", "--dry-run", ...hub])
  expect([counted.code, counted.out]).toEqual([
    0,
    expect.stringContaining("2,300 dead letters would be delivered again"),
  ])
  const interrupt = new AbortController()
  const stopped = await runCli(["dead-letter", "redrive", "--trigger", "paid", "--yes", ...hub], {
    columns: 100,
    interrupt: interrupt.signal,
    onErr: (text) => {
      if (text.includes("%")) interrupt.abort()
    },
  })
  expect(stopped.code).not.toBe(0)
  expect(stopped.err).toContain("stopped: 1,000 dead letters on the way again")
  expect(await letters()).toBe(1_300)
  const rest = await runCli(["dead-letter", "redrive", "--trigger", "paid", "--yes", "--json", ...hub])
  expect(JSON.parse(rest.out)).toEqual({ matched: 1_300, redriven: 1_300 })
  expect(await letters()).toBe(0)
})
