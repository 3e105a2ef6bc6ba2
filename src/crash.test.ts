import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"

const bin = fileURLToPath(new URL("../bin/redcar.js", import.meta.url))
const rounds = 5

/** Counts deliveries by the id of their event; every third answer of the first attempts is a failure. */
async function startReceiver() {
  const received = new Map<string, number>()
  let n = 0
  const server = createServer((request, response) => {
    request.resume()
    request.on("end", () => {
      const isRefused = n++ % 3 === 0
      const id = String(request.headers["ce-id"])
      if (!isRefused) received.set(id, (received.get(id) ?? 0) + 1)
      response.writeHead(isRefused ? 503 : 204).end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return { received, server, port: (server.address() as AddressInfo).port }
}

interface Hub {
  readonly process: ChildProcess
  readonly address: string
  readonly key: string
}

async function startHub(directory: string): Promise<Hub> {
  const flags = ["serve", "--port", "0", "--data", directory, "--log-format", "json"]
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
  child.removeAllListeners("exit")
  return { process: child, address, key: (await readFile(join(directory, "admin.key"), "utf8")).trim() }
}

async function call({ address, key }: Hub, method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" }
  return fetch(address + path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
}

/** Publishes until the hub is gone; notes what it acknowledged. */
async function publishUntilGone({ address, key }: Hub, next: () => string, acknowledged: Set<string>): Promise<void> {
  for (;;) {
    const id = next()
    const event = { specversion: "1.0", id, source: "/crash", type: "tick", data: { padding: "x".repeat(200) } }
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/cloudevents+json" }
    const request = { method: "POST", headers, body: JSON.stringify(event) }
    const answer = await fetch(`${address}/v1/topics/ticks/events`, request).catch(() => undefined)
    if (answer === undefined) return
    if (answer.status === 202) acknowledged.add(id)
    await answer.text().catch(() => "")
  }
}

async function storedIds(hub: Hub): Promise<readonly string[]> {
  const answer = await call(hub, "GET", "/v1/topics/ticks/events?from=oldest&limit=all&format=ndjson")
  const lines = (await answer.text()).split("\n").filter((line) => line !== "")
  return lines.map((line) => (JSON.parse(line) as { id: string }).id)
}

test("a hub that is killed again and again under load loses nothing that it acknowledged", async () => {
  const directory = await mkdtemp(join(tmpdir(), "redcar-crash-"))
  const receiver = await startReceiver()
  const acknowledged = new Set<string>()
  let n = 0
  let hub = await startHub(directory)
  const config = { url: `http://127.0.0.1:${receiver.port}/` }
  const retry = { delays: ["50ms"], attemptsMax: 50, ageMax: "1h", jitter: 0.5 }
  expect((await call(hub, "POST", "/v1/destinations", { id: "hook", kind: "webhook", config })).status).toBe(201)
  await call(hub, "POST", "/v1/topics", { id: "ticks" })
  const trigger = { id: "all", topic: "ticks", destination: "hook", retry }
  expect((await call(hub, "POST", "/v1/triggers", trigger)).status).toBe(201)

  for (let round = 0; round < rounds; round++) {
    const killAfter = acknowledged.size + Math.ceil(Math.random() * 200)
    const next = () => {
      if (acknowledged.size >= killAfter) hub.process.kill("SIGKILL")
      return `e${n++}`
    }
    const gone = once(hub.process, "exit")
    await Promise.all(Array.from({ length: 16 }, () => publishUntilGone(hub, next, acknowledged)))
    await gone
    hub = await startHub(directory)
  }

  const stored = await storedIds(hub)
  expect(new Set(stored).size, "an event is stored twice").toBe(stored.length)
  expect([...acknowledged].filter((id) => !stored.includes(id))).toEqual([])
  await expect.poll(() => stored.filter((id) => !receiver.received.has(id)).length, { timeout: 40_000 }).toBe(0)
  expect([...receiver.received.keys()].filter((id) => !stored.includes(id))).toEqual([])
  const repeated = [...receiver.received.values()].reduce((sum, count) => sum + count - 1, 0)
  console.log(`${stored.length} events, ${acknowledged.size} acknowledged, ${repeated} received again after a crash`)

  const exited = once(hub.process, "exit")
  hub.process.kill("SIGTERM")
  expect((await exited)[0]).toBe(0)
  receiver.server.close()
  await rm(directory, { recursive: true })
}, 90_000)
