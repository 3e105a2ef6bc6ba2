import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { until } from "./restart.fixture.ts"

const bin = fileURLToPath(new URL("../bin/redcar.js", import.meta.url))

interface Came {
  readonly id: string
  readonly partitionkey?: string
  readonly redcardelivery: string
  readonly redcarreplay?: string
}

let data: string
let hub: { readonly process: ChildProcess; readonly address: string; readonly key: string }
/** What came, request by request. */
let came: (readonly Came[])[]
/** Answers a request; undefined: never. */
let answer: (events: readonly Came[]) => { readonly status: number; readonly body?: unknown } | undefined
let url: string
let close: () => void

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), "redcar-batches-"))
  came = []
  answer = () => ({ status: 204 })
  const server = createServer(async (request, response) => {
    let text = ""
    for await (const chunk of request) text += chunk
    const events: readonly Came[] = JSON.parse(text)
    came.push(events)
    const answered = answer(events)
    if (answered === undefined) return
    response.writeHead(answered.status).end(answered.body === undefined ? "" : JSON.stringify(answered.body))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  close = () => {
    server.closeAllConnections()
    server.close()
  }
  await start()
})

afterEach(async () => {
  await kill()
  close()
  rmSync(data, { recursive: true, force: true })
})

async function start(): Promise<void> {
  const flags = ["serve", "--port", "0", "--data", data, "--log-format", "json"]
  const child = spawn(process.execPath, [bin, ...flags], { stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout!.on("data", (chunk) => {
      text += chunk
      const found = /"address":"([^"]+)"/.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once("exit", (code) => reject(new Error(`the hub ended with ${code}: ${text}`)))
  })
  hub = { process: child, address, key: readFileSync(join(data, "admin.key"), "utf8").trim() }
}

async function kill(): Promise<void> {
  if (hub.process.exitCode !== null || hub.process.signalCode !== null) return
  const gone = once(hub.process, "exit")
  hub.process.kill("SIGKILL")
  await gone
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
async function call(method: string, path: string, body?: unknown, type = "application/json"): Promise<any> {
  const headers = { authorization: `Bearer ${hub.key}`, "content-type": type }
  const asked = await fetch(hub.address + path, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await asked.text()
  if (!asked.ok) throw new Error(`${method} ${path} answered ${asked.status}: ${text}`)
  return text === "" ? undefined : JSON.parse(text)
}

async function connect(batch: object, trigger: object = {}): Promise<void> {
  await call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url, batch } })
  const retry = { delays: ["50ms"], attemptsMax: 20, ageMax: "1h", jitter: 0 }
  await call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop", retry, ...trigger })
}

/** Events `e<from>`, … as one request. */
async function publish(from: number, count: number, more: (n: number) => object = () => ({})): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => {
    const n = from + i
    return { specversion: "1.0", id: `e${n}`, source: "/shop", type: "order.paid", ...more(n) }
  })
  await call("POST", "/v1/topics/orders/events", events, "application/cloudevents-batch+json")
}

const ids = (count: number) => Array.from({ length: count }, (_, n) => `e${n}`)
/** Resolves once so many events came, and nothing is owed any more. */
async function allCame(count: number): Promise<void> {
  await until(() => new Set(came.flat().map(({ id }) => id)).size >= count)
  await until(async () => (await call("GET", "/v1/deliveries?pageSize=1")).items.length === 0)
}

/** Each event's only `redcardelivery`. */
function deliveriesOf(events: readonly Came[]): ReadonlyMap<string, string> {
  const known = new Map<string, string>()
  for (const { id, redcardelivery } of events) {
    expect(known.get(id) ?? redcardelivery).toBe(redcardelivery)
    known.set(id, redcardelivery)
  }
  return known
}

test("a hub that is killed while batches are under way loses nothing, and repeats each event as the same delivery", async () => {
  await connect({ eventsMax: 20, waitMs: 100 })
  // Some are answered, and those after them are in flight when the hub dies.
  answer = () => (came.length <= 2 ? { status: 204 } : undefined)
  await publish(0, 150)
  await until(() => came.length >= 5)
  await kill()
  const before = came.flat().length
  answer = () => ({ status: 204 })
  await start()
  await allCame(150)
  const all = came.flat()
  expect(new Set(deliveriesOf(all).values()).size).toBe(150)
  expect([...deliveriesOf(all).keys()].sort()).toEqual(ids(150).sort())
  expect(all.length).toBeGreaterThan(150)
  expect(all.length).toBeLessThanOrEqual(150 + before)
  expect(Math.max(...came.map((events) => events.length))).toBe(20)
}, 60_000)

test("what an answer refuses, or does not name, comes again, also after the hub was killed", async () => {
  await connect({ eventsMax: 50, waitMs: 100, outcomes: "each" })
  const taken = new Set<string>()
  let isKind = false
  answer = (events) => {
    const outcomes = events.flatMap(({ id, redcardelivery }) => {
      const n = Number(id.slice(1))
      if (!isKind && n % 3 === 1) return []
      if (!isKind && n % 3 === 2) return [{ id: redcardelivery, status: 503 }]
      taken.add(id)
      return [{ id: redcardelivery, status: 200 }]
    })
    return { status: 200, body: { outcomes } }
  }
  await publish(0, 60)
  await until(() => taken.size === 20 && came.length > 10)
  await kill()
  isKind = true
  await start()
  await allCame(60)
  expect([...taken].sort()).toEqual(ids(60).sort())
  expect(deliveriesOf(came.flat()).size).toBe(60)
  expect((await call("GET", "/v1/dead-letters")).items).toEqual([])
}, 60_000)

test("a replay comes in batches, as deliveries of its own", async () => {
  await connect({ eventsMax: 10, waitMs: 100 })
  await publish(0, 30)
  await allCame(30)
  const first = deliveriesOf(came.flat())
  came = []
  const { id } = await call("POST", "/v1/triggers/paid/replays", { from: "oldest" })
  await allCame(30)
  const again = came.flat()
  expect(again.map((event) => event.id).sort()).toEqual(ids(30).sort())
  expect(new Set(again.map(({ redcarreplay }) => redcarreplay))).toEqual(new Set([id]))
  expect(again.filter((event) => first.get(event.id) === event.redcardelivery)).toEqual([])
  expect(Math.max(...came.map((events) => events.length))).toBeGreaterThan(1)
}, 60_000)

test("an ordered trigger keeps the order of each key in batches, through failures and a kill", async () => {
  const keys = 5
  await connect({ eventsMax: 10, waitMs: 20 }, { ordering: { by: "partitionkey" } })
  const taken: Came[] = []
  answer = (events) => {
    if (came.length % 4 === 3) return { status: 503 }
    taken.push(...events)
    return { status: 204 }
  }
  await publish(0, 50, (n) => ({ partitionkey: `k${n % keys}` }))
  await until(() => taken.length >= 10)
  await kill()
  await start()
  await allCame(50)
  for (const events of came) expect(new Set(events.map(({ partitionkey }) => partitionkey)).size).toBe(events.length)
  expect(came.some((events) => events.length > 1)).toBe(true)
  for (let k = 0; k < keys; k++) {
    // Of what came again after the kill, its first time counts.
    const order = [...new Set(taken.filter(({ partitionkey }) => partitionkey === `k${k}`).map(({ id }) => id))]
    expect(order).toEqual(ids(50).filter((_, n) => n % keys === k))
  }
}, 60_000)
