import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterEach, expect, test } from "vitest"
import { loadSettings } from "./config/load.ts"
import { serveHub } from "./main.ts"
import { natsAvailable, startNats } from "./testing/nats.ts"

/*
 * A trigger that comes and goes under one id, in any order of what people do to it, against the plainest oracle: the one that
 * is there at the end owes each event from its start on, once, whatever those before it have delivered, given up or left open.
 */

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** Refuses for good what it has not seen before and is to be refused; counts what it took, by the delivery. */
async function startReceiver() {
  const taken = new Map<string, number>()
  const refused = new Set<string>()
  const server = createServer((request, response) => {
    request.resume()
    request.on("end", () => {
      const id = String(request.headers["webhook-id"])
      const isRefused = request.headers["ce-type"] === "refused" && !refused.has(id)
      if (isRefused) refused.add(id)
      else taken.set(id, (taken.get(id) ?? 0) + 1)
      response.writeHead(isRefused ? 409 : 204).end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  closing.push(async () => server.close())
  return { taken, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}

async function start(more: Readonly<Record<string, string>> = {}) {
  const data = mkdtempSync(join(tmpdir(), "redcar-incarnations-"))
  closing.push(async () => rmSync(data, { recursive: true, force: true }))
  const loaded = loadSettings({
    flags: { data, port: "0", logLevel: "silent", ...more },
    env: {},
    readFile: () => undefined,
  })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const hub = await serveHub(loaded.settings)
  closing.push(() => hub.stop())
  const key = readFileSync(join(data, "admin.key"), "utf8").trim()
  const receiver = await startReceiver()
  const call = async (method: string, path: string, body?: unknown) => {
    const type = path.endsWith("/events") ? "application/cloudevents+json" : "application/json"
    const headers = { authorization: `Bearer ${key}`, "content-type": type }
    const answer = await fetch(hub.address + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === "" ? {} : JSON.parse(text)
  }
  await call("POST", "/v1/destinations", { id: "there", kind: "webhook", config: { url: receiver.url } })
  return { call, taken: receiver.taken }
}

type Place = Awaited<ReturnType<typeof start>>

class World {
  readonly #place: Place
  /** Of the topic, and of the one trigger. */
  readonly #name: string
  readonly #cursors: string[] = []
  /** Where the trigger that is there begins. */
  #from: number | undefined

  constructor(place: Place, name: string) {
    this.#place = place
    this.#name = name
  }

  async make(from: "oldest" | "now", paused: boolean): Promise<void> {
    if (this.#from !== undefined) return
    const input = { id: this.#name, topic: this.#name, destination: "there", retry: "none", start: from, paused }
    await this.#place.call("POST", "/v1/triggers", input)
    this.#from = from === "oldest" ? 0 : this.#cursors.length
  }

  async remove(): Promise<void> {
    if (this.#from !== undefined) await this.#place.call("DELETE", `/v1/triggers/${this.#name}`)
    this.#from = undefined
  }

  async turn(how: "pause" | "resume"): Promise<void> {
    if (this.#from !== undefined) await this.#place.call("POST", `/v1/triggers/${this.#name}/${how}`)
  }

  async redrive(): Promise<void> {
    await this.#place.call("POST", "/v1/dead-letters/redrive", { trigger: this.#name })
  }

  async publish(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const type = this.#cursors.length % 2 === 0 ? "taken" : "refused"
      const event = { specversion: "1.0", id: `e${this.#cursors.length}`, source: "/shop", type }
      this.#cursors.push((await this.#place.call("POST", `/v1/topics/${this.#name}/events`, event)).cursor)
    }
  }

  /** Until all that the trigger owes has been tried. */
  async settle(): Promise<void> {
    if (this.#from === undefined) return
    await this.turn("resume")
    await until(async () => (await this.#states()).every((state) => state === "done" || state === "dead"))
  }

  /** Of each event that the trigger owes. */
  async #states(): Promise<readonly string[]> {
    return Promise.all(
      this.#cursors.slice(this.#from).map(async (cursor) => {
        const { triggers } = await this.#place.call("GET", `/v1/events/${cursor}/journey`)
        return (
          triggers.find(({ verdict, removed }: Shown) => verdict === "fires" && !removed)?.delivery?.state ?? "not yet"
        )
      }),
    )
  }

  async check(): Promise<void> {
    await this.make("oldest", false)
    await this.publish(1)
    await this.settle()
    await this.redrive()
    const { items } = await this.#place.call("GET", `/v1/events/${this.#cursors.at(-1)}/deliveries`)
    expect(items).toHaveLength(1)
    const its = (cursor: string) => items[0].id.replace(this.#cursors.at(-1), cursor).replaceAll(".", "_")
    const { taken } = this.#place
    const count = (cursor: string) => taken.get(its(cursor)) ?? 0
    await until(async () => this.#cursors.slice(this.#from).every((cursor) => count(cursor) > 0))
    expect(this.#cursors.map(count)).toEqual(this.#cursors.map((_, i) => (i < this.#from! ? 0 : 1)))
    expect(new Set(taken.values())).toEqual(new Set([1]))
  }
}

interface Shown {
  readonly verdict: string
  readonly removed?: boolean
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error("what was waited for has not come")
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

type Command = (world: World) => Promise<void>

function told(name: string, run: Command): Command {
  return Object.assign((world: World) => run(world), { toString: () => name })
}

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: made() },
  { weight: 3, arbitrary: fc.constant(told("remove", (world) => world.remove())) },
  { weight: 1, arbitrary: fc.constant(told("pause", (world) => world.turn("pause"))) },
  { weight: 2, arbitrary: fc.constant(told("resume", (world) => world.turn("resume"))) },
  { weight: 1, arbitrary: fc.constant(told("redrive", (world) => world.redrive())) },
  { weight: 2, arbitrary: fc.constant(told("settle", (world) => world.settle())) },
  {
    weight: 4,
    arbitrary: fc.integer({ min: 1, max: 3 }).map((n) => told(`publish ${n}`, (world) => world.publish(n))),
  },
)

function made(): fc.Arbitrary<Command> {
  return fc
    .tuple(fc.constantFrom("oldest" as const, "now" as const), fc.boolean())
    .map(([from, paused]) => told(`make ${from}${paused ? ", paused" : ""}`, (world) => world.make(from, paused)))
}

async function checkRuns(place: Place, runs: Pick<fc.Parameters<unknown>, "numRuns" | "seed">): Promise<void> {
  let made = 0
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 25 }), async (commands) => {
      const world = new World(place, `orders-${made++}`)
      for (const command of commands) await command(world)
      await world.check()
    }),
    { ...runs, endOnFailure: true },
  )
}

test("a trigger that comes and goes under one id owes what it has to, on the embedded engine", async () => {
  await checkRuns(await start(), { numRuns: 12 })
}, 120_000)

test.skipIf(natsAvailable() === undefined)(
  "so it does on NATS (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    closing.push(() => nats.stop())
    await checkRuns(await start({ engine: nats.url }), { numRuns: 1, seed: 4 })
  },
  120_000,
)
