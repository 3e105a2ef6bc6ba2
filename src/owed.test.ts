import { describe, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

// What retention keeps because somebody is owed it, through a whole hub.

const { startOn } = testHubs("owed")

interface Item {
  readonly lease: string
  readonly event: { readonly id: string }
}

async function publish(hub: RestartableHub, topic: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const event = { specversion: "1.0", id, source: "/shop", type: "order.paid" }
    expect((await hub.call("POST", `/v1/topics/${topic}/events`, event)).status).toBe(202)
  }
}

/** Leases so many of a queue's deliveries, and ends them. */
async function work(hub: RestartableHub, queue: string, max: number, result = "done"): Promise<void> {
  const { items } = (await hub.call("POST", `/v1/queues/${queue}/lease`, { max, waitFor: "500ms" })).body
  const settlements = items.map((item: Item) => ({ lease: item.lease, result }))
  await hub.call("POST", `/v1/queues/${queue}/settle`, { settlements })
}

async function triggerOn(hub: RestartableHub, topic: string, queue: string): Promise<void> {
  await hub.call("POST", "/v1/destinations", { id: queue, kind: "queue", config: {} })
  await hub.call("POST", "/v1/triggers", { id: `to-${queue}`, topic, destination: queue })
}

const open = async (hub: RestartableHub, queue: string) =>
  Number((await hub.call("GET", `/v1/queues/${queue}`)).body.open)
const prune = async (hub: RestartableHub, body: object = {}, topic = "orders") =>
  (await hub.call("POST", `/v1/topics/${topic}/prune`, body)).body
const retain = (hub: RestartableHub, retention: object, topic = "orders") =>
  hub.call("PATCH", `/v1/topics/${topic}`, { retention })
const left = async (hub: RestartableHub, topic = "orders") =>
  (await hub.call("GET", `/v1/topics/${topic}/events`)).body.map(({ id }: { id: string }) => id)

describe.for(["embedded", "nats"] as const)("on %s", (engine) => {
  const run = test.skipIf(engine === "nats" && !natsAvailable)

  run(
    "an open delivery keeps its event and what is behind it; those of other topics keep nothing",
    async () => {
      const { hub, again } = await startOn(engine)
      await triggerOn(hub, "others", "elsewhere")
      await publish(hub, "others", ["x", "y"])
      await triggerOn(hub, "orders", "jobs")
      await publish(hub, "orders", ["a", "b", "c", "d"])
      await until(async () => (await open(hub, "jobs")) === 4 && (await open(hub, "elsewhere")) === 2)
      await work(hub, "jobs", 2)
      await retain(hub, { eventsMax: 1 })
      const dry = await prune(hub, { dryRun: true })
      expect(dry).toMatchObject({
        dryRun: true,
        dropped: 0,
        goes: { events: 2, limits: [{ limit: "eventsMax", events: 2 }] },
        held: { events: 1, by: "delivery", trigger: "to-jobs" },
      })
      expect((await hub.call("GET", "/v1/topics/orders")).body.stats.held).toEqual(dry.held)
      expect(await left(hub)).toEqual(["a", "b", "c", "d"])
      expect(await prune(hub)).toMatchObject({ dropped: 2, goes: { events: 2 }, held: { events: 1 } })
      expect(await left(hub)).toEqual(["c", "d"])
      await hub.stop()
      const next = await again()
      expect(await prune(next)).toMatchObject({ dropped: 0, held: { events: 1, by: "delivery" } })
      await work(next, "jobs", 10)
      const done = await prune(next)
      expect([done.dropped, done.held]).toEqual([1, undefined])
      expect(await left(next)).toEqual(["d"])
      expect(await left(next, "others")).toEqual(["x", "y"])
    },
    60_000,
  )

  run(
    "a paused trigger and a replay keep what they have not read",
    async () => {
      const { hub } = await startOn(engine)
      await triggerOn(hub, "orders", "jobs")
      await publish(hub, "orders", ["a", "b"])
      await until(async () => (await open(hub, "jobs")) === 2)
      await work(hub, "jobs", 10)
      await hub.call("POST", "/v1/triggers/to-jobs/pause", {})
      await retain(hub, { eventsMax: 1 })
      await publish(hub, "orders", ["c", "d"])
      const held = await prune(hub)
      expect(held).toMatchObject({ held: { by: "trigger", id: "to-jobs" } })
      expect((await left(hub)).slice(-2)).toEqual(["c", "d"])
      await hub.call("POST", "/v1/triggers/to-jobs/resume", {})
      await until(async () => (await open(hub, "jobs")) >= 2)
      await work(hub, "jobs", 10)
      await until(async () => (await prune(hub)).held === undefined)
      expect(await left(hub)).toEqual(["d"])
      await retain(hub, {})
      await publish(hub, "orders", ["e", "f", "g"])
      await until(async () => (await open(hub, "jobs")) === 3)
      await work(hub, "jobs", 10)
      const { id } = (await hub.call("POST", "/v1/triggers/to-jobs/replays", { from: "oldest", ratePerSecond: 0.01 }))
        .body
      await hub.call("POST", `/v1/replays/${id}/pause`, {})
      const dry = await prune(hub, { dryRun: true, retention: { eventsMax: 1 } })
      expect(dry.held?.by).toMatch(/replay|delivery/)
      await hub.call("POST", `/v1/replays/${id}/cancel`, {})
      await work(hub, "jobs", 10)
      const over = await prune(hub, { dryRun: true, retention: { eventsMax: 1 } })
      expect([over.goes.events, over.held]).toEqual([3, undefined])
    },
    60_000,
  )
})

test("dead letters keep events where the topic says so, and dropUndelivered keeps nothing", async () => {
  const { hub } = await startOn("embedded")
  await triggerOn(hub, "orders", "jobs")
  await publish(hub, "orders", ["a", "b", "c"])
  await until(async () => (await open(hub, "jobs")) === 3)
  await work(hub, "jobs", 1, "reject")
  await work(hub, "jobs", 10)
  const retention = { eventsMax: 1 }
  const going = async (more: object) => prune(hub, { dryRun: true, retention: { ...retention, ...more } })
  expect((await going({})).goes.events).toBe(2)
  expect(await going({ keepDeadLetters: true })).toMatchObject({
    goes: { events: 0 },
    held: { by: "deadLetter", events: 2 },
  })
  const both = { ...retention, keepDeadLetters: true, dropUndelivered: true }
  const refused = await hub.call("PATCH", "/v1/topics/orders", { retention: both })
  expect([refused.status, refused.body.errors[0].field]).toEqual([400, "retention.keepDeadLetters"])
  await hub.call("POST", "/v1/dead-letters/redrive", {})
  expect(await going({})).toMatchObject({ goes: { events: 0 }, held: { by: "delivery" } })
  expect(await going({ dropUndelivered: true })).toMatchObject({ goes: { events: 2 } })
  expect((await hub.call("POST", "/v1/topics/orders/prune", { retention })).status).toBe(400)
  const flags = ["--url", hub.address, "--key", hub.authorization.slice(7)]
  const update = ["topic", "update", "orders", "--retention-events", "1", "--retention-undelivered", "keep"]
  expect((await runCli([...update, ...flags])).err).toBe("")
  const held = await runCli(["topic", "prune", "orders", "--dry-run", ...flags])
  expect(held.out).toMatch(/^✓ 0 events would go; 2 events more stay, the oldest for delivery \S+\n$/)
  const drop = ["topic", "prune", "orders", "--dry-run", "--retention-events", "1", "--retention-undelivered", "drop"]
  expect((await runCli([...drop, ...flags])).out).toMatch(
    /^✓ 2 events would go, \d+ bytes, of \S+ to \S+ \(eventsMax 2\)\n$/,
  )
  await runCli(["topic", "update", "orders", "--retention-undelivered", "drop", ...flags])
  expect((await runCli(["topic", "prune", "orders", "--yes", ...flags])).out).toMatch(/^✓ 2 events went/)
  expect(await left(hub)).toEqual(["c"])
  await work(hub, "jobs", 10)
  const [letter] = (await hub.call("GET", "/v1/dead-letters")).body.items
  expect(letter).toMatchObject({ reason: "permanent" })
})
