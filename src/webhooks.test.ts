import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"

let data: string
let hub: RestartableHub
/** What came: its method, and the event's id where it is in a header. */
let came: string[]
/** Whether the receiver agrees to be sent to. */
let agrees: boolean
let url: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), "redcar-webhooks-"))
  came = []
  agrees = false
  const server = createServer((request, response) => {
    came.push(`${request.method} ${request.headers["ce-id"] ?? request.headers["content-type"] ?? ""}`.trim())
    if (request.method === "OPTIONS" && agrees) response.setHeader("webhook-allowed-origin", "hub.example.com")
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  hub = await startHubOn(data, { "destinations.origin": "hub.example.com" })
  closing.push(async () => {
    await hub.stop()
    server.closeAllConnections()
    server.close()
    rmSync(data, { recursive: true, force: true })
  })
})

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A destination of this configuration, and a trigger that sends all orders there. */
async function connect(config: object): Promise<void> {
  await hub.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url, ...config } })
  await hub.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })
}

async function publish(id: string, more: object = {}): Promise<string> {
  const event = { specversion: "1.0", id, source: "/shop", type: "order.paid", ...more }
  return (await hub.call("POST", "/v1/topics/orders/events", event)).body.cursor
}

const deliveryOf = async (cursor: string) => (await hub.call("GET", `/v1/events/${cursor}/deliveries`)).body.items?.[0]

test("an event whose attributes no header may hold goes in structured mode, or becomes a dead letter that says why", async () => {
  await connect({})
  await publish("small")
  await publish("large", { note: "x".repeat(9_000) })
  await until(() => came.length === 2)
  expect(came.sort()).toEqual(["POST application/cloudevents+json; charset=utf-8", "POST small"])
  await hub.call("PATCH", "/v1/destinations/shop", { config: { largeAttributes: "refuse" } })
  const cursor = await publish("larger", { note: "x".repeat(9_000) })
  await until(async () => (await deliveryOf(cursor))?.state === "dead")
  const { items } = (await hub.call("GET", "/v1/dead-letters")).body
  expect(items).toHaveLength(1)
  expect(items[0].reason).toBe("permanent")
  expect(JSON.stringify(items[0])).toContain("not sent: with its attributes as headers")
  expect(came).toHaveLength(2)
})

test("a receiver that does not agree is sent nothing, its destination says so, and a change of it asks again", async () => {
  await connect({ handshake: true })
  const cursor = await publish("e1")
  const status = async () => (await hub.call("GET", "/v1/destinations/shop")).body.status
  await until(async () => (await status())?.lastError !== undefined)
  expect(await status()).toMatchObject({
    lastError: { detail: expect.stringMatching(/does not agree to be sent to \(asked as hub\.example\.com\): 204 /) },
    restsUntil: expect.any(String),
  })
  expect(await deliveryOf(cursor)).toMatchObject({ state: "due", attempts: [] })
  expect(came).toEqual(["OPTIONS"])
  agrees = true
  await hub.call("PATCH", "/v1/destinations/shop", { config: { timeoutMs: 10_000 } })
  await until(async () => (await deliveryOf(cursor))?.state === "done")
  expect((await deliveryOf(cursor)).attempts).toHaveLength(1)
  expect(came).toEqual(["OPTIONS", "OPTIONS", "POST e1"])
})
