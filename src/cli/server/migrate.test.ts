import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect } from "@nats-io/transport-node"
import { afterEach, beforeEach, expect, test } from "vitest"
import { loadSettings } from "../../config/load.ts"
import { type ServedHub, serveHub } from "../../main.ts"
import { natsAvailable, startNats } from "../../testing/nats.ts"
import { runCli } from "../terminal.fixture.ts"

let home: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "redcar-move-"))
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  rmSync(home, { recursive: true, force: true })
})

/** Receives deliveries; `refuse` says which paths answer 409, which says nothing of being down. Counts what was taken, by path and event. */
async function startReceiver() {
  const taken: string[] = []
  const refused = new Set<string>(["/later", "/never"])
  const server = createServer((request, response) => {
    request.resume()
    request.on("end", () => {
      const path = request.url!
      if (!refused.has(path)) taken.push(`${path} ${String(request.headers["ce-id"])}`)
      response.writeHead(refused.has(path) ? 409 : 204).end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  closing.push(async () => server.close())
  return { taken, refused, port: (server.address() as AddressInfo).port }
}

async function start(data: string, more: Readonly<Record<string, string>> = {}): Promise<ServedHub> {
  const flags = { data, port: "0", logLevel: "silent", ...more }
  const loaded = loadSettings({ flags, env: {}, readFile: () => undefined })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const hub = await serveHub(loaded.settings)
  closing.push(() => hub.stop())
  return hub
}

interface Answer {
  readonly items?: readonly Shown[]
  readonly redriven?: number
}

/** What of the API's answers is looked at. */
interface Shown {
  readonly id: string
  readonly state: string
  readonly trigger: string
  readonly attempts: readonly { readonly number: number; readonly startedAt: string }[]
}

async function call(hub: ServedHub, method: string, path: string, body?: unknown): Promise<Answer> {
  const key = readFileSync(join(home, "a", "admin.key"), "utf8").trim()
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": path.endsWith("/events") ? "application/cloudevents+json" : "application/json",
  }
  const answer = await fetch(hub.address + path, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text === "" ? {} : (JSON.parse(text) as Answer)
}

async function publish(hub: ServedHub, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    const event = { specversion: "1.0", id: `e${n}`, source: "/shop", type: n % 2 === 0 ? "even" : "odd", data: { n } }
    await call(hub, "POST", `/v1/topics/orders:${n % 3}/events`, event)
  }
}

type Read = Readonly<Record<string, unknown>> & { readonly id: string; readonly redcarcursor: string }

async function eventsOf(hub: ServedHub): Promise<readonly Read[]> {
  return (await call(hub, "GET", "/v1/topics/orders/events?from=oldest&limit=1000")) as unknown as readonly Read[]
}

/** What became of each event, without the names that differ from engine to engine. */
async function fatesOf(hub: ServedHub): Promise<readonly unknown[]> {
  const fates = []
  for (const event of await eventsOf(hub)) {
    const { items = [] } = await call(hub, "GET", `/v1/events/${event.redcarcursor}/deliveries`)
    for (const { id, ...rest } of items) {
      expect(id).toMatch(new RegExp(`^${event.redcarcursor}[.]${rest.trigger}[.][0-9a-z]{14}$`))
      fates.push({ event: event.id, ...rest })
    }
  }
  return fates
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error("what was waited for has not come")
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function makeResources(hub: ServedHub, port: number): Promise<void> {
  for (const id of ["now", "later", "never", "rest"]) {
    const config = { url: `http://127.0.0.1:${port}/${id}` }
    await call(hub, "POST", "/v1/destinations", { id, kind: "webhook", config })
  }
  const trigger = (id: string, more: object) =>
    call(hub, "POST", "/v1/triggers", { id, topic: "orders", destination: id, ...more })
  await call(hub, "POST", "/v1/topics", { id: "orders" })
  await trigger("now", { filters: [{ exact: { type: "even" } }] })
  await trigger("later", { topic: "orders:1", retry: { delays: ["1h"], attemptsMax: 5, ageMax: "1d" } })
  await trigger("never", { topic: "orders:2", retry: "none" })
  await trigger("rest", { paused: true })
}

const settled = async (hub: ServedHub, count: number) =>
  (await fatesOf(hub)).filter((fate) => ["done", "parked", "dead"].includes((fate as Shown).state)).length === count

/** Moves a hub that has something of everything to `to`, and starts it there. */
async function moveAndGoOn(to: string, startThere: () => Promise<ServedHub>): Promise<void> {
  const receiver = await startReceiver()
  const a = join(home, "a")
  let hub = await start(a)
  await makeResources(hub, receiver.port)
  await publish(hub, 0, 60)
  await until(() => settled(hub, 30 + 20 + 20))
  const [events, fates] = [await eventsOf(hub), await fatesOf(hub)]
  const moving = ["migrate", "--from", a, "--to", to]
  const running = await runCli(moving)
  expect(running).toMatchObject({ code: 1, err: expect.stringContaining("a hub runs on") })
  await closing.pop()!()

  const planned = await runCli([...moving, "--dry-run"])
  expect(planned).toMatchObject({ code: 0, out: expect.stringMatching(/events of default\/orders +60/) })
  const done = await runCli(moving, { columns: 200 })
  expect(done.code, done.out + done.err).toBe(0)
  expect(done.out).toMatch(/events of default\/orders +60 +[0-9a-f]{16} +.*same/)
  expect(done.out).toMatch(/open deliveries +20 /)
  expect(done.out).toMatch(/dead letters +20 /)
  const verified = await runCli([...moving, "--verify-only", "--json"])
  expect(JSON.parse(verified.out)).toMatchObject({ same: true })
  expect((await runCli(moving)).err).toContain("has been moved")

  hub = await startThere()
  const placeless = ({ redcarcursor: _, ...event }: Read) => event
  expect((await eventsOf(hub)).map(placeless)).toEqual(events.map(placeless))
  expect(await fatesOf(hub)).toEqual(fates)
  receiver.refused.clear()
  await call(hub, "POST", "/v1/triggers/rest/resume")
  expect(await call(hub, "POST", "/v1/dead-letters/redrive", { trigger: "never" })).toMatchObject({ redriven: 20 })
  await publish(hub, 60, 66)
  const range = (count: number, keep: (n: number) => boolean) => Array.from({ length: count }, (_, n) => n).filter(keep)
  const expected = [
    ...range(66, (n) => n % 2 === 0).map((n) => `/now e${n}`),
    ...range(66, () => true).map((n) => `/rest e${n}`),
    ...range(66, (n) => n % 3 === 2).map((n) => `/never e${n}`),
    ...[61, 64].map((n) => `/later e${n}`),
  ].sort()
  await until(() => receiver.taken.length >= expected.length)
  expect([...receiver.taken].sort()).toEqual(expected)
}

test("a hub that moves goes on as if it had never been away", async () => {
  const b = join(home, "b")
  await moveAndGoOn(b, () => start(b))
}, 90_000)

test.skipIf(natsAvailable() === undefined)(
  "so does one on NATS (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    closing.push(() => nats.stop())
    await moveAndGoOn(nats.url, () => start(join(home, "b"), { engine: nats.url }))
  },
  120_000,
)

/** Every file under a directory, by what is in it. */
function bytesOf(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name)
      return [path, createHash("sha256").update(readFileSync(path)).digest("hex")]
    }),
  )
}

test("a dry run changes no byte of a hub's directory", async () => {
  const receiver = await startReceiver()
  const a = join(home, "a")
  const hub = await start(a)
  await makeResources(hub, receiver.port)
  await publish(hub, 0, 30)
  await until(() => settled(hub, 35))
  await closing.pop()!()
  const before = bytesOf(home)
  const planned = await runCli(["migrate", "--from", a, "--to", join(home, "b"), "--dry-run", "--json"])
  expect(JSON.parse(planned.out)).toMatchObject({ openDeliveries: 10, deadLetters: 10 })
  expect(bytesOf(home)).toEqual(before)
}, 60_000)

/** All that the streams are and hold. */
async function streamsOf(url: string): Promise<unknown> {
  const nats = await connect({ servers: url })
  const answer = await nats.request("$JS.API.STREAM.LIST", "{}")
  await nats.close()
  const { streams } = answer.json<{ streams: { config: { name: string }; state: { consumer_count?: number } }[] }>()
  return streams
    .map(({ config, state: { consumer_count: _, ...state } }) => ({ config, state }))
    .sort((a, b) => (a.config.name < b.config.name ? -1 : 1))
}

test.skipIf(natsAvailable() === undefined)(
  "what is moved from NATS is read as it is, and nothing of it is changed (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    closing.push(() => nats.stop())
    const receiver = await startReceiver()
    const hub = await start(join(home, "a"), { engine: nats.url, "nats.partitions": "2", "nats.dedupeWindow": "10m" })
    await makeResources(hub, receiver.port)
    await publish(hub, 0, 30)
    await until(() => settled(hub, 35))
    const moving = ["migrate", "--from", nats.url, "--to", join(home, "b"), "--work", join(home, "work")]
    expect(await runCli(moving)).toMatchObject({ code: 1, err: expect.stringContaining("a process of the hub runs") })
    await closing.pop()!()
    const before = await streamsOf(nats.url)
    const files = bytesOf(home)
    const planned = await runCli([...moving, "--dry-run", "--json"])
    expect(JSON.parse(planned.out)).toMatchObject({ openDeliveries: 10, deadLetters: 10 })
    expect(await streamsOf(nats.url)).toEqual(before)
    expect(bytesOf(home)).toEqual(files)
    const moved = await runCli(moving, { columns: 200 })
    expect(moved.code, moved.out + moved.err).toBe(0)
    expect(await streamsOf(nats.url)).toEqual(before)
    const elsewhere = await runCli(["migrate", "--from", nats.url, "--to", join(home, "c"), "--nats-prefix", "other"])
    expect(elsewhere).toMatchObject({ code: 1, err: expect.stringContaining("under nats.prefix other") })
    expect(await streamsOf(nats.url)).toEqual(before)
  },
  90_000,
)

test("says what is wrong with what it is given", async () => {
  const [a, b] = [join(home, "a"), join(home, "b")]
  expect(await runCli(["migrate", "--from", a, "--to", b])).toMatchObject({
    code: 2,
    err: expect.stringContaining("no hub's data"),
  })
  expect(await runCli(["migrate", "--from", a, "--to", a])).toMatchObject({
    code: 2,
    err: expect.stringContaining("same place"),
  })
  const wrong = await runCli(["migrate", "--from", a, "--to", "nats://x:1", "--nats-replicas", "2"])
  expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining("--nats-replicas") })
  expect((await runCli(["migrate", "--from", a])).code).toBe(2)
})
