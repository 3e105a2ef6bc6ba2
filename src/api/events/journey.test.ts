import { afterAll, beforeAll, expect, test } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import { Event } from "../../core/event.ts"
import { destinationKinds } from "../../destinations/index.ts"
import { type Hub, startHub } from "../../hub.ts"
import { systemClock as clock, createSystemChance } from "../../telemetry/clock.ts"
import { createMemoryLog } from "../../testing/memory-log.ts"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let hub: Hub

// A whole hub: what it routes and delivers is real.
beforeAll(async () => {
  api = await openTestApi()
  hub = await startHub({
    ...{ engine: api.engine, clock, chance: createSystemChance(clock), log: createMemoryLog(), version: "0.0.0-test" },
    kinds: destinationKinds({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } }),
    topics: { autoCreate: true, dedupeWindowMs: 60_000 },
  })
  await api.call("POST", "/v1/destinations", { id: "copy", kind: "topic", config: { topic: "copies" } })
  await api.call("POST", "/v1/destinations", { id: "further", kind: "topic", config: { topic: "further" } })
  await api.call("POST", "/v1/destinations", { id: "nowhere", kind: "webhook", config: { url: "http://127.0.0.1:1/" } })
})
afterAll(async () => {
  await hub.stop()
  await api.close()
})

let ids = 0

async function publish(topic: string, type: string, more: Record<string, string> = {}): Promise<Cursor> {
  const [id, key] = topic.split(":") as [string, string?]
  await api.call("POST", "/v1/topics", { id })
  const event = Event.of({ specversion: "1.0", id: `e${ids++}`, source: "/test", type, ...more })
  const address = { tenant: "default", topic: id, ...(key !== undefined && { key }) }
  const [appended] = await api.engine.log.append(address, [event])
  return appended!.cursor
}

async function make(id: string, body: object): Promise<void> {
  const answer = await api.call("POST", "/v1/triggers", { id, topic: "orders", destination: "copy", ...body })
  expect(answer.status).toBe(201)
}

const journey = (cursor: string, query = "") => api.call("GET", `/v1/events/${cursor}/journey${query}`)
const trigger = (answer: Answer, id: string) =>
  answer.body.triggers.find((each: { trigger: string }) => each.trigger === id)

/** The journey once the router has come past the event, and its deliveries have ended. */
async function settled(cursor: string): Promise<Answer> {
  await expect
    .poll(
      async () => {
        const { body } = await journey(cursor)
        return body.triggers.some(
          (each: { verdict: string; delivery?: { state: string } }) =>
            each.verdict === "waits" || (each.delivery !== undefined && /due|leased/.test(each.delivery.state)),
        )
      },
      { timeout: 8_000 },
    )
    .toBe(false)
  return journey(cursor)
}

test("received, each trigger's verdict, its delivery with the attempts, and what it caused, both ways", async () => {
  await make("forward", { filters: [{ exact: { type: "order.paid" } }] })
  await make("again", { topic: "copies", destination: "further" })
  await make("keyed", { topic: "orders:9" })
  await make("other", { topic: "invoices" })
  const cursor = await publish("orders:7", "order.paid", { subject: "s" })
  const root = (await api.call("GET", `/v1/events/${cursor}`)).body
  await expect.poll(async () => (await journey(cursor)).body.caused[0]?.caused?.length, { timeout: 8_000 }).toBe(1)
  const { body } = await settled(cursor)
  expect(body.event).toEqual({
    cursor,
    id: root.id,
    source: "/test",
    type: "order.paid",
    subject: "s",
    topic: "orders:7",
    storedAt: root.redcartime,
  })
  expect(body.triggers.map((each: { trigger: string }) => each.trigger)).toEqual(["forward", "keyed"])
  expect(body.triggers[0]).toMatchObject({
    verdict: "fires",
    clause: 'type is "order.paid"',
    asOf: expect.any(String),
    delivery: { state: "done", attempts: [{ number: 1, outcome: { detail: "published to copies" } }] },
  })
  expect(body.triggers[1]).toMatchObject({
    verdict: "rejects",
    sentence: "The event's key is 7, the trigger is on key 9 alone.",
  })
  const [copy] = body.caused
  expect(copy).toMatchObject({ topic: "copies", causationid: root.id, correlationid: root.id, trigger: "forward" })
  expect(copy.caused).toMatchObject([{ topic: "further", causationid: copy.id, trigger: "again" }])
  expect([body.causes, body.correlated, body.searched.complete]).toEqual([[], [], true])
  const last = (await journey(copy.caused[0].cursor)).body
  expect(last.causes.map((each: { id: string }) => each.id)).toEqual([copy.id, root.id])
  expect(last.caused).toEqual([])
})

test("a trigger's verdict is the one it gave, whatever it is now", async () => {
  await make("changing", { topic: "changes", filters: [{ exact: { type: "a" } }] })
  const first = await publish("changes", "a")
  expect(trigger(await settled(first), "changing")).toMatchObject({ verdict: "fires", delivery: { state: "done" } })
  await api.call("PATCH", "/v1/triggers/changing", { filters: [{ exact: { type: "b" } }], destination: "further" })
  // Once an event has fired it, the change is in force.
  await expect
    .poll(async () => trigger(await settled(await publish("changes", "b")), "changing").verdict, { timeout: 8_000 })
    .toBe("fires")
  const after = await publish("changes", "a")
  expect(trigger(await settled(after), "changing")).toMatchObject({
    verdict: "rejects",
    sentence: 'The event does not pass: type is "b" is false, for it is "a".',
    destination: "further",
  })
  expect(trigger(await journey(first), "changing")).toMatchObject({
    verdict: "fires",
    sentence: 'The event passes: type is "a" is true, for it is "a".',
    destination: "copy",
    delivery: { state: "done", destination: "copy" },
  })
})

test("a trigger that rests has yet to come to the event; one that starts later never will", async () => {
  await make("rests", { topic: "rest", paused: true })
  const cursor = await publish("rest", "a")
  const known = () => expect.poll(async () => trigger(await journey(cursor), "rests")?.verdict, { timeout: 8_000 })
  await known().toBe("waits")
  expect(trigger(await journey(cursor), "rests").sentence).toMatch(/paused since .* \(paused by request\)/)
  await make("late", { topic: "rest" })
  await expect.poll(async () => trigger(await journey(cursor), "late"), { timeout: 8_000 }).toBeDefined()
  expect(trigger(await journey(cursor), "late")).toMatchObject({
    verdict: "rejects",
    sentence: "The event was stored before the trigger's start.",
  })
  await api.call("POST", "/v1/triggers/rests/resume", {})
  await known().toBe("fires")
})

test("a deleted trigger is told of, with what it tried", async () => {
  await make("goes", { topic: "leaving", destination: "nowhere", retry: "none" })
  const cursor = await publish("leaving", "a")
  await expect.poll(async () => trigger(await journey(cursor), "goes")?.delivery?.state).toBe("dead")
  const letter = (await journey(cursor)).body.caused
  expect(letter).toMatchObject([{ type: "redcar.dead-letter", topic: `redcar.dead-letters:${cursor}` }])
  await api.call("DELETE", "/v1/triggers/goes")
  await expect.poll(async () => trigger(await journey(cursor), "goes")?.removed, { timeout: 8_000 }).toBe(true)
  expect(trigger(await journey(cursor), "goes")).toMatchObject({
    verdict: "fires",
    delivery: { attempts: [{ number: 1, outcome: { kind: "failed" } }] },
  })
  const later = await publish("leaving", "a")
  expect((await journey(later)).body.triggers).toEqual([])
})

test("a trigger made anew under its old id is told of beside the one before it", async () => {
  const first = { topic: "anew", destination: "nowhere", retry: "none" }
  await make("anew", first)
  const cursor = await publish("anew", "a")
  await expect.poll(async () => trigger(await journey(cursor), "anew")?.delivery?.state).toBe("dead")
  await api.call("DELETE", "/v1/triggers/anew")
  await make("anew", { topic: "anew", start: "now" })
  const removed = async () => trigger(await journey(cursor), "anew")?.removed
  await expect.poll(removed, { timeout: 8_000 }).toBe(true)
  expect(trigger(await journey(cursor), "anew")).toMatchObject({ destination: "nowhere", delivery: { state: "dead" } })
  await api.call("DELETE", "/v1/triggers/anew")
  await make("anew", { topic: "anew", start: "oldest" })
  await expect
    .poll(async () => trigger(await journey(cursor), "anew")?.delivery?.state, { timeout: 8_000 })
    .toBe("done")
  const its = (await journey(cursor)).body.triggers.filter((each: { trigger: string }) => each.trigger === "anew")
  expect(its).toMatchObject([
    { verdict: "fires", destination: "copy", delivery: { state: "done" } },
    { verdict: "fires", removed: true, destination: "nowhere", delivery: { state: "dead" } },
  ])
  expect(its[0].removed).toBeUndefined()
  expect(its[1].sentence).toContain("an earlier trigger of this id")
  const { items } = (await api.call("GET", `/v1/events/${cursor}/deliveries`)).body
  expect(items.map(({ state }: { state: string }) => state)).toEqual(["dead", "done"])
  expect(new Set(items.map(({ id }: { id: string }) => id)).size).toBe(2)
})

test("what applications cause is found by causationid, the rest of the flow by correlationid", async () => {
  const root = await publish("flows", "begin", { id: "f1", correlationid: "c-1" })
  const child = await publish("elsewhere", "next", { id: "f2", source: "/b", causationid: "f1", correlationid: "c-1" })
  const grandchild = await publish("flows", "end", { id: "f3", source: "/c", causationid: "f2", correlationid: "c-1" })
  const loose = await publish("elsewhere", "note", { id: "f4", correlationid: "c-1" })
  await publish("elsewhere", "stranger", { id: "f5", causationid: "f1", correlationid: "c-2" })
  const { body } = await journey(root)
  expect(body.caused).toMatchObject([{ cursor: child, caused: [{ cursor: grandchild }] }])
  expect(body.caused[0].caused).toHaveLength(1)
  expect(body.correlated.map((each: { cursor: string }) => each.cursor)).toEqual([loose])
  const up = (await journey(grandchild)).body
  expect(up.causes.map((each: { cursor: string }) => each.cursor)).toEqual([child, root])
  const orphan = await publish("flows", "x", { id: "f6", causationid: "gone" })
  expect((await journey(orphan)).body).toMatchObject({ causes: [], causeMissing: "gone" })
  const one = (await journey(root, "?eventsMax=1")).body
  expect([body.causedComplete, one.causedComplete]).toEqual([true, false])
  expect(one.caused).toEqual([expect.not.objectContaining({ caused: expect.anything() })])
})

test("a circle of causes comes to an end", async () => {
  const one = await publish("circle", "x", { id: "r1", causationid: "r2" })
  await publish("circle", "x", { id: "r2", causationid: "r1" })
  const { body } = await journey(one)
  expect(body.causes).toHaveLength(1)
  const self = await publish("circle", "x", { id: "r3", causationid: "r3" })
  expect((await journey(self)).body).toMatchObject({ causes: [], caused: [] })
})

test("what is another tenant's, or nowhere, is not there; a wrong parameter is named", async () => {
  const cursor = await publish("orders", "x")
  const other = await api.call("GET", `/v1/events/${cursor}/journey`, undefined, { authorization: "Bearer other" })
  expect(other.status).toBe(404)
  expect((await journey("nonsense")).status).toBe(404)
  const wrong = await journey(cursor, "?eventsMax=x")
  expect([wrong.status, wrong.body.errors[0].field]).toEqual([400, "eventsMax"])
})
