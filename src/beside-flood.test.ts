import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { formatKey, hashKey } from "./access/keys.ts"
import { loadSettings } from "./config/load.ts"
import { accessKeys } from "./core/catalog-keys.ts"
import { openEngine } from "./opening.ts"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"
import { createMemoryLog } from "./testing/memory-log.ts"
import { natsAvailable, startNats } from "./testing/nats.ts"

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** Takes what comes; the flood only once it is open to it. */
async function startReceiver() {
  const flood = new Map<string, number>()
  const others: string[] = []
  const held = new Set<() => void>()
  const taking = { flood, others, isOpen: false, held }
  const server = createServer((request, response) => {
    request.resume()
    const take = () => {
      const id = String(request.headers["ce-id"])
      const came = `${request.url} ${id}`
      if (request.url === "/other") others.push(id)
      else flood.set(came, (flood.get(came) ?? 0) + 1)
      response.writeHead(204).end()
    }
    if (taking.isOpen || request.url === "/other") return take()
    held.add(take)
    response.once("close", () => held.delete(take))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  closing.push(
    () => server.close(),
    () => server.closeAllConnections(),
  )
  return Object.assign(taking, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** A hub where another tenant has a key; `again` starts it anew on what it left. */
async function hubOfTwo(engine: "embedded" | "nats") {
  const data = mkdtempSync(join(tmpdir(), "redcar-beside-"))
  closing.push(() => rmSync(data, { recursive: true, force: true }))
  const nats = engine === "nats" ? await startNats() : undefined
  if (nats) closing.push(() => nats.stop())
  const flags = { "delivery.shutdownGrace": "0ms", ...(nats && { engine: nats.url }) }
  const loaded = loadSettings({ flags: { data, ...flags }, env: {}, readFile: () => undefined })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const opened = await openEngine(loaded.settings, createMemoryLog())
  const key = formatKey(Buffer.alloc(32, 7))
  const value = { id: "k", tenant: "flood", sha256: hashKey(key).toString("hex"), createdAt: 0 }
  await opened.catalog.put(accessKeys.of({ tenant: "flood", id: "k" }), value)
  await opened.close()
  let hub: RestartableHub | undefined
  closing.push(() => hub?.stop())
  const again = async () => {
    await hub?.stop()
    hub = undefined
    hub = await startHubOn(data, flags)
    return hub
  }
  return { again, authorization: `Bearer ${key}` }
}

async function post(url: string, authorization: string, body: unknown, type = "application/json"): Promise<void> {
  const text = type === "application/json" ? JSON.stringify(body) : String(body)
  const answer = await fetch(url, { method: "POST", headers: { authorization, "content-type": type }, body: text })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}

const triggers = 20
const events = 120

const lines = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) =>
    JSON.stringify({ specversion: "1.0", id: `${prefix}${n}`, source: "/shop", type: "order.paid" }),
  ).join("\n")

describe.each(["embedded", "nats"] as const)("beside a tenant that floods, on %s", (engine) => {
  it.skipIf(engine === "nats" && natsAvailable() === undefined)(
    "another one's events come while all of the flood is still owed, and across a restart each comes once",
    async () => {
      const receiver = await startReceiver()
      const { flood, others, url } = receiver
      const { again, authorization } = await hubOfTwo(engine)
      const hub = await again()
      const connect = async (key: string, id: string, topic: string, path: string) => {
        await post(`${hub.address}/v1/destinations`, key, { id, kind: "webhook", config: { url: url + path } })
        await post(`${hub.address}/v1/triggers`, key, { id, topic, destination: id })
      }
      await connect(hub.authorization, "other", "quiet", "/other")
      for (let n = 0; n < triggers; n++) await connect(authorization, `d${n}`, "loud", `/d${n}`)
      const ndjson = "application/x-ndjson"
      await post(`${hub.address}/v1/topics/loud/events`, authorization, lines("f", events), ndjson)
      await post(`${hub.address}/v1/topics/quiet/events`, hub.authorization, lines("q", 5), ndjson)
      await until(() => others.length === 5 && receiver.held.size > 0)
      const { address, authorization: own } = await again()
      await post(`${address}/v1/topics/quiet/events`, own, lines("r", 5), ndjson)
      await until(() => others.length === 10)
      expect(flood.size).toBe(0)
      receiver.isOpen = true
      for (const take of receiver.held) take()
      // Ends: each time more of the flood has come, or the wait throws.
      for (let seen = flood.size; seen < triggers * events; seen = flood.size) await until(() => flood.size > seen)
      expect(others.toSorted()).toEqual(["q", "r"].flatMap((of) => [0, 1, 2, 3, 4].map((n) => of + n)))
      expect(Math.max(...flood.values())).toBe(1)
    },
    120_000,
  )
})
