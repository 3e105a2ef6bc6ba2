import { describe, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { HubProcess } from "./testing/hub-process.ts"
import { natsAvailable } from "./testing/nats.ts"

// Queues whose leases never lapse, through a whole hub.

const { startOn, directory } = testHubs("forever")

interface Item {
  readonly lease: string
  readonly delivery: string
  readonly event: { readonly id: string }
}

const event = (id: string) => ({ specversion: "1.0", id, source: "/shop", type: "order.paid" })

type Call = (method: string, path: string, body?: unknown) => Promise<{ readonly body: never }>

async function lease(call: Call, max: number): Promise<readonly Item[]> {
  const { body } = await call("POST", "/v1/queues/jobs/lease", { max })
  return (body as { items: readonly Item[] }).items
}

async function settle(call: Call, items: readonly Item[]): Promise<readonly string[]> {
  const settlements = items.map((item) => ({ lease: item.lease, result: "done" }))
  const { body } = await call("POST", "/v1/queues/jobs/settle", { settlements })
  return (body as { items: readonly { state: string }[] }).items.map(({ state }) => state)
}

async function makeQueue(call: Call): Promise<void> {
  await call("POST", "/v1/destinations", { id: "jobs", kind: "queue", config: { lease: "never" } })
  await call("POST", "/v1/triggers", { id: "work", topic: "orders", destination: "jobs", retry: { preset: "none" } })
}

const callOf = (hub: RestartableHub): Call => hub.call as never
const count = async (call: Call, what: string) =>
  Number(((await call("GET", "/v1/queues/jobs")).body as Record<string, number>)[what])

describe.for(["embedded", "nats"] as const)("on %s", (engine) => {
  test.skipIf(engine === "nats" && !natsAvailable)(
    "each event is one worker's over restarts, until it settles or is unlocked",
    async () => {
      const { hub, again } = await startOn(engine)
      await makeQueue(callOf(hub))
      for (const id of ["a", "b", "c", "d"]) await hub.call("POST", "/v1/topics/orders/events", event(id))
      await until(async () => (await count(callOf(hub), "ready")) === 4)
      const given = await lease(callOf(hub), 3)
      await hub.stop()
      const next = await again()
      const call = callOf(next)
      const more = await lease(call, 10)
      expect([...given, ...more].map((item) => item.event.id)).toEqual(["a", "b", "c", "d"])
      expect(await settle(call, [given[0]!])).toEqual(["settled"])
      expect(await count(call, "leased")).toBe(3)
      const [key] = next.authorization.split(" ").slice(1)
      const cli = (...words: readonly string[]) => runCli([...words, "--url", next.address, "--key", key!], {})
      const one = await cli("queue", "unlock", "jobs", given[1]!.delivery, given[0]!.delivery)
      expect(one.out).toBe(
        `STATE       DELIVERY\nunlocked    ${given[1]!.delivery}\nnot-leased  ${given[0]!.delivery}\n`,
      )
      expect(await lease(call, 10)).toMatchObject([{ event: { id: "b" }, attempt: 2 }])
      expect(JSON.parse((await cli("queue", "unlock", "jobs", "--all", "--json")).out)).toHaveLength(3)
      expect((await cli("queue", "unlock", "jobs", "--all")).out).toBe("Nothing is leased.\n")
      const last = await lease(call, 10)
      expect(await settle(call, given.slice(1))).toEqual(["lost", "lost"])
      expect(await settle(call, last)).toEqual(["settled", "settled", "settled"])
      expect(await count(call, "open")).toBe(0)
    },
    60_000,
  )
})

test("a hub that is killed while workers lease gives none of it twice", { timeout: 120_000 }, async () => {
  const path = directory()
  const hub = new HubProcess({
    ...{ name: "hub", roles: ["ingest", "route", "deliver", "api"], directory: path, logDirectory: path, flags: [] },
    key: `rck_${"k".repeat(43)}`,
  })
  const call: Call = async (method, path, body) => {
    const answer = await hub.call(method, path, body)
    return { body: (await answer.json().catch(() => undefined)) as never }
  }
  const events = 2_000
  try {
    await hub.start()
    await makeQueue(call)
    for (let i = 0; i < events; i += 500) {
      const lines = Array.from({ length: 500 }, (_, n) => JSON.stringify(event(`e${i + n}`))).join("\n")
      const headers = { authorization: `Bearer rck_${"k".repeat(43)}`, "content-type": "application/x-ndjson" }
      await fetch(`${hub.address}/v1/topics/orders/events`, { method: "POST", headers, body: lines })
    }
    await until(async () => (await count(call, "open")) === events)
    const given: string[] = []
    for (let round = 0; round < 4; round++) {
      const goal = given.length + 200
      const work = async () => {
        // Ends: when the hub is gone, at the latest.
        for (;;) {
          const items = await lease(call, 7).catch(() => undefined)
          if (items === undefined || items.length === 0) return
          given.push(...items.map(({ delivery }) => delivery))
          if (given.length >= goal) await hub.kill()
        }
      }
      await Promise.all([work(), work(), work()])
      await hub.start()
    }
    expect(new Set(given).size).toBe(given.length)
    const leased = await count(call, "leased")
    expect(leased).toBeGreaterThanOrEqual(given.length)
    const unlocked: unknown[] = []
    for (let after: string | undefined, isMore = true; isMore; isMore = after !== undefined) {
      const { body } = await call("POST", "/v1/queues/jobs/unlock", { all: true, ...(after && { after }) })
      const page = body as { items: readonly unknown[]; next?: string }
      unlocked.push(...page.items)
      after = page.next
    }
    expect(unlocked).toHaveLength(leased)
    expect(await count(call, "ready")).toBe(events)
  } finally {
    await hub.close()
  }
})
