import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import { editAttribute } from "../../core/edits.ts"
import { StorageError } from "../../core/errors.ts"
import { type DataKind, Event } from "../../core/event.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { Trigger } from "../../core/resources.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let count = 0

beforeAll(async () => {
  api = await openTestApi({ eventBytesMax: 5_000 })
  await api.call("POST", "/v1/topics", { id: "orders" })
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  await api.call("POST", "/v1/triggers", { id: "ship", topic: "orders", destination: "shop" })
})
afterAll(() => api.close())

/** The dead letter of an event with this data. */
async function letter(data?: string, dataKind: DataKind = "json", topic = "orders"): Promise<Delivery> {
  const { queue, log, catalog } = api.engine
  const attributes = { specversion: "1.0", id: `e${++count}`, source: "/shop", type: "order.paid", subject: "7" }
  const event = Event.of(attributes, data === undefined ? undefined : Buffer.from(data), data ? dataKind : "none")
  const [appended] = await log.append({ tenant: "default", topic, key: "k" }, [event])
  const { cursor } = appended!
  const stored = (await log.get(cursor)) as StoredEvent
  const { incarnation = "" } = (await catalog.get<Trigger>("trigger/default/ship"))!.value
  const names = { tenant: "default", trigger: "ship", incarnation, destination: "shop", cursor }
  const delivery: Delivery = {
    ...names,
    id: deliveryId(cursor, "ship", incarnation),
    fingerprint: fingerprintOf(stored),
  }
  await queue.enqueue([delivery])
  const leases = await queue.lease({ lane: "default/shop", max: 100, leaseMs: 60_000 })
  const lease = leases.find((each) => each.delivery.id === delivery.id)!
  const lastOutcome = { kind: "failed", detail: "400 Bad Request", permanent: true } as const
  const dead = { address: stored.address, reason: "exhausted", attempts: 1, diedAt: Date.now(), lastOutcome } as const
  await queue.end(lease, { kind: "dead", letter: { ...delivery, ...dead } })
  return delivery
}

const redrive = (id: string, body: unknown, headers?: Record<string, string>) =>
  api.call("POST", `/v1/dead-letters/${id}/redrive`, body, headers)

/** The event that a redrive has made, as it is in the log. */
async function made(id: string, body: unknown): Promise<Event> {
  const { edit } = (await redrive(id, body)).body
  const { event } = (await api.engine.log.get(edit.cursor))!
  expect(event.id).toBe(edit.id)
  return event
}

test("a patch changes what it names, and keeps the bytes of the rest", async () => {
  const { id } = await letter('{"big": 12345678901234567890,"a":1.0}')
  const event = await made(id, { patch: { type: "order.repaired", subject: null, ours: 5 } })
  expect(Buffer.from(event.data!).toString()).toBe('{"big": 12345678901234567890,"a":1.0}')
  const { id: _, ...attributes } = event.attributes
  expect(attributes).toEqual({
    specversion: "1.0",
    source: "/shop",
    type: "order.repaired",
    ours: 5,
    causationid: `e${count}`,
    correlationid: `e${count}`,
    [editAttribute]: id,
  })
})

test("data is merged where both are objects, and replaced else; another event is taken as it is written", async () => {
  const dataOf = async (data: string | undefined, body: unknown) => {
    const event = await made((await letter(data)).id, body)
    return event.data === undefined ? undefined : Buffer.from(event.data).toString()
  }
  expect(await dataOf('{"a":{"b":1,"c":2},"d":3}', { patch: { data: { a: { b: null }, e: [1] } } })).toBe(
    '{"a":{"c":2},"d":3,"e":[1]}',
  )
  expect(await dataOf("[1]", { patch: { data: [2] } })).toBe("[2]")
  expect(await dataOf("[1]", { patch: { data: null } })).toBeUndefined()
  expect(await dataOf(undefined, { patch: { data: { a: 1 } } })).toBe('{"a":1}')
  const whole = '{"event":{"specversion":"1.0","id":"x","source":"/s","type":"t","data":{"n": 12345678901234567890}}}'
  expect(await dataOf("[1]", whole)).toBe('{"n": 12345678901234567890}')
})

test("what is no event is refused by its field, and nothing is stored or put back", async () => {
  const delivery = await letter('{"n":12345678901234567890}')
  const before = await api.engine.log.last({ tenant: "default", topic: "orders" })
  const whole = { specversion: "1.0", id: "x", source: "/s", type: "t" }
  const fields = async (body: unknown) => {
    const { status, body: problem } = await redrive(delivery.id, body)
    return [status, ...(problem.errors ?? []).map(({ field }: { field: string }) => field)]
  }
  expect(await fields({ patch: { type: "" } })).toEqual([400, "patch.type"])
  expect(await fields({ patch: { source: null } })).toEqual([400, "patch.source"])
  expect(await fields({ patch: { Bad: "x" } })).toEqual([400, "patch.Bad"])
  expect(await fields('{"patch":{"__proto__":"x"}}')).toEqual([400, "patch.__proto__"])
  expect(await fields({ patch: 5 })).toEqual([400, "patch"])
  expect(await fields({ patch: { data: { a: 1 } } })).toEqual([400, "patch.data.n"])
  expect(await fields({ event: 5 })).toEqual([400, "event"])
  expect(await fields({ event: { ...whole, type: undefined } })).toEqual([400, "event.type"])
  expect(await fields({ event: whole, patch: {} })).toEqual([400, "event", "patch"])
  expect(await fields({ events: whole })).toEqual([400, "events"])
  expect(await fields({ patch: { subject: "x".repeat(6_000) } })).toEqual([413])
  expect((await redrive(delivery.id, { patch: {} }, { authorization: "Bearer other" })).status).toBe(404)
  expect(await api.engine.log.last({ tenant: "default", topic: "orders" })).toBe(before)
  expect((await api.call("GET", `/v1/dead-letters/${delivery.id}`)).status).toBe(200)
})

test("a crash at any line leaves the letter or the new delivery, and the same asked again makes no second event", async () => {
  const { queue, log } = api.engine
  const delivery = await letter('{"a":1}')
  const [redriving, appending] = [queue.redrive.bind(queue), log.append.bind(log)]
  const body = { patch: { data: { a: 2 } } }
  const eventsOf = async () => {
    const { body: events } = await api.call("GET", "/v1/topics/orders/events?limit=1000")
    return events.filter((event: Record<string, unknown>) => event[editAttribute] === delivery.id)
  }
  try {
    log.append = async (...args) => {
      await appending(...args)
      throw new StorageError("cut off")
    }
    expect((await redrive(delivery.id, body)).status).toBeGreaterThanOrEqual(500)
    log.append = appending
    queue.redrive = () => Promise.reject(new StorageError("cut off"))
    expect((await redrive(delivery.id, body)).status).toBeGreaterThanOrEqual(500)
    expect(await api.engine.queue.deadLetter("default", delivery.id)).toBeDefined()
    const { items } = (await api.call("GET", `/v1/events/${delivery.cursor}/deliveries`)).body
    expect(items).toMatchObject([{ state: "dead" }])
  } finally {
    Object.assign(queue, { redrive: redriving })
    Object.assign(log, { append: appending })
  }
  const answers = await Promise.all([redrive(delivery.id, body), redrive(delivery.id, body)])
  expect(answers.filter(({ status, body }) => status === 200 && body.redriven === 1)).toHaveLength(1)
  const events = await eventsOf()
  expect(events).toHaveLength(1)
  const { items } = (await api.call("GET", `/v1/events/${events[0].redcarcursor}/deliveries`)).body
  expect(items).toMatchObject([{ trigger: "ship", state: "due" }])
  const told = (await api.call("GET", "/v1/topics/redcar.dead-letters/events")).body
  const edited = told.filter(({ subject }: { subject: string }) => subject === delivery.id)
  expect(edited).toMatchObject([
    {
      type: "redcar.dead-letter.edited",
      data: { by: "admin", deadReason: "exhausted", edit: { cursor: events[0].redcarcursor } },
    },
  ])
})

test("where the topic is gone, or the event is, it says so", async () => {
  const { id } = await letter(undefined, "none", "redcar.attempts")
  const refused = await redrive(id, { patch: { type: "x" } })
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining("written by the hub alone")])
  await api.call("POST", "/v1/topics", { id: "gone" })
  const other = await letter("[1]", "json", "gone")
  await api.engine.log.trim({ tenant: "default", topic: "gone" }, { eventsMax: 0 })
  const patched = await redrive(other.id, { patch: { type: "x" } })
  expect([patched.status, patched.body.detail]).toEqual([409, expect.stringContaining("give all of one, as event")])
  await api.call("DELETE", "/v1/topics/gone")
  const event = { specversion: "1.0", id: "x", source: "/s", type: "t" }
  const whole = await redrive(other.id, { event })
  expect([whole.status, whole.body.detail]).toEqual([409, expect.stringContaining("topic gone no longer exists")])
})

test("the command line edits one", async () => {
  const { id } = await letter('{"a":1}')
  const flags = ["--url", api.url, "--key", "admin"]
  const redriving = ["dead-letter", "redrive", id]
  expect((await runCli([...redriving, "--patch", "{", ...flags])).err).toContain("--patch is not JSON")
  expect((await runCli([...redriving, "--patch", "{}", "--file", "x", ...flags])).err).toContain("at once")
  expect((await runCli(["dead-letter", "redrive", "--all", "--patch", "{}", ...flags])).err).toContain("only one")
  const { out } = await runCli([...redriving, "--patch", '{"data":{"a":2}}', ...flags])
  expect(out).toMatch(`✓ dead letter ${id} is being delivered again, as event ${id}.`)
})
