import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Lease } from "../../core/deliveries.ts"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { Trigger } from "../../core/resources.ts"
import { Records } from "../../deliver/records.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { createEvent, createTrigger, ordersAddress } from "../../testing/samples.ts"
import { createSimulatedMachine } from "../../testing/simulated-machine.ts"
import { callers, openTestApi, type TestApi } from "../api.fixture.ts"
import { createApi } from "../api.ts"

let api: TestApi
let cursors: readonly Cursor[]
let records: Records

beforeAll(async () => {
  api = await openTestApi()
  const logger = { info: () => {}, warn: () => {}, error: () => {} }
  records = new Records({ log: api.engine.log, clock: systemClock, logger })
  for (const id of ["shop", "bank"])
    await api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
  const filters = [{ not: { exact: { id: "4" } } }]
  await api.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop", filters })
  cursors = await api.append("orders:7", ["1", "2", "3", "4"])
})
afterAll(() => api.close())

async function leaseOf(cursor: Cursor): Promise<{ readonly stored: StoredEvent; readonly lease: Lease }> {
  const { queue, catalog, log } = api.engine
  const incarnation = (await catalog.get<Trigger>("trigger/default/paid"))!.value.incarnation!
  const stored = (await log.get(cursor))!
  const names = { tenant: "default", trigger: "paid", incarnation, destination: "shop", cursor }
  const delivery: Delivery = {
    ...names,
    id: deliveryId(cursor, "paid", incarnation),
    fingerprint: fingerprintOf(stored),
  }
  await queue.enqueue([delivery])
  const [lease] = await queue.lease({ lane: "default/shop", max: 1, leaseMs: 60_000 })
  return { stored, lease: lease! }
}

async function deliver(cursor: Cursor): Promise<Delivery> {
  const { stored, lease } = await leaseOf(cursor)
  const outcome = { kind: "delivered", detail: "204 No Content" } as const
  const attempt = { number: lease.attempt, startedAt: Date.now(), durationMs: 1, outcome }
  await records.attempt(stored, lease.delivery, attempt, { kind: "done" })
  await api.engine.queue.end(lease, { kind: "done" })
  return lease.delivery
}

const resend = (cursor: string, trigger = "paid", headers?: Record<string, string>) =>
  api.call("POST", `/v1/events/${cursor}/deliveries/${trigger}/resend`, undefined, headers)

test("what was done is due once more, as the same delivery, with its attempts counted on", async () => {
  const delivery = await deliver(cursors[0]!)
  const answer = await resend(cursors[0]!)
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({ id: delivery.id, trigger: "paid", destination: "shop", state: "due" })
  expect(answer.body.attempts).toHaveLength(1)
  const [lease] = await api.engine.queue.lease({ lane: "default/shop", max: 10, leaseMs: 60_000 })
  expect(lease).toMatchObject({ delivery, attempt: 2, attemptsForgiven: 1 })

  const again = await resend(cursors[0]!)
  expect([again.status, again.body.detail]).toEqual([409, expect.stringMatching(/open already: it is leased, due at /)])
  await api.engine.queue.end(lease!, { kind: "done" })
})

test("the command line says that it is on the way, or held until its trigger is resumed", async () => {
  const say = async () => {
    const words = ["event", "resend", cursors[0]!, "--trigger", "paid", "--url", api.url, "--key", "admin"]
    return (await runCli(words, { env: { NO_COLOR: "1" } })).out
  }
  expect(await say()).toBe(`✓ the event at ${cursors[0]} is on the way to shop again\n`)
  const [lease] = await api.engine.queue.lease({ lane: "default/shop", max: 10, leaseMs: 60_000 })
  await api.engine.queue.end(lease!, { kind: "done" })
  await api.call("POST", "/v1/triggers/paid/pause", {})
  expect(await say()).toBe(
    `✓ the event at ${cursors[0]} is held for shop until its trigger goes on: redcar trigger resume paid\n`,
  )
  await api.call("POST", "/v1/triggers/paid/resume", {})
  const [held] = await api.engine.queue.lease({ lane: "default/shop", max: 10, leaseMs: 60_000 })
  if (held !== undefined) await api.engine.queue.end(held, { kind: "done" })
})

test("it goes to where its trigger delivers now, and is open once wherever it is", async () => {
  await deliver(cursors[1]!)
  await api.call("PATCH", "/v1/triggers/paid", { destination: "bank" })
  expect((await resend(cursors[1]!)).body).toMatchObject({ destination: "bank", state: "due" })
  expect(await api.engine.queue.depth("default/bank")).toBe(1)
  expect((await resend(cursors[1]!)).status).toBe(409)
  await api.call("PATCH", "/v1/triggers/paid", { destination: "shop" })
})

test("a dead letter is redriven instead, and resent once it was discarded", async () => {
  const { lease, stored } = await leaseOf(cursors[2]!)
  const { delivery } = lease
  const lastOutcome = { kind: "failed", detail: "400 Bad Request", permanent: true } as const
  const letter = { ...delivery, address: stored.address, attempts: 1, diedAt: Date.now(), lastOutcome }
  await api.engine.queue.end(lease, { kind: "dead", letter: { ...letter, reason: "permanent" } })
  const refused = await resend(cursors[2]!)
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    `the delivery is a dead letter; redrive that instead: ${delivery.id}`,
  ])
  await api.call("POST", `/v1/dead-letters/${delivery.id}/discard`, { reason: "by mistake" })
  const { out } = await runCli([
    "event",
    "resend",
    cursors[2]!,
    "--trigger",
    "paid",
    "--url",
    api.url,
    "--key",
    "admin",
  ])
  expect(out).toBe(`✓ the event at ${cursors[2]} is on the way to shop again\n`)
  expect((await api.call("GET", `/v1/events/${cursors[2]}/deliveries`)).body.items).toMatchObject([{ state: "due" }])
})

test("what was never delivered is not resent", async () => {
  const rejected = await resend(cursors[3]!)
  expect([rejected.status, rejected.body.detail]).toEqual([
    409,
    expect.stringMatching(/was not delivered for trigger paid/),
  ])
  expect((await resend(cursors[0]!, "none")).status).toBe(404)
  expect((await resend("zzzzzzzzzzz")).status).toBe(404)
  expect((await resend(cursors[0]!, "paid", { authorization: "Bearer other" })).status).toBe(404)
})

test("what was made and ended a moment ago is open until that is written, and is not resent before", async () => {
  const machine = createSimulatedMachine("resend", 1_000)
  const { engine, power } = await machine.boot()
  const server = await createApi({
    ...{ engine, clock: power.clock, chance: machine.chance, kinds: new Map(), version: "" },
    authorize: () => callers["Bearer admin"],
    stop: new AbortController().signal,
    topics: { autoCreate: true, dedupeWindowMs: 0 },
  })
  await server.ready()
  await machine.run(engine.catalog.put("trigger/default/paid", createTrigger("paid", engine.log.oldest())))
  const [appended] = await machine.run(engine.log.append(ordersAddress, [createEvent("1")]))
  const { cursor } = appended!
  const stored = (await machine.run(engine.log.get(cursor)))!
  const names = { tenant: "default", trigger: "paid", incarnation: "", destination: "there", cursor }
  const delivery = { ...names, id: deliveryId(cursor, "paid", ""), fingerprint: fingerprintOf(stored) }
  const written = engine.queue.enqueue([delivery])
  const [lease] = await engine.queue.lease({ lane: "default/there", max: 1, leaseMs: 60_000 })
  const settled = engine.queue.end(lease!, { kind: "done" })
  const path = `/v1/events/${cursor}/deliveries/paid/resend`
  const { status, detail } = (await machine.run(server.inject({ method: "POST", url: path }))).json()
  expect([status, detail]).toEqual([409, expect.stringMatching(/open already: it is leased/)])
  await machine.run(Promise.all([written, settled]))
  expect(await engine.queue.open(delivery)).toBeUndefined()
  await machine.run(engine.close())
  await server.close()
})
