import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

const hubs = testHubs("handshakes")
const publicUrl = "https://hub.example.com"

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** A receiver that is asked and says nothing, until it calls back. */
async function startDeclining() {
  const asked: IncomingHttpHeaders[] = []
  const taken: string[] = []
  /** What it does while it is asked. */
  const receiver = { asked, taken, url: "", whileAsked: async () => {} }
  const server = createServer((request, response) => {
    if (request.method !== "OPTIONS") {
      taken.push(String(request.headers["ce-id"]))
      return response.writeHead(204).end()
    }
    asked.push(request.headers)
    receiver.whileAsked().then(() => response.writeHead(200, { allow: "POST" }).end())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  return receiver
}

type Declining = Awaited<ReturnType<typeof startDeclining>>

async function sendTo(hub: RestartableHub, url: string, more: object = {}): Promise<void> {
  const destination = { id: "shop", kind: "webhook", config: { url, handshake: true }, ...more }
  expect((await hub.call("POST", "/v1/destinations", destination)).status).toBe(201)
  expect((await hub.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })).status).toBe(
    201,
  )
}

const publish = (hub: RestartableHub, id: string) =>
  hub.call("POST", "/v1/topics/orders/events", { specversion: "1.0", id, source: "/shop", type: "order.paid" })
const shop = async (hub: RestartableHub) => (await hub.call("GET", "/v1/destinations/shop")).body
/** Calls the URL that the receiver was given, at one of the processes that the public URL leads to. */
const callBack = (hub: RestartableHub, { asked }: Declining, init: RequestInit = {}) => {
  const url = String(asked.at(-1)!["webhook-request-callback"])
  expect(url.startsWith(`${publicUrl}/v1/handshakes/`)).toBe(true)
  return fetch(hub.address + url.slice(publicUrl.length), init)
}

async function waits(hub: RestartableHub): Promise<void> {
  await until(async () => (await shop(hub)).status.awaits !== undefined)
}

describe.each(["embedded", "nats"] as const)("%s", (engine) => {
  test.skipIf(engine === "nats" && natsAvailable() === undefined)(
    "a receiver that declines at first and calls back later is sent at once what waits, and is not asked again",
    async () => {
      const data = hubs.directory()
      writeFileSync(join(data, "admin.key"), `rck_${"k".repeat(43)}\n`, { mode: 0o600 })
      const flags = { publicUrl, ...(engine === "nats" && { engine: await hubs.nats() }) }
      let hub = await hubs.start(data, flags)
      const receiver = await startDeclining()
      await sendTo(hub, receiver.url)
      for (const id of ["1", "2", "3"]) await publish(hub, id)
      await waits(hub)
      expect(await shop(hub)).toMatchObject({
        status: { breaker: "closed", awaits: "agreement", restsUntil: expect.any(String), recent: { attempts: 0 } },
      })
      const env = { REDCAR_URL: hub.address, REDCAR_KEY: hub.authorization.slice("Bearer ".length) }
      expect((await runCli(["destination", "list"], { env })).out).toContain("waits for the receiver's agreement")
      expect(receiver.asked[0]).toMatchObject({ "webhook-request-origin": "hub.example.com" })

      expect((await callBack(hub, receiver, { method: "HEAD" })).status).toBe(401)
      expect(receiver.taken).toEqual([])
      const agreed = await callBack(hub, receiver)
      expect([agreed.status, await agreed.json()]).toEqual([200, { agreed: true }])
      expect(agreed.headers.get("cache-control")).toBe("no-store")
      await until(() => receiver.taken.length === 3)
      expect(receiver.asked).toHaveLength(1)
      expect(await shop(hub)).toMatchObject({ agreement: { at: expect.any(String) } })
      expect((await shop(hub)).status.awaits).toBeUndefined()
      expect((await callBack(hub, receiver)).status).toBe(404)

      await hub.stop()
      hub = await hubs.start(data, flags)
      await publish(hub, "4")
      await until(() => receiver.taken.length === 4)
      expect(receiver.asked).toHaveLength(1)
      const { status, body } = await hub.call("PUT", "/v1/destinations/shop", await shop(hub))
      expect([status, body.agreement]).toEqual([200, { at: expect.any(String) }])
    },
    60_000,
  )
})

test.skipIf(natsAvailable() === undefined)(
  "the callback may reach another process than the one that asked",
  async () => {
    const engine = await hubs.nats()
    const start = (roles: string) => {
      const data = hubs.directory()
      writeFileSync(join(data, "admin.key"), `rck_${"k".repeat(43)}\n`, { mode: 0o600 })
      return hubs.start(data, { engine, publicUrl, roles })
    }
    const asking = await start("ingest,route,deliver,api")
    const called = await start("ingest,api")
    const receiver = await startDeclining()
    await sendTo(called, receiver.url)
    await publish(asking, "1")
    await waits(called)
    // However soon it comes: the other process may not have heard of it yet.
    expect((await callBack(called, receiver, { method: "POST" })).status).toBe(200)
    await until(() => receiver.taken.length === 1)
    expect(receiver.asked).toHaveLength(1)
  },
  60_000,
)

test("a rate that is agreed to by a callback is kept, and one that is not said is the one that was asked for", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl })
  const receiver = await startDeclining()
  await sendTo(hub, receiver.url, { ratePerSecond: 10 })
  await publish(hub, "1")
  await waits(hub)
  expect(receiver.asked[0]!["webhook-request-rate"]).toBe("600")
  const form = { "content-type": "application/x-www-form-urlencoded", "webhook-allowed-rate": "120" }
  expect((await callBack(hub, receiver, { method: "POST", headers: form, body: "agreed=1" })).status).toBe(200)
  await until(() => receiver.taken.length === 1)
  expect((await shop(hub)).agreement).toMatchObject({ perMinute: 120 })

  await hub.call("PATCH", "/v1/destinations/shop", { config: { url: `${receiver.url}/other` } })
  expect((await shop(hub)).agreement).toBeUndefined()
  await publish(hub, "2")
  await until(() => receiver.asked.length === 2)
  await callBack(hub, receiver)
  await until(() => receiver.taken.length === 2)
  expect((await shop(hub)).agreement).toMatchObject({ perMinute: 600 })
})

test("who calls back while it is asked is not overheard", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl })
  const receiver = await startDeclining()
  receiver.whileAsked = async () => {
    expect((await callBack(hub, receiver)).status).toBe(200)
  }
  await sendTo(hub, receiver.url)
  await publish(hub, "1")
  await until(() => receiver.taken.length === 1)
  expect(receiver.asked).toHaveLength(1)
})

test("a URL that was given to a receiver is not good for the one that events go to by now", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl })
  const [before, now] = [await startDeclining(), await startDeclining()]
  await sendTo(hub, before.url)
  await publish(hub, "1")
  await waits(hub)
  await hub.call("PATCH", "/v1/destinations/shop", { config: { url: now.url } })
  await until(() => now.asked.length === 1)
  expect((await callBack(hub, before)).status).toBe(404)
  expect((await shop(hub)).agreement).toBeUndefined()
  expect((await callBack(hub, now)).status).toBe(200)
  await until(() => now.taken.length === 1)
  expect(before.taken).toEqual([])
  await hub.call("DELETE", "/v1/destinations/shop?force=true")
  expect((await callBack(hub, now)).status).toBe(404)
})

test("the question is as docs/delivery.md shows it", async () => {
  const page = readFileSync(new URL("../docs/delivery.md", import.meta.url), "utf8")
  const [, shown = ""] = /^```http callback\n([\s\S]*?)^```$/m.exec(page) ?? []
  const hub = await hubs.start(hubs.directory(), { publicUrl })
  const receiver = await startDeclining()
  await sendTo(hub, receiver.url)
  await publish(hub, "1")
  await waits(hub)
  const lines = shown.trim().split("\n")
  expect(lines).toHaveLength(2)
  const withoutSecret = (text: string) => text.replace(/\.[\w-]{43}$/, ".…")
  for (const line of lines) {
    const [name, value] = line.split(": ") as [string, string]
    expect(withoutSecret(value)).not.toBe(name.endsWith("callback") ? value : undefined)
    expect([name, withoutSecret(String(receiver.asked[0]![name]))]).toEqual([name, withoutSecret(value)])
  }
})

test("without a public URL nobody is told to call back", async () => {
  const hub = await hubs.start(hubs.directory(), { "destinations.origin": "hub.example.com" })
  const receiver = await startDeclining()
  await sendTo(hub, receiver.url)
  await publish(hub, "1")
  await waits(hub)
  expect(receiver.asked[0]).not.toHaveProperty("webhook-request-callback")
  expect((await fetch(`${hub.address}/v1/handshakes/x`)).status).toBe(404)
})
