import { describe, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

// A dead letter that is redriven edited, through a whole hub.

const { startOn } = testHubs("edited")

interface Item {
  readonly lease: string
  readonly event: Readonly<Record<string, unknown>> & { readonly id: string }
}

const lease = async (hub: RestartableHub, queue: string, waitFor = "20s"): Promise<readonly Item[]> =>
  (await hub.call("POST", `/v1/queues/${queue}/lease`, { max: 10, waitFor })).body.items

async function settle(hub: RestartableHub, queue: string, items: readonly Item[], result: string) {
  const settlements = items.map((item) => ({ lease: item.lease, result }))
  const { body } = await hub.call("POST", `/v1/queues/${queue}/settle`, { settlements })
  expect(body.items.every(({ state }: { state: string }) => state === "settled")).toBe(true)
}

/** Two triggers on orders, both of which an event fires: `ship` gives it up, `bill` is done with it. */
async function withLetter(hub: RestartableHub, ordering?: object) {
  for (const [trigger, queue] of [
    ["ship", "shipping"],
    ["bill", "billing"],
  ]) {
    await hub.call("POST", "/v1/destinations", { id: queue, kind: "queue", config: {} })
    const filters = [{ exact: { type: "order.paid" } }]
    await hub.call("POST", "/v1/triggers", { id: trigger, topic: "orders", filters, destination: queue, ordering })
  }
  const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid", data: { total: 1, to: "me" } }
  const { cursor } = (await hub.call("POST", "/v1/topics/orders:k/events", event)).body
  await settle(hub, "shipping", await lease(hub, "shipping"), "reject")
  await settle(hub, "billing", await lease(hub, "billing"), "done")
  const [letter] = (await hub.call("GET", "/v1/dead-letters")).body.items
  return { cursor: String(cursor), letter: String(letter.id) }
}

const patch = { type: "order.repaired", subject: "7", data: { total: 2, note: null } }

describe.for(["embedded", "nats"] as const)("on %s", (engine) => {
  test.skipIf(engine === "nats" && !natsAvailable)(
    "another event goes to the letter's trigger alone, and the old one stays",
    async () => {
      const { hub, again } = await startOn(engine)
      const { cursor, letter } = await withLetter(hub)
      const answer = await hub.call("POST", `/v1/dead-letters/${letter}/redrive`, { patch })
      const { edit } = answer.body
      expect(answer).toMatchObject({ status: 200, body: { matched: 1, redriven: 1, edit: { source: "/shop" } } })
      const repeated = await hub.call("POST", `/v1/dead-letters/${letter}/redrive`, { patch })
      expect(repeated.status).toBe(404)
      await hub.stop()
      const next = await again()
      const items = await lease(next, "shipping")
      expect(items.map(({ event }) => event)).toMatchObject([
        {
          id: edit.id,
          source: "/shop",
          type: "order.repaired",
          subject: "7",
          causationid: "1",
          correlationid: "1",
          redcarredrive: letter,
          data: { total: 2, to: "me" },
        },
      ])
      await settle(next, "shipping", items, "done")
      expect((await next.call("GET", "/v1/queues/billing")).body).toMatchObject({ open: 0 })
      const old = (await next.call("GET", `/v1/events/${cursor}`)).body
      expect(old).toMatchObject({ id: "1", type: "order.paid", data: { total: 1, to: "me" } })
      const journey = (await next.call("GET", `/v1/events/${cursor}/journey`)).body
      const told = journey.triggers.find(({ trigger }: { trigger: string }) => trigger === "ship").delivery
      expect(told).toMatchObject({ state: "edited", edited: { as: edit, by: expect.any(String) } })
      expect(journey.caused).toContainEqual(expect.objectContaining({ id: edit.id, cursor: edit.cursor }))
      const flags = ["--url", next.address, "--key", next.authorization.slice(7)]
      const shown = (await runCli(["event", "journey", cursor, ...flags])).out
      expect(shown).toContain(`redriven edited at ${told.edited.at}, as ${edit.id} at ${edit.cursor}`)
      await until(async () => {
        const { triggers } = (await next.call("GET", `/v1/events/${edit.cursor}/journey`)).body
        return triggers.some(({ delivery }: { delivery?: { state: string } }) => delivery?.state === "done")
      })
      const { triggers } = (await next.call("GET", `/v1/events/${edit.cursor}/journey`)).body
      expect(triggers).toMatchObject([
        { trigger: "ship", verdict: "fires", delivery: { state: "done" } },
        { trigger: "bill", verdict: "rejects", sentence: expect.stringContaining("redcarredrive") },
      ])
    },
    60_000,
  )
})

test("triggers that read the past, replays and topics that are forwarded to pass it over", async () => {
  const { hub } = await startOn("embedded")
  const { letter } = await withLetter(hub)
  const event = { specversion: "1.0", id: "mine", source: "/other", type: "order.paid", redcarredrive: "mine" }
  expect((await hub.call("POST", `/v1/dead-letters/${letter}/redrive`, { event })).body.redriven).toBe(1)
  await settle(hub, "shipping", await lease(hub, "shipping"), "done")
  await hub.call("POST", "/v1/destinations", { id: "late", kind: "queue", config: {} })
  await hub.call("POST", "/v1/triggers", { id: "late", topic: "orders", start: "oldest", destination: "late" })
  const items = await lease(hub, "late")
  expect(items.map((item) => item.event.id)).toEqual(["1"])
  const { id } = (await hub.call("POST", "/v1/triggers/bill/replays", { from: "oldest" })).body
  expect((await lease(hub, "billing")).map((item) => item.event.id)).toEqual(["1"])
  await until(async () => (await hub.call("GET", `/v1/replays/${id}`)).body.state === "done")
  expect((await hub.call("GET", `/v1/replays/${id}`)).body).toMatchObject({ total: 1, done: 1 })
  // What a client sends with the attribute of an edit is an event as any.
  await hub.call("POST", "/v1/topics/orders/events", { ...event, id: "2" })
  expect((await lease(hub, "billing")).map((item) => [item.event.id, item.event.redcarredrive])).toEqual([
    ["2", undefined],
  ])
})

test("what is forwarded into a topic is an event of that topic as any", async () => {
  const { hub } = await startOn("embedded")
  const { letter } = await withLetter(hub)
  await hub.call("POST", "/v1/destinations", { id: "copy", kind: "topic", config: { topic: "copies" } })
  await hub.call("POST", "/v1/destinations", { id: "late", kind: "queue", config: {} })
  await hub.call("POST", "/v1/triggers", { id: "copied", topic: "copies", destination: "late" })
  await hub.call("PATCH", "/v1/triggers/ship", { destination: "copy", backlog: "move" })
  const { edit } = (await hub.call("POST", `/v1/dead-letters/${letter}/redrive`, { patch })).body
  // It moves when its turn comes.
  expect(await lease(hub, "shipping", "10ms")).toEqual([])
  const [item] = await lease(hub, "late")
  expect(item!.event).toMatchObject({ type: "order.repaired", causationid: edit.id })
  expect(item!.event).not.toHaveProperty("redcarredrive")
})
