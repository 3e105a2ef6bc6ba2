import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { HubProcess } from "../src/testing/hub-process.ts"
import { type Nats, natsAvailable, startNats } from "../src/testing/nats.ts"

const there = natsAvailable() !== undefined
const title = (text: string) => (there ? text : `${text} (skipped: there is no nats-server)`)

/** Two processes of one hub, with all roles each. */
const hubs: HubProcess[] = []
let nats: Nats
let directory: string

beforeAll(async () => {
  if (!there) return
  nats = await startNats()
  directory = await mkdtemp(join(tmpdir(), "redcar-together-"))
  const key = `rck_${randomBytes(32).toString("base64url")}`
  const roles = ["ingest", "route", "deliver", "api"]
  const flags = ["--engine", nats.url]
  for (const name of ["one", "two"]) {
    hubs.push(new HubProcess({ name, roles, directory, logDirectory: directory, key, flags }))
  }
  await Promise.all(hubs.map((hub) => hub.start()))
}, 60_000)

afterAll(async () => {
  await Promise.all(hubs.map((hub) => hub.close()))
  await nats?.stop()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

/** What a destination got, and when; it answers with `status`. */
class Destination {
  status = 200
  readonly at: number[] = []
  readonly #server: Server
  #wake = () => {}

  private constructor() {
    this.#server = createServer((request, response) => {
      request.resume().on("end", () => {
        this.at.push(performance.now())
        response.writeHead(this.status).end()
        this.#wake()
      })
    })
  }

  static async open(): Promise<Destination> {
    const destination = new Destination()
    await new Promise<void>((resolve) => destination.#server.listen(0, "127.0.0.1", resolve))
    return destination
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  async untilGot(count: number): Promise<void> {
    while (this.at.length < count) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

async function publish(topic: string, count: number): Promise<void> {
  const answers = Array.from({ length: count }, (_, i) =>
    hubs[i % 2]!.call("POST", `/v1/topics/${topic}/events`, { i }),
  )
  for (const answer of await Promise.all(answers)) await answer.body?.cancel()
}

/** Asks until the answer is right; answers how many milliseconds that took. */
async function msUntil(isRight: () => Promise<boolean>): Promise<number> {
  const from = performance.now()
  while (!(await isRight())) if (performance.now() - from > 10_000) break
  return performance.now() - from
}

test.skipIf(!there)(title("what is changed at one process, the other one sees within a second"), async () => {
  const [one, two] = hubs as [HubProcess, HubProcess]
  const to = await Destination.open()
  await one.call("POST", "/v1/destinations", { id: "seen", kind: "webhook", config: { url: to.url } })
  const filters = [{ pattern: { data: { i: [{ numeric: ["<", 0] }] } } }]
  await one.call("POST", "/v1/triggers", { id: "seen", topic: "seen", destination: "seen", filters })
  const sees = (count: number) => async () => {
    const { filters } = (await (await two.call("GET", "/v1/triggers/seen")).json()) as { filters: unknown[] }
    return filters.length === count
  }
  expect(await msUntil(sees(1))).toBeLessThan(1_000)
  await publish("seen", 4)
  await one.call("PATCH", "/v1/triggers/seen", { filters: [] })
  expect(await msUntil(sees(0))).toBeLessThan(1_000)
  await publish("seen", 3)
  await to.untilGot(3)
  to.close()
})

test.skipIf(!there)(title("a destination's rate holds over both"), async () => {
  const to = await Destination.open()
  const config = { url: to.url }
  await hubs[0]!.call("POST", "/v1/destinations", { id: "slow", kind: "webhook", config, ratePerSecond: 40 })
  await hubs[0]!.call("POST", "/v1/triggers", { id: "slow", topic: "slow", destination: "slow" })
  await publish("slow", 100)
  await to.untilGot(100)
  // A second's worth, and what may be started at once; more would come of two who count for themselves.
  const most = Math.max(...to.at.map((from) => to.at.filter((at) => at >= from && at < from + 1_000).length))
  expect(most).toBeLessThanOrEqual(40 + 4 + 6)
  to.close()
})

test.skipIf(!there)(title("a destination that is down is left alone by both"), async () => {
  const to = await Destination.open()
  to.status = 503
  const retry = { delays: ["10ms"], attemptsMax: 1000, ageMax: "1h", jitter: 0 }
  const down = { id: "down", kind: "webhook", config: { url: to.url }, concurrency: 1 }
  await hubs[0]!.call("POST", "/v1/destinations", down)
  await hubs[0]!.call("POST", "/v1/triggers", { id: "down", topic: "down", destination: "down", retry })
  await publish("down", 100)
  // Ten failures open the breaker; from then on one probe at a time, each later than the one before.
  await to.untilGot(11)
  const tenth = to.at[9]!
  expect(to.at[10]! - tenth).toBeGreaterThan(700)
  await to.untilGot(12)
  expect(to.at[11]! - to.at[10]!).toBeGreaterThan(1_400)
  to.status = 200
  await to.untilGot(112)
  to.close()
})
