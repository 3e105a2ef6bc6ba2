import { createServer, type Socket } from "node:net"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { Budget } from "../../core/budget.ts"
import type { Outcome } from "../../core/delivery.ts"
import type { ReplyTaker, Sender } from "../../core/destination.ts"
import type { Event } from "../../core/event.ts"
import { createSimulatedClock, type SimulatedClock } from "../../testing/clock.ts"
import { createEvent } from "../../testing/samples.ts"
import { dispatch } from "../conformance.ts"
import type { Answer } from "./answer.ts"
import type { WebhookConfig } from "./config.ts"
import { webhookKind } from "./kind.ts"
import { answering, openReceiver, type Receiver } from "./receiver.fixture.ts"
import { decodeReply, ReplyReading, replyMode } from "./reply.ts"

const structured = { "content-type": "application/cloudevents+json" }
const batched = { "content-type": "application/cloudevents-batch+json; charset=utf-8" }
const binary = { "ce-specversion": "1.0", "ce-id": "r1", "ce-source": "/billing", "ce-type": "invoice.made" }
const attributes = { specversion: "1.0", id: "r1", source: "/billing", type: "invoice.made" }

function answer(headers: Readonly<Record<string, string>>, body = "", status = 200): Answer {
  return { status, reason: "", headers, body: Buffer.from(body), bodyTruncated: false }
}

describe("an answer", () => {
  test.each([
    ["nothing", answer({}, "", 204)],
    ["a text", answer({ "content-type": "text/plain" }, "ok")],
    ["JSON", answer({ "content-type": "application/json" }, '{"specversion":"1.0"}')],
    ["lines", answer({ "content-type": "application/x-ndjson" }, "{}")],
    ["a failure that holds an event", answer(structured, JSON.stringify(attributes), 500)],
    ["a redirect", answer(binary, "", 302)],
  ])("that is %s is no reply", (_, answer) => {
    expect(replyMode(answer)).toBeUndefined()
  })

  test("in binary mode is an event, with a body or without", () => {
    const all = { ...binary, "ce-note": "caf%C3%A9", "content-type": "application/json", etag: "x" }
    const [event] = decodeReply(answer(all, '{"total":1}', 201), 1) as readonly Event[]
    expect(event!.attributes).toEqual({ ...attributes, note: "café", datacontenttype: "application/json" })
    expect([event!.dataKind, Buffer.from(event!.data!).toString()]).toEqual(["json", '{"total":1}'])
    const [empty] = decodeReply(answer(binary, "", 204), 1) as readonly Event[]
    expect([empty!.attributes, empty!.data]).toEqual([attributes, undefined])
  })

  test("in structured mode and in batches is events, without what only the hub sets", () => {
    const text = JSON.stringify({ ...attributes, data: { total: 1 }, redcarredrive: "mine" })
    const one = decodeReply(answer(structured, text), 1) as readonly Event[]
    expect(one.map((event) => event.attributes)).toEqual([attributes])
    const many = decodeReply(answer(batched, `[${text},${text.replace("r1", "r2")}]`), 2) as readonly Event[]
    expect(many.map((event) => event.id)).toEqual(["r1", "r2"])
    expect(decodeReply(answer(batched, "[]"), 2)).toEqual([])
  })

  test.each([
    ["half an event", answer({ "ce-id": "1", "ce-type": "t" }), /fields are wrong: .*source/],
    ["broken JSON", answer(structured, '{"specversion":'), /not a JSON event/],
    ["an event without a type", answer(structured, '{"specversion":"1.0","id":"1","source":"/"}'), /type/],
    ["a batch with a wrong one", answer(batched, JSON.stringify([attributes, { id: 1 }])), /^\[1\]: /],
    ["a batch that is none", answer(batched, "{}"), /array/],
    ["too large a batch", answer(batched, JSON.stringify([attributes, attributes, attributes])), /more than 2 events/],
    ["another format", answer({ "content-type": "application/cloudevents+xml" }, "<event/>"), /no event format/],
    ["compressed", answer({ ...structured, "content-encoding": "gzip" }, "…"), /encoded \(gzip\)/],
  ])("that is %s says what is wrong with it", (_, answer, why) => {
    expect(replyMode(answer)).toBeDefined()
    expect(decodeReply(answer, 2)).toMatch(why)
  })
})

let receiver: Receiver
let clock: SimulatedClock
let sender: Sender
const came: (readonly Event[])[] = []
let become: Awaited<ReturnType<ReplyTaker["take"]>>

const reply: ReplyTaker = {
  bytesMax: 100_000,
  eventsMax: 10,
  async take(events) {
    came.push(events)
    return become
  },
}

async function open(config: Partial<WebhookConfig> = {}): Promise<void> {
  const kind = webhookKind({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const context = { tenant: "default", signingKeys: [], publish: async () => {} }
  sender = await kind.open({ url: receiver.url, ...config }, context)
}

const send = (taker: ReplyTaker | undefined = reply): Promise<Outcome> =>
  sender.send({ ...dispatch(createEvent("e")), at: clock.now(), reply: taker }, new AbortController().signal)

const large = JSON.stringify({ ...attributes, data: "x".repeat(90_000) })

describe("an attempt whose answer is wanted", () => {
  beforeEach(async () => {
    receiver = await openReceiver()
    clock = createSimulatedClock(Date.now())
    came.length = 0
    become = { kind: "published", topic: "invoices", cursors: [] }
  })
  afterEach(async () => {
    await receiver.close()
    await sender.close()
  })

  test("hands over the events that it is answered with, and keeps 4 KiB of the answer", async () => {
    await open()
    receiver.answer = answering(200, structured, large)
    const outcome = await send()
    expect(came.map((events) => events.map(({ id }) => id))).toEqual([["r1"]])
    expect(outcome).toMatchObject({ kind: "delivered", detail: "200 OK", reply: become })
    expect(outcome.response).toMatchObject({ body: large.slice(0, 4_096), bodyTruncated: true })
    receiver.answer = answering(204)
    expect(await send()).not.toHaveProperty("reply")
    receiver.answer = answering(200, batched, "[]")
    expect(await send()).not.toHaveProperty("reply")
  })

  test("is no more than an answer where nobody wants it", async () => {
    await open()
    receiver.answer = answering(200, structured, large)
    const outcome = await sender.send({ ...dispatch(createEvent("e")), at: clock.now() }, new AbortController().signal)
    expect([outcome.kind, "reply" in outcome, came]).toEqual(["delivered", false, []])
  })

  test("is done where the answer is wrong, or too large, and tells it", async () => {
    await open()
    receiver.answer = answering(200, structured, "{}")
    expect(await send()).toMatchObject({ kind: "delivered", reply: { kind: "refused" } })
    for (const bytes of [100_001, 1_000_000]) {
      receiver.answer = answering(200, structured, `"${"x".repeat(bytes - 2)}"`)
      const detail = expect.stringContaining("more than 100000 bytes")
      expect(await send()).toMatchObject({ kind: "delivered", reply: { kind: "refused", detail } })
    }
    expect(came).toEqual([])
  })

  test("has failed where the events cannot be published now, though the receiver is there", async () => {
    await open()
    become = { kind: "failed", detail: "the disk is full", permanent: false }
    receiver.answer = answering(200, binary)
    expect(await send()).toMatchObject({ ...become, response: { status: 200 } })
  })

  test("has failed where an answer with events breaks off, and not where another one does", async () => {
    const sockets: Socket[] = []
    let type = structured["content-type"]
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on("error", () => {})
      socket.on("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: 1000\r\n\r\n{"spec`)
        socket.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    await open({ url: `http://127.0.0.1:${(server.address() as { port: number }).port}/` })
    const detail = expect.stringContaining("did not come whole")
    expect(await send()).toMatchObject({ kind: "failed", detail, permanent: false, response: { status: 200 } })
    type = "application/json"
    expect(await send()).toMatchObject({ kind: "delivered" })
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  test("of a destination that takes batches is a reply as well, also where answers tell of each event", async () => {
    await open({ batch: { outcomes: "each" } })
    receiver.answer = answering(200, structured, large)
    expect(await send()).toMatchObject({ kind: "delivered", reply: become })
    receiver.answer = answering(200, { "content-type": "application/json" }, '{"outcomes":[]}')
    expect(await send()).toMatchObject({ kind: "failed", detail: "the answer to its batch does not name it" })
  })
})

test("answers that hold events have room for so many bytes in all, and give it back", async () => {
  came.length = 0
  const budget = new Budget(150_000)
  const first = new ReplyReading(reply, budget)
  expect([first.take(90_000), first.take(5_000)]).toEqual([true, true])
  const second = new ReplyReading(reply, budget)
  expect(second.take(90_000)).toBe(false)
  expect(second.keep(answer(structured, large))).toBe(true)
  const delivered: Outcome = { kind: "delivered", detail: "200 OK" }
  expect(await second.conclude(delivered)).toMatchObject({ kind: "failed", permanent: false })
  second.release()
  first.release()
  expect([budget.taken, came]).toEqual([0, []])
})
