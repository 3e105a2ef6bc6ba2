import { describe, expect, test } from "vitest"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

const { directory, nats, start } = testHubs("delayed")

const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()
const hourMs = 3_600_000

function eventOf(id: string, more: object = {}) {
  return { specversion: "1.0", id, source: "/shop", type: "order.due", ...more }
}

/** As it is given, where it is text. */
async function send(hub: RestartableHub, topic: string, event: object | string, more: Record<string, string> = {}) {
  const headers = { authorization: hub.authorization, "content-type": "application/cloudevents+json", ...more }
  const body = typeof event === "string" ? event : JSON.stringify(event)
  const answer = await fetch(`${hub.address}/v1/topics/${topic}/events`, { method: "POST", headers, body })
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  return { status: answer.status, body: (await answer.json()) as any }
}

async function idsOn(hub: RestartableHub, topic: string): Promise<readonly string[]> {
  const { body } = await hub.call("GET", `/v1/topics/${topic}/events?limit=1000`)
  return Array.isArray(body) ? body.map(({ id }: { id: string }) => id) : []
}

async function waiting(hub: RestartableHub, query = ""): Promise<readonly string[]> {
  const { body } = await hub.call("GET", `/v1/delayed${query}`)
  return body.items.map(({ event }: { event: { id: string } }) => event.id)
}

/** What is delayed is seen by nobody, is published once when due, and never where it was cancelled; also across a restart. */
async function delays(data: string, flags: Readonly<Record<string, string>> = {}): Promise<void> {
  const first = await start(data, flags)
  const soon = eventOf("soon", { deliverat: inMs(2_500) })
  const later = await send(first, "orders:7", eventOf("later", { deliverat: inMs(hourMs) }))
  expect(later).toMatchObject({ status: 202, body: { id: "later", delayed: { until: expect.any(String) } } })
  expect(later.body.cursor).toBeUndefined()
  const sent = await send(first, "orders:7", soon)
  const again = await send(first, "orders:7", soon)
  expect(again.body).toEqual({ ...sent.body, duplicate: true })
  await send(first, "orders", eventOf("past", { deliverat: inMs(-1_000) }))
  await send(first, "other", eventOf("else", { deliverat: inMs(hourMs) }))
  expect(await idsOn(first, "orders")).toEqual(["past"])
  await until(async () => (await waiting(first)).length === 3)
  expect(await waiting(first, "?topic=other")).toEqual(["else"])
  expect((await first.call("GET", `/v1/events/${later.body.delayed.id}`)).status).toBe(404)
  expect((await first.call("GET", "/v1/events?id=later")).body.items ?? []).toEqual([])
  expect((await first.call("GET", "/v1/deliveries")).body.items).toEqual([])
  await first.stop()
  const second = await start(data, flags)
  expect((await second.call("DELETE", `/v1/delayed/${later.body.delayed.id}`)).status).toBe(204)
  expect((await second.call("DELETE", `/v1/delayed/${later.body.delayed.id}`)).status).toBe(404)
  await until(async () => (await idsOn(second, "orders")).length === 2)
  expect(await idsOn(second, "orders")).toEqual(["past", "soon"])
  expect(await idsOn(second, "orders:7")).toEqual(["soon"])
  await until(async () => (await waiting(second)).length === 1)
  expect(await send(second, "orders:7", soon)).toMatchObject({ status: 202, body: { duplicate: true } })
  expect((await second.call("DELETE", `/v1/delayed/${sent.body.delayed.id}`)).status).toBe(404)
  const anew = await send(second, "orders:7", eventOf("later", { deliverat: inMs(hourMs) }))
  expect(anew.body.duplicate).toBeUndefined()
  expect(await idsOn(second, "orders")).toEqual(["past", "soon"])
}

describe("delayed events", () => {
  test("on the embedded engine", () => delays(directory()))

  test.skipIf(natsAvailable() === undefined)("on JetStream", async () => {
    const url = await nats()
    await delays(directory(), { engine: url })
  })

  test("what cannot be is refused by its name", async () => {
    const hub = await start(directory())
    const field = async (more: object) => {
      const { status, body } = await send(hub, "orders", eventOf("x", more))
      return [status, body.errors?.[0].field]
    }
    expect(await field({ deliverat: "tomorrow" })).toEqual([400, "deliverat"])
    expect(await field({ deliverat: 7 })).toEqual([400, "deliverat"])
    expect(await field({ deliverat: inMs(367 * 24 * hourMs) })).toEqual([400, "deliverat"])
    expect(await field({ deliverat: inMs(hourMs), expirytime: inMs(1_000) })).toEqual([400, "deliverat"])
    const conditional = await send(hub, "orders", eventOf("x", { deliverat: inMs(hourMs) }), {
      "redcar-expected-last": "none",
    })
    expect([conditional.status, conditional.body.errors[0].field]).toEqual([400, "deliverat"])
    expect(await idsOn(hub, "orders")).toEqual([])
    expect(await waiting(hub)).toEqual([])
  })

  test("are mixed with others in a batch, and hidden however their attribute is written", async () => {
    const hub = await start(directory())
    const batch = [
      eventOf("1"),
      eventOf("2", { deliverat: inMs(hourMs) }),
      eventOf("3", { deliverat: "no" }),
      eventOf("4"),
    ]
    const type = { "content-type": "application/cloudevents-batch+json" }
    const { status, body } = await send(hub, "orders", batch, type)
    expect([status, body.accepted, body.rejected]).toEqual([207, 3, 1])
    expect(body.results[1]).toMatchObject({ id: "2", delayed: {} })
    expect(body.results[2]).toMatchObject({ index: 2, error: { errors: [{ field: "deliverat" }] } })
    const escaped = JSON.stringify(eventOf("5", { deliverat: inMs(hourMs) })).replace("deliverat", "deliver\\u0061t")
    const answer = await send(hub, "orders", escaped)
    expect(answer.body.delayed).toBeDefined()
    expect(await idsOn(hub, "orders")).toEqual(["1", "4"])
  })

  test("what the hub alone writes of them is dropped from what is published", async () => {
    const hub = await start(directory())
    const sent = await send(hub, "orders", eventOf("1", { redcardelayed: "claimed", deliverat: inMs(1_000) }))
    expect(sent.body.delayed).toBeDefined()
    await send(hub, "orders", eventOf("2", { redcardelayed: "cancelled" }))
    await until(async () => (await idsOn(hub, "orders")).length === 2)
    const { body } = await hub.call("GET", "/v1/topics/orders/events?limit=1000")
    expect(body.filter((event: object) => "redcardelayed" in event)).toEqual([])
  })

  test("are due as RFC 3339 says, whatever the time looks like", async () => {
    const hub = await start(directory())
    const until = async (deliverat: string) => {
      const { status, body } = await send(hub, "orders", eventOf(`at ${deliverat}`, { deliverat }))
      return status === 202 ? body.delayed?.until : [status, body.errors[0].field]
    }
    const day = inMs(48 * hourMs).slice(0, 10)
    expect(await until(`${day}t10:00:00z`)).toBe(`${day}T10:00:00.000Z`)
    expect(await until(`${day}T10:00:00.123456789+02:30`)).toBe(`${day}T07:30:00.123Z`)
    expect(await until(`${day}T10:00:00-00:00`)).toBe(`${day}T10:00:00.000Z`)
    expect(await until(`${day}T16:59:60-07:00`)).toBe(`${inMs(72 * hourMs).slice(0, 10)}T00:00:00.000Z`)
    for (const wrong of ["9999-12-31T23:59:59Z", `${day}T10:00:60Z`, `${day}T24:00:00Z`, `+00${day}T10:00:00Z`, ""])
      expect(await until(wrong), wrong).toEqual([400, "deliverat"])
    expect(await until("0000-01-01T00:00:00Z")).toBeUndefined()
    expect(await idsOn(hub, "orders")).toEqual(["at 0000-01-01T00:00:00Z"])
  })

  test("go with their topic, also where it is made again", async () => {
    const hub = await start(directory())
    await hub.call("POST", "/v1/topics", { id: "orders" })
    await send(hub, "orders", eventOf("old", { deliverat: inMs(1_500) }))
    expect((await hub.call("DELETE", "/v1/topics/orders")).status).toBe(204)
    await hub.call("POST", "/v1/topics", { id: "orders" })
    await send(hub, "orders", eventOf("new", { deliverat: inMs(1_600) }))
    await until(async () => (await idsOn(hub, "orders")).length > 0)
    await until(async () => (await waiting(hub)).length === 0)
    expect(await idsOn(hub, "orders")).toEqual(["new"])
  })
})
