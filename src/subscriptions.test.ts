import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { testHubs } from "./hubs.fixture.ts"
import type { RestartableHub } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

const { directory, nats, start } = testHubs("subscriptions")

async function publish(hub: RestartableHub, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const event = { specversion: "1.0", id, source: "/shop", type: "order.paid" }
    expect((await hub.call("POST", "/v1/topics/orders/events", event)).status).toBe(202)
  }
}

async function read(hub: RestartableHub, query = "") {
  const { status, body } = await hub.call("GET", `/v1/subscriptions/billing/events${query}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return { ids: body.items.map(({ id }: { id: string }) => id), next: body.next, position: body.position }
}

function commit(hub: RestartableHub, { next, position }: Awaited<ReturnType<typeof read>>) {
  return hub.call("POST", "/v1/subscriptions/billing/commit", { cursor: next, expected: position })
}

test("a position survives a restart, and what came meanwhile follows it", async () => {
  const data = directory()
  const first = await start(data)
  await first.call("POST", "/v1/subscriptions", { id: "billing", topic: "orders", start: "oldest" })
  await publish(first, "1", "2", "3")
  const page = await read(first, "?limit=2")
  expect((await commit(first, page)).status).toBe(200)
  await first.stop()
  const second = await start(data)
  await publish(second, "4")
  expect((await read(second)).ids).toEqual(["3", "4"])
  expect((await commit(second, page)).status).toBe(200)
  const { lag } = (await second.call("GET", "/v1/subscriptions/billing")).body.status
  expect(lag.events).toBe(2)
})

describe.skipIf(natsAvailable() === undefined)("on NATS (skipped where there is no nats-server)", () => {
  test("two processes see one position: of two commits at once one is heard, and whoever waits hears the other's events", async () => {
    const url = await nats()
    const [first, other] = [directory(), directory()]
    const one = await start(first, { engine: url })
    copyFileSync(join(first, "admin.key"), join(other, "admin.key"))
    const two = await start(other, { engine: url })
    await one.call("POST", "/v1/subscriptions", { id: "billing", topic: "orders", start: "oldest" })
    await publish(two, "1", "2", "3")
    const pages = [await read(one, "?limit=1"), await read(two, "?limit=2")] as const
    expect(pages.map(({ ids }) => ids)).toEqual([["1"], ["1", "2"]])
    const heard = await Promise.all([commit(one, pages[0]), commit(two, pages[1])])
    expect(heard.map(({ status }) => status).toSorted()).toEqual([200, 412])
    const left = heard[0]!.status === 200 ? ["2", "3"] : ["3"]
    const rest = await read(two)
    expect([rest.ids, (await read(one)).ids]).toEqual([left, left])
    expect((await commit(one, rest)).status).toBe(200)
    const { lag, missed } = (await one.call("GET", "/v1/subscriptions/billing")).body.status
    expect([lag.events, missed]).toEqual([0, false])
    const waiting = read(two, "?waitFor=30s")
    await publish(one, "4")
    expect((await waiting).ids).toEqual(["4"])
    await two.stop()
    await one.stop()
    const again = await start(first, { engine: url })
    expect((await read(again)).ids).toEqual(["4"])
    await again.call("DELETE", "/v1/subscriptions/billing")
    await again.call("POST", "/v1/subscriptions", { id: "billing", topic: "orders", start: "oldest" })
    expect((await read(again)).ids).toEqual(["1", "2", "3", "4"])
  }, 120_000)
})
