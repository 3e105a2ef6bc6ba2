import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { HubProcess } from "./testing/hub-process.ts"
import { natsAvailable } from "./testing/nats.ts"

// What a webhook answers with is published to its trigger's reply topic: whole hubs, and a receiver that answers with events.

const { directory, nats, start, startOn } = testHubs("replies")

interface Answered {
  readonly status?: number
  readonly headers?: OutgoingHttpHeaders
  readonly body?: unknown
}

const structured = { "content-type": "application/cloudevents+json" }
const batched = { "content-type": "application/cloudevents-batch+json" }
const invoice = (id: string, more: object = {}) => ({
  ...{ specversion: "1.0", id, source: "/billing", type: "invoice.made" },
  ...more,
})

/** What the receiver answers, by the number of the request, from 0. */
let answer: (headers: IncomingHttpHeaders, request: number) => Answered
let url: string
let close: () => void
let requests: number
/** It answers nothing before this. */
let mayAnswer: Promise<unknown>

beforeEach(async () => {
  requests = 0
  mayAnswer = Promise.resolve()
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    await mayAnswer
    const { status = 200, headers = {}, body } = answer(request.headers, requests++)
    response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  close = () => {
    server.closeAllConnections()
    server.close()
  }
})
afterEach(() => close())

const retry = { delays: ["50ms"], attemptsMax: 50, ageMax: "1h", jitter: 0 }

async function connect(hub: RestartableHub, trigger: object = {}): Promise<void> {
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/destinations", { id: "billing", kind: "webhook", config: { url } })
  const made = { id: "bill", topic: "orders", destination: "billing", retry, reply: { topic: "invoices" }, ...trigger }
  expect((await hub.call("POST", "/v1/triggers", made)).status).toBe(201)
}

async function publish(hub: RestartableHub, id: string, more: object = {}): Promise<string> {
  const event = { specversion: "1.0", id, source: "/shop", type: "order.paid", ...more }
  return (await hub.call("POST", "/v1/topics/orders/events", event)).body.cursor
}

interface Told {
  readonly id: string
  readonly state: string
  readonly attempts: readonly {
    readonly outcome: {
      readonly kind: string
      readonly reply?: { readonly cursors?: string[]; readonly detail?: string }
    }
  }[]
}

/** The delivery of an event, once it is over. */
async function over(hub: RestartableHub, cursor: string): Promise<Told> {
  let found: Told | undefined
  await until(async () => {
    const { items } = (await hub.call("GET", `/v1/events/${cursor}/deliveries`)).body
    found = items[0]
    return found?.state === "done" || found?.state === "dead"
  })
  return found!
}

const eventsOf = async (hub: RestartableHub, topic: string): Promise<readonly Record<string, unknown>[]> =>
  (await hub.call("GET", `/v1/topics/${topic}/events?from=oldest&limit=1000`)).body

describe.for(["embedded", "nats"] as const)("on %s", (engine) => {
  test.skipIf(engine === "nats" && !natsAvailable)(
    "an answer in each mode is published with its cause, once, whatever the same delivery is answered later",
    async () => {
      const { hub, again } = await startOn(engine)
      await connect(hub)
      const answers: readonly Answered[] = [
        { headers: { ...binaryOf(invoice("b")), "content-type": "text/plain" }, body: "thanks" },
        { headers: structured, body: invoice("s", { data: { total: 1 } }) },
        { headers: batched, body: [invoice("m1"), invoice("m2")] },
      ]
      answer = (_, request) => answers[request] ?? { headers: structured, body: invoice(`again-${request}`) }
      const cursors: string[] = []
      for (const id of ["1", "2", "3"]) {
        cursors.push(await publish(hub, id, { correlationid: "flow" }))
        await over(hub, cursors.at(-1)!)
      }
      const published = await eventsOf(hub, "invoices")
      expect(published).toMatchObject([
        { id: "b", source: "/billing", causationid: "1", correlationid: "flow", data: '"thanks"' },
        { id: "s", causationid: "2", redcarhops: 1, data: { total: 1 } },
        { id: "m1", causationid: "3", redcarpart: "1/2" },
        { id: "m2", causationid: "3", redcarpart: "2/2" },
      ])
      await hub.stop()
      const next = await again()
      for (const cursor of cursors) {
        expect((await next.call("POST", `/v1/events/${cursor}/deliveries/bill/resend`)).status).toBe(200)
        await until(async () => (await over(next, cursor)).attempts.length === 2)
      }
      expect(requests).toBe(6)
      expect((await eventsOf(next, "invoices")).map(({ id }) => id)).toEqual(["b", "s", "m1", "m2"])
      const told = await over(next, cursors[2]!)
      const at = published.slice(2).map(({ redcarcursor }) => redcarcursor)
      expect(told.attempts.map(({ outcome }) => outcome.reply)).toEqual([
        { kind: "published", topic: "invoices", cursors: at },
        { kind: "published", topic: "invoices", cursors: at, duplicate: true },
      ])
      expect(await eventsOf(next, `invoices:${told.id}`)).toHaveLength(2)
      await checkJourney(next, cursors[1]!, String(published[1]!.redcarcursor))
    },
    60_000,
  )

  test.skipIf(engine === "nats" && !natsAvailable)(
    "a hub that is killed while it is answered publishes each delivery's first answer, and no second one",
    async () => {
      const data = directory()
      const flags = engine === "nats" ? ["--engine", await nats()] : []
      const of = { name: "hub", roles: ["ingest", "route", "deliver", "api"], key: `rck_${"k".repeat(43)}` }
      const hub = new HubProcess({ ...of, directory: data, logDirectory: data, flags })
      await hub.start()
      const call: RestartableHub["call"] = async (method, path, body) => {
        const answer = await hub.call(method, path, body)
        return { status: answer.status, body: await answer.json() }
      }
      const restartable = { call } as RestartableHub
      await connect(restartable)
      const answered = new Map<string, number>()
      let killAt = Number.POSITIVE_INFINITY
      let killed = Promise.withResolvers<unknown>()
      answer = ({ "webhook-id": id = "" }) => {
        const times = (answered.get(String(id)) ?? 0) + 1
        answered.set(String(id), times)
        if (answered.size >= killAt) {
          killAt = Number.POSITIVE_INFINITY
          setTimeout(() => killed.resolve(hub.kill()), 2)
        }
        return { headers: structured, body: invoice(`${id}-${times}`) }
      }
      const isRepeated = () => [...answered.values()].some((times) => times > 1)
      let total = 0
      for (let round = 0; round < 10 && !isRepeated(); round++) {
        const events = Array.from({ length: 100 }, (_, i) => {
          return { specversion: "1.0", id: `${round}-${i}`, source: "/shop", type: "order.paid" }
        })
        killAt = total + 40
        total += events.length
        killed = Promise.withResolvers()
        mayAnswer = fetch(`${hub.address}/v1/topics/orders/events`, {
          method: "POST",
          headers: { authorization: `Bearer ${of.key}`, ...batched },
          body: JSON.stringify(events),
        }).then((answer) => answer.text())
        await killed.promise
        await hub.start()
        // Another process would first have to see that this one is gone.
        await expect.poll(() => answered.size, { timeout: 60_000 }).toBe(total)
        await until(async () => (await call("GET", "/v1/deliveries?pageSize=1")).body.items.length === 0)
      }
      expect(isRepeated()).toBe(true)
      const published = await eventsOf(restartable, "invoices")
      const causes = published.map(({ causationid }) => causationid)
      expect([causes.length, new Set(causes).size]).toEqual([total, total])
      await hub.close()
    },
    120_000,
  )
})

/** An event's attributes as headers. */
function binaryOf(event: object): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(event).map(([name, value]) => [`ce-${name}`, value]))
}

async function checkJourney(hub: RestartableHub, cursor: string, reply: string): Promise<void> {
  const caused = (await hub.call("GET", `/v1/events/${cursor}/journey`)).body.caused
  expect(caused).toContainEqual(expect.objectContaining({ cursor: reply, trigger: "bill" }))
  const { causes } = (await hub.call("GET", `/v1/events/${reply}/journey`)).body
  expect(causes).toMatchObject([{ cursor, id: "2" }])
  const flags = ["--url", hub.address, "--key", hub.authorization.slice(7)]
  const shown = (await runCli(["event", "journey", cursor, ...flags])).out
  expect(shown).toContain(`→ its answer is on invoices at ${reply}\n`)
  expect(shown).toContain(`→ its answer is on invoices at ${reply}, as before\n`)
}

test("an answer that cannot be published is told, and its delivery is done", async () => {
  const { hub } = await startOn("embedded")
  await connect(hub)
  const answers: readonly (readonly [Answered, string])[] = [
    [{ headers: { "ce-id": "1" } }, "fields are wrong"],
    [{ headers: structured, body: invoice("late", { deliverat: "2999-01-01T00:00:00Z" }) }, "deliverat"],
    [{ headers: structured, body: invoice("large", { data: "x".repeat(600_000) }) }, "limits.eventBytesMax"],
    [{ headers: structured, body: invoice("larger", { data: "x".repeat(2_000_000) }) }, "limits.eventBytesMax"],
    [{ headers: batched, body: Array.from({ length: 101 }, (_, i) => invoice(`${i}`)) }, "more than 100 events"],
  ]
  answer = (_, request) => answers[request]![0]
  for (const [i, [, why]] of answers.entries()) {
    const { state, attempts } = await over(hub, await publish(hub, `${i}`))
    expect([state, attempts.length, attempts[0]!.outcome.reply?.detail]).toEqual([
      "done",
      1,
      expect.stringContaining(why),
    ])
  }
  answer = () => ({ status: 204 })
  const { attempts } = await over(hub, await publish(hub, "none"))
  expect(attempts[0]!.outcome).not.toHaveProperty("reply")
  expect(await eventsOf(hub, "invoices")).toEqual([])
})

test("topics that answer each other in a circle come to an end, and an ordered trigger's answers are in its order", async () => {
  const { hub } = await startOn("embedded")
  await connect(hub, { reply: { topic: "orders" }, ordering: { by: "subject" } })
  let asked = 0
  answer = () => ({ headers: structured, body: invoice(`r${asked++}`) })
  await publish(hub, "first")
  await until(async () => (await eventsOf(hub, "orders")).length === 9)
  await until(async () => (await hub.call("GET", "/v1/deliveries")).body.items.length === 0)
  expect((await eventsOf(hub, "orders")).map(({ redcarhops }) => redcarhops ?? 0)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  await hub.call("PATCH", "/v1/triggers/bill", { reply: { topic: "invoices" } })
  answer = ({ "ce-id": id }) => ({ headers: structured, body: invoice(`for-${id}`) })
  for (let i = 0; i < 20; i++) await publish(hub, `o${i}`, { subject: "one" })
  await until(async () => (await eventsOf(hub, "invoices")).length === 20)
  expect((await eventsOf(hub, "invoices")).map(({ id }) => id)).toEqual(
    Array.from({ length: 20 }, (_, i) => `for-o${i}`),
  )
})

test("a reply topic is there while its trigger is, keeps what it is tried for, and is no topic of the hub", async () => {
  const data = directory()
  const hub = await start(data, { topicsAutoCreate: "false" })
  await hub.call("POST", "/v1/topics", { id: "invoices", retention: { ageMax: "30m" } })
  answer = () => ({ headers: structured, body: invoice("1") })
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/destinations", { id: "billing", kind: "webhook", config: { url } })
  const made = (topic: string) =>
    hub.call("POST", "/v1/triggers", { id: "bill", topic: "orders", destination: "billing", retry, reply: { topic } })
  for (const [topic, message] of [
    ["invoices", "keeps events for 30m only, and deliveries are tried for 1h"],
    ["invoices:1", "must have no key"],
    ["nowhere", "there is no topic nowhere"],
    ["redcar.attempts", "written by the hub itself"],
    ["!", "a topic's name is"],
  ]) {
    const refused = await made(topic!)
    expect([topic, refused.status]).toEqual([topic, 400])
    expect(refused.body.errors).toMatchObject([{ field: "reply.topic", message: expect.stringContaining(message!) }])
  }
  await hub.call("PATCH", "/v1/topics/invoices", { retention: { ageMax: "2h" } })
  expect((await made("invoices")).body).toMatchObject({ reply: { topic: "invoices" } })
  const shortened = await hub.call("PATCH", "/v1/topics/invoices", { retention: { ageMax: "30m" } })
  expect(shortened.body.errors).toMatchObject([{ field: "retention.ageMax", message: expect.stringContaining("bill") }])
  const deleted = await hub.call("DELETE", "/v1/topics/invoices")
  expect([deleted.status, deleted.body.detail]).toEqual([
    409,
    "topic invoices is the reply topic of trigger bill; delete or change them first",
  ])
  await hub.call("PATCH", "/v1/triggers/bill", { reply: null })
  expect((await hub.call("GET", "/v1/triggers/bill")).body).not.toHaveProperty("reply")
  expect((await hub.call("DELETE", "/v1/topics/invoices")).status).toBe(204)
  const { state, attempts } = await over(hub, await publish(hub, "1"))
  expect([state, attempts[0]!.outcome.reply]).toEqual(["done", undefined])
})
