import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Fixture, openFixture } from "./fixture.ts"

const structured = { "content-type": "application/cloudevents+json" }
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
const trace = { traceparent, tracestate: "a=1", baggage: "user=alice" }

let hub: Fixture
beforeAll(async () => {
  hub = await openFixture()
})
afterAll(() => hub.close())

function event(id: string, more: object = {}) {
  return { specversion: "1.0", id, source: "/shop", type: "t", ...more }
}

async function attributesOn(topic: string) {
  return (await hub.stored(topic)).map((stored) => stored.event.attributes)
}

describe("an Idempotency-Key", () => {
  it("becomes the id of raw input, so that a repeat is a duplicate", async () => {
    const headers = { "content-type": "text/plain", "idempotency-key": "order 4711" }
    const first = await hub.post("raw", headers, "once")
    expect(first).toMatchObject({ status: 202, body: { id: "order 4711" } })
    const again = await hub.post("raw", headers, "twice")
    expect(again).toMatchObject({ status: 202, body: { ...first.body, duplicate: true } })
    expect(await hub.stored("raw")).toHaveLength(1)
  })

  it("may be a quoted string", async () => {
    const quoted = await hub.post("quoted", { "idempotency-key": '"a \\"b\\" c"' }, "x")
    expect(quoted.body.id).toBe('a "b" c')
    const again = await hub.post("quoted", { "idempotency-key": 'a "b" c' }, "x")
    expect(again.body.duplicate).toBe(true)
  })

  it.each(["", '""', "x".repeat(256), "gr\u00f6\u00dfe", '" a"'])("is refused where it is none: %j", async (key) => {
    const { status, body } = await hub.post("refused", { "idempotency-key": key }, "x")
    expect([status, body.errors?.[0]?.field]).toEqual([400, "idempotency-key"])
    expect(await hub.stored("refused")).toEqual([])
  })

  it.each([
    ["structured", structured, JSON.stringify(event("1"))],
    ["a batch", { "content-type": "application/cloudevents-batch+json" }, JSON.stringify([event("1")])],
    ["lines", { "content-type": "application/x-ndjson" }, JSON.stringify(event("1"))],
    ["binary", { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "t" }, "x"],
  ])("is refused beside an event with an id (%s)", async (_, headers, body) => {
    const answer = await hub.post("refused", { ...headers, "idempotency-key": "k" }, body)
    expect([answer.status, answer.body.errors[0].field]).toEqual([400, "idempotency-key"])
    expect(await hub.stored("refused")).toEqual([])
  })
})

describe("attributes that are none", () => {
  it.each([99, 100, 101, 300])("are refused, %i of them, and hide no other", async (count) => {
    const members = Array.from({ length: count }, (_, n) => [`Wrong${n}`, "x"])
    const sent = { ...event("1"), specversion: "0.3", ...Object.fromEntries(members) }
    const { status, body } = await hub.post("wrong", structured, JSON.stringify(sent))
    expect(status).toBe(400)
    const fields = body.errors.map(({ field }: { field: string }) => field)
    if (count < 256) expect(fields).toEqual(expect.arrayContaining(["specversion", "Wrong0", `Wrong${count - 1}`]))
    const headers = Object.fromEntries(members.map(([name, value]) => [`ce-x_${name}`, value!]))
    const binary = { ...headers, "ce-specversion": "0.3", "ce-id": "1", "ce-source": "/a", "ce-type": "t" }
    expect((await hub.post("wrong", binary, "x")).status).toBe(400)
    expect(await hub.stored("wrong")).toEqual([])
  })

  it("are refused when they are called __proto__", async () => {
    const { status, body } = await hub.post(
      "wrong",
      structured,
      `${JSON.stringify(event("1")).slice(0, -1)},"__proto__":1}`,
    )
    expect([status, body.errors[0].field]).toEqual([400, "__proto__"])
  })
})

describe("the trace of a request", () => {
  it.each([
    ["structured", structured, JSON.stringify(event("1"))],
    ["batch", { "content-type": "application/cloudevents-batch+json" }, JSON.stringify([event("1"), event("2")])],
    [
      "lines",
      { "content-type": "application/x-ndjson" },
      [event("1"), event("2")].map((each) => JSON.stringify(each)).join("\n"),
    ],
    ["binary", { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "t" }, "x"],
    ["wrapped", {}, "x"],
  ])("goes with each event (%s)", async (mode, headers, body) => {
    expect((await hub.post(mode, { ...headers, ...trace }, body)).status).toBe(202)
    const all = await attributesOn(mode)
    expect(all.length).toBeGreaterThan(0)
    for (const attributes of all) expect(attributes).toMatchObject(trace)
  })

  it("leaves an event's own alone", async () => {
    const own = event("1", { traceparent: "mine" })
    await hub.post("own", { ...structured, ...trace }, JSON.stringify(own))
    expect(await attributesOn("own")).toEqual([{ ...own, baggage: trace.baggage }])
  })

  it("is no reason to refuse an event when it is none", async () => {
    const headers = { ...structured, traceparent: "nonsense", tracestate: "a=1" }
    expect((await hub.post("nonsense", headers, JSON.stringify(event("1")))).status).toBe(202)
    expect(await attributesOn("nonsense")).toEqual([event("1")])
  })

  it("may come in several lines", async () => {
    const { socket, read } = await hub.socket()
    const lines = ["baggage: a=1", `TraceParent: ${traceparent}`, "tracestate: b=2", "baggage: c=3", "tracestate: d=4"]
    const head = [
      "POST /v1/topics/several/events HTTP/1.1",
      "host: x",
      "authorization: Bearer good",
      "content-length: 1",
    ]
    socket.write([...head, ...lines, "", "x"].join("\r\n"))
    await read("202 Accepted")
    expect(await attributesOn("several")).toMatchObject([{ traceparent, tracestate: "b=2,d=4", baggage: "a=1,c=3" }])
  })
})
