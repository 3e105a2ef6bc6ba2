import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, expect, test } from "vitest"
import { testHubs } from "./hubs.fixture.ts"
import { until } from "./restart.fixture.ts"
import { HubProcess } from "./testing/hub-process.ts"

const { directory } = testHubs("unended")
/** Requests that nobody answers. */
const hanging: ServerResponse[] = []
const receiver = createServer((_, response) => void hanging.push(response)).listen(0, "127.0.0.1")
await once(receiver, "listening")
afterAll(() => {
  receiver.closeAllConnections()
  receiver.close()
})

test("a hub that is killed during each attempt of a delivery gives it up in the end", { timeout: 90_000 }, async () => {
  const path = directory()
  const hub = new HubProcess({
    ...{ name: "hub", roles: ["ingest", "route", "deliver", "api"], directory: path, logDirectory: path },
    ...{ key: `rck_${"k".repeat(43)}`, flags: ["--destinations-allow-private"] },
  })
  const body = async (method: string, path: string, sent?: unknown) =>
    (await (await hub.call(method, path, sent)).json()) as { readonly items: readonly { readonly state: string }[] }
  try {
    await hub.start()
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
    await body("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url } })
    const retry = { delays: ["1s"], attemptsMax: 2 }
    await body("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop", retry })
    const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid" }
    await body("POST", "/v1/topics/orders/events", event)
    for (const attempt of [1, 2]) {
      await until(async () => hanging.length === attempt)
      await until(async () => (await body("GET", "/v1/deliveries")).items[0]?.state === "leased")
      // So long an attempt is under way before it is noted, and its note on its way to the disk.
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      await hub.kill()
      await hub.start()
    }
    await until(async () => (await body("GET", "/v1/dead-letters")).items.length === 1)
    const { items } = await body("GET", "/v1/dead-letters")
    expect(items).toMatchObject([
      { reason: "exhausted", attempts: 2, lastOutcome: { detail: "the hub died during its last attempt" } },
    ])
    expect(hanging).toHaveLength(2)
  } finally {
    await hub.close()
  }
})
