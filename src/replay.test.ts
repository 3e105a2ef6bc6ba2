import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"

interface Seen {
  readonly number: number
  readonly headers: IncomingHttpHeaders
}

const seen: Seen[] = []
let answers = true
const receiver = createServer((request, response) => {
  let body = ""
  request.on("data", (chunk) => {
    body += chunk
  })
  request.on("end", () => {
    if (!answers) return void response.writeHead(503).end()
    seen.push({ number: JSON.parse(body).number, headers: request.headers })
    response.writeHead(204).end()
  })
})

const data = mkdtempSync(join(tmpdir(), "redcar-replay-"))
let hub: RestartableHub
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve))
  hub = await startHubOn(data)
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  for (const id of ["shop", "other"]) {
    await hub.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url }, concurrency: 8 })
  }
  await hub.call("POST", "/v1/triggers", {
    id: "ship",
    topic: "orders",
    destination: "shop",
    ordering: { by: "data.key" },
  })
  await publish(0, 50)
  await until(async () => seen.length === 50)
})
afterAll(async () => {
  await hub.stop()
  receiver.close()
  rmSync(data, { recursive: true })
})
beforeEach(() => {
  seen.length = 0
  answers = true
})

async function publish(from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) {
    const data = { number, key: `k${number % 5}` }
    await hub.call("POST", "/v1/topics/orders/events", {
      specversion: "1.0",
      id: `${number}`,
      source: "/s",
      type: "t",
      data,
    })
  }
}

async function replay(body: object = {}): Promise<string> {
  const made = await hub.call("POST", "/v1/triggers/ship/replays", body)
  expect(made).toMatchObject({ status: 201, body: { trigger: "ship", done: 0 } })
  return made.body.id
}

const stateOf = async (id: string) => (await hub.call("GET", `/v1/replays/${id}`)).body
const over = (id: string) => until(async () => (await stateOf(id)).state === "done")
const numbers = () => seen.map(({ number }) => number).sort((a, b) => a - b)
const all = (count: number) => Array.from({ length: count }, (_, number) => number)

test("delivers what is in the range once more, in order, and says which replay it was", async () => {
  const id = await replay()
  await over(id)
  await until(async () => seen.length === 50)
  expect(numbers()).toEqual(all(50))
  expect(new Set(seen.map(({ headers }) => headers["ce-redcarreplay"]))).toEqual(new Set([id]))
  for (let key = 0; key < 5; key++) {
    const own = seen.map(({ number }) => number).filter((number) => number % 5 === key)
    expect(own).toEqual(own.toSorted((a, b) => a - b))
  }
  expect(await stateOf(id)).toMatchObject({ state: "done", total: 50, done: 50 })
})

test("takes filters of its own, another destination and a part of the topic", async () => {
  const first = await fetch(`${hub.address}/v1/topics/orders/events?from=oldest&limit=10`, {
    headers: { authorization: hub.authorization },
  })
  const cursor = first.headers.get("redcar-next-cursor")
  expect(cursor).not.toBeNull()
  const id = await replay({ from: cursor, destination: "other", filters: [{ sql: "data.number < 20" }] })
  await over(id)
  await until(async () => seen.length === 10)
  expect(numbers()).toEqual(all(20).slice(10))
  const listed = await hub.call("GET", "/v1/replays?trigger=ship&state=done")
  expect(listed.body.items.at(-1)).toMatchObject({ id, destination: "other", total: 10, done: 10 })
})

test("waits while it is paused, goes on where it was, also after a restart, and makes none twice", async () => {
  const id = await replay({ ratePerSecond: 20 })
  await until(async () => seen.length > 3)
  expect((await hub.call("POST", `/v1/replays/${id}/pause`)).body.state).toBe("paused")
  await hub.stop()
  hub = await startHubOn(data)
  const { state, done } = await stateOf(id)
  expect(state).toBe("paused")
  expect(done).toBeLessThan(50)
  expect((await hub.call("POST", `/v1/replays/${id}/resume`)).body.state).toBe("running")
  await over(id)
  await until(async () => new Set(numbers()).size === 50)
  const ids = seen.map(({ headers }) => headers["webhook-id"])
  expect(new Set(ids).size).toBe(50)
  expect(await stateOf(id)).toMatchObject({ total: 50, done: 50 })
})

test("that is cancelled drops what is open, and is over", async () => {
  answers = false
  const id = await replay()
  await over(id)
  const open = async () => (await hub.call("GET", "/v1/deliveries?destination=shop")).body.items
  expect((await open()).length).toBeGreaterThan(0)
  const again = await replay({ ratePerSecond: 1 })
  expect((await hub.call("POST", `/v1/replays/${again}/cancel`)).body.state).toBe("cancelled")
  expect((await hub.call("POST", `/v1/replays/${again}/resume`)).status).toBe(409)
  answers = true
  await until(async () => (await open()).length === 0)
})

test("a dead letter of one that was cancelled is not redriven, and why is said", async () => {
  answers = false
  await hub.call("POST", "/v1/triggers", { id: "once", topic: "orders", destination: "other", retry: "none" })
  const made = await hub.call("POST", "/v1/triggers/once/replays", { ratePerSecond: 5 })
  const letters = async () => (await hub.call("GET", "/v1/dead-letters?trigger=once")).body.items
  await until(async () => (await letters()).length > 0)
  await hub.call("POST", `/v1/replays/${made.body.id}/cancel`)
  const [letter] = await letters()
  expect(letter.replay).toBe(made.body.id)
  const refused = await hub.call("POST", `/v1/dead-letters/${letter.id}/redrive`)
  expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringContaining("was cancelled") } })
})

test("counts first, where it is only tried", async () => {
  const tried = await hub.call("POST", "/v1/triggers/ship/replays", {
    dryRun: true,
    filters: [{ sql: "data.number < 7" }],
  })
  const lines = (tried.body as string)
    .trim()
    .split("\n")
    .map((line: string) => JSON.parse(line))
  expect(lines.at(-1)).toMatchObject({ kind: "result", matched: 7, events: 50 })
  expect(seen).toEqual([])
})

test("of a trigger that is deleted meanwhile it is cancelled", async () => {
  await hub.call("POST", "/v1/triggers", { id: "brief", topic: "orders", destination: "shop" })
  const made = await hub.call("POST", "/v1/triggers/brief/replays", { ratePerSecond: 5 })
  await until(async () => (await stateOf(made.body.id)).done > 0)
  expect((await hub.call("DELETE", "/v1/triggers/brief")).status).toBe(204)
  await until(async () => (await stateOf(made.body.id)).state === "cancelled")
  expect((await stateOf(made.body.id)).reason).toBe("its trigger was deleted")
})

test("what is wrong is named, and what is not there is not found", async () => {
  for (const [body, field] of [
    [{ from: "newest" }, "from"],
    [{ until: "yesterday" }, "until"],
    [{ destination: "nowhere" }, "destination"],
    [{ ratePerSecond: 0 }, "ratePerSecond"],
    [{ filters: [{ sql: "(" }] }, "filters[0].sql"],
  ] as const) {
    const refused = await hub.call("POST", "/v1/triggers/ship/replays", body)
    expect(refused.status, field).toBe(400)
    expect(refused.body.errors).toEqual([expect.objectContaining({ field })])
  }
  expect((await hub.call("POST", "/v1/triggers/nothing/replays", {})).status).toBe(404)
  expect((await hub.call("GET", "/v1/replays/rp-nothing")).status).toBe(404)
})

test("is made and waited for from the command line", async () => {
  const env = { REDCAR_URL: hub.address, REDCAR_KEY: hub.authorization.slice(7) }
  const tried = await runCli(["replay", "create", "ship", "--from", "1h", "--dry-run"], { env })
  expect(tried.out).toContain("50 of 50 events would fire it")
  const made = await runCli(["replay", "create", "ship", "--exact", "type=t", "--wait"], { env })
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/replay rp-\w+ has made 50 deliveries/) })
  const listed = await runCli(["replay", "list", "--state", "done", "--json"], { env })
  expect(JSON.parse(listed.out).at(-1)).toMatchObject({ total: 50, done: 50 })
  await until(async () => seen.length === 50)
})
