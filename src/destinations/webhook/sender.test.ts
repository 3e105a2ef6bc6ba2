import { createServer, type Socket } from "node:net"
import { Webhook } from "standardwebhooks"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { FailureCause, Outcome } from "../../core/delivery.ts"
import type { Sender } from "../../core/destination.ts"
import { Event } from "../../core/event.ts"
import type { SigningKey } from "../../core/resources.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "../../testing/clock.ts"
import { dispatch } from "../conformance.ts"
import { issueSigningKey, rotate } from "../signing.ts"
import type { WebhookConfig } from "./config.ts"
import { webhookKind } from "./kind.ts"
import { answering, openReceiver, type Receiver } from "./receiver.fixture.ts"

const attributes = { specversion: "1.0", id: "order-1", source: "/shop", type: "order.placed" }
const event = Event.of({ ...attributes, datacontenttype: "application/json" }, Buffer.from('{"order":1}'), "json")
const key = issueSigningKey("v1", 0, createSimulatedChance(1))
const never = new AbortController().signal

let receiver: Receiver
let clock: SimulatedClock
let senders: Sender[]
beforeEach(async () => {
  receiver = await openReceiver()
  clock = createSimulatedClock(Date.now())
  senders = []
})
afterEach(async () => {
  await receiver.close()
  await Promise.all(senders.map((sender) => sender.close()))
})

async function open(config: Partial<WebhookConfig> = {}, signingKeys: readonly SigningKey[] = [key]): Promise<Sender> {
  const kind = webhookKind({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const context = { tenant: "default", signingKeys, publish: async () => {} }
  const sender = await kind.open({ url: receiver.url, ...config }, context)
  senders.push(sender)
  return sender
}

const send = (sender: Sender, signal = never): Promise<Outcome> =>
  sender.send({ ...dispatch(event), at: clock.now() }, signal)

/** A server that does with each connection what a test says. */
async function openRaw(serve: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  server.unref()
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`
}

describe("a delivery", () => {
  test("is a POST with the event, its own headers and what identifies and signs it", async () => {
    const sender = await open({ url: `${receiver.url}?shop=1`, headers: { Authorization: "Bearer x", "X-Shop": "1" } })
    expect(await send(sender)).toEqual({
      kind: "delivered",
      detail: "204 No Content",
      response: expect.objectContaining({ status: 204, body: "", bodyEncoding: "utf8", bodyTruncated: false }),
    })
    const [arrival] = receiver.arrivals
    expect(arrival).toMatchObject({ method: "POST", path: "/hook?shop=1", body: Buffer.from('{"order":1}') })
    expect(arrival!.headers).toEqual({
      host: `127.0.0.1:${receiver.port}`,
      connection: "keep-alive",
      "user-agent": "Redcar",
      authorization: "Bearer x",
      "x-shop": "1",
      "ce-specversion": "1.0",
      "ce-id": "order-1",
      "ce-source": "/shop",
      "ce-type": "order.placed",
      "content-type": "application/json",
      "content-length": "11",
      "webhook-id": "00000000001_trg-orders",
      "webhook-timestamp": `${Math.floor(clock.now() / 1000)}`,
      "webhook-signature": expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
    })
  })

  test("without data has an empty body, which is signed as well", async () => {
    const sender = await open()
    await sender.send({ ...dispatch(Event.of(attributes)), at: clock.now() }, never)
    expect(receiver.arrivals[0]!.headers).toMatchObject({ "content-length": "0" })
    expect(receiver.arrivals[0]!.headers).not.toHaveProperty("content-type")
    expect(() => verify(key)).not.toThrow()
  })

  test("in structured mode is one JSON event", async () => {
    await send(await open({ mode: "structured", headers: { "User-Agent": "shop/1" } }))
    const { headers, body } = receiver.arrivals[0]!
    expect(headers).toMatchObject({
      "content-type": expect.stringMatching(/^application\/cloudevents\+json/),
      "user-agent": "shop/1",
    })
    expect(Object.keys(headers).filter((name) => name.startsWith("ce-"))).toEqual([])
    expect(JSON.parse(body.toString())).toEqual({
      ...attributes,
      datacontenttype: "application/json",
      data: { order: 1 },
    })
    expect(verify(key)).toMatchObject({ id: "order-1" })
  })

  /** Verifies the last arrival as a receiver does; throws where it does not hold. */
  function verify(by: SigningKey): unknown {
    const { headers, body } = receiver.arrivals.at(-1)!
    return new Webhook(by.secret).verify(body, headers as Record<string, string>, { jsonParse: body.length > 0 })
  }

  test("is verified by the reference library with every key that has not ended, and with no other", async () => {
    const newer = issueSigningKey("v1", clock.now(), createSimulatedChance(2))
    const sender = await open({}, rotate([key], newer, 60_000, clock.now()))
    await send(sender)
    expect(verify(newer)).toEqual({ order: 1 })
    expect(verify(key)).toEqual({ order: 1 })
    await clock.advance(60_000)
    await send(sender)
    expect(verify(newer)).toEqual({ order: 1 })
    expect(() => verify(key)).toThrow(/signature/i)
  })

  test("keeps its id over its attempts, and signs each with its own time", async () => {
    const sender = await open()
    for (const at of [5_000, 65_999]) await sender.send({ ...dispatch(event), at }, never)
    const [first, second] = receiver.arrivals.map(({ headers }) => headers)
    expect(first!["webhook-id"]).toBe(second!["webhook-id"])
    expect([first!["webhook-timestamp"], second!["webhook-timestamp"]]).toEqual(["5", "65"])
    expect(first!["webhook-signature"]).not.toBe(second!["webhook-signature"])
  })

  test("is signed by v1a keys, and by none where none is wanted or left", async () => {
    await send(await open({ signing: "v1a" }, [issueSigningKey("v1a", 0, createSimulatedChance(3))]))
    await send(await open({ signing: "none" }))
    await send(await open({}, [{ ...key, expiresAt: clock.now() }]))
    const signatures = receiver.arrivals.map(({ headers }) => headers["webhook-signature"])
    expect(signatures).toEqual([expect.stringMatching(/^v1a,[A-Za-z0-9+/]{86}==$/), undefined, undefined])
  })
})

describe("an answer", () => {
  test("that redirects is a failure, and is not followed", async () => {
    receiver.answer = answering(307, { location: receiver.url })
    expect(await send(await open())).toMatchObject({ kind: "failed", permanent: false, response: { status: 307 } })
    expect(receiver.arrivals).toHaveLength(1)
  })

  test("410 ends the destination; Retry-After asks for rest", async () => {
    const sender = await open()
    receiver.answer = answering(410)
    expect(await send(sender)).toMatchObject({ permanent: true, gone: true })
    receiver.answer = answering(503, { "retry-after": new Date(clock.now() + 90_000).toUTCString() })
    const { retryAfterMs } = (await send(sender)) as { retryAfterMs: number }
    expect(retryAfterMs).toBeGreaterThan(88_000)
    expect(retryAfterMs).toBeLessThanOrEqual(90_000)
  })

  test("is kept with its headers and its first 4 KiB", async () => {
    receiver.answer = (response) => {
      response.writeHead(500, { "x-a": "1", "set-cookie": ["a=1", "b=2"] })
      response.end("é".repeat(5_000))
    }
    const { response } = await send(await open())
    expect(response).toMatchObject({
      status: 500,
      headers: { "x-a": "1", "set-cookie": "a=1, b=2" },
      bodyTruncated: true,
    })
    expect(response!.body).toBe("é".repeat(2_048))
    receiver.answer = answering(200, {}, "x".repeat(4_096))
    expect((await send(await open())).response).toMatchObject({ body: "x".repeat(4_096), bodyTruncated: false })
  })

  test("without end is cut, its status counts, and its connection is not used again", async () => {
    const sender = await open()
    receiver.answer = (response) => {
      response.writeHead(200)
      const pour = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, "x"))) {}
        if (!response.destroyed) response.once("drain", pour)
      }
      pour()
    }
    expect(await send(sender)).toMatchObject({ kind: "delivered", response: { bodyTruncated: true } })
    receiver.answer = answering(204)
    expect(await send(sender)).toMatchObject({ kind: "delivered" })
    const [first, second] = receiver.arrivals
    expect(second!.connection).not.toBe(first!.connection)
  })

  test("that breaks off after its status counts by it", async () => {
    receiver.answer = (response, { headers }) => {
      response.writeHead(headers["x-fail"] ? 500 : 200, { "content-length": "100" })
      response.write("partly", () => response.destroy())
    }
    const cut = { body: "partly", bodyTruncated: true }
    expect(await send(await open())).toMatchObject({ kind: "delivered", response: cut })
    expect(await send(await open({ headers: { "x-fail": "1" } }))).toMatchObject({ kind: "failed", response: cut })
  })

  test("may be preceded by hints", async () => {
    receiver.answer = (response) =>
      response.writeEarlyHints({ link: "</a>; rel=preload" }, () => answering(202)(response, receiver.arrivals[0]!))
    expect(await send(await open())).toMatchObject({ kind: "delivered", detail: "202 Accepted" })
    receiver.answer = (response) => {
      response.writeEarlyHints({ link: "</a>; rel=preload" }, () => response.destroy())
    }
    expect(await send(await open())).toMatchObject({ kind: "failed", detail: expect.stringContaining("closed before") })
  })
})

describe("what is no answer", () => {
  const failure = (cause: FailureCause, detail: string | RegExp) => ({
    kind: "failed",
    cause,
    permanent: false,
    detail: typeof detail === "string" ? detail : expect.stringMatching(detail),
  })

  test("nobody listens", async () => {
    const sender = await open()
    await receiver.close()
    expect(await send(sender)).toEqual(failure("connect", `connect ECONNREFUSED 127.0.0.1:${receiver.port}`))
    receiver = await openReceiver()
  })

  test.each([
    [
      "closes at once",
      (socket: Socket) => void socket.end(),
      "broken",
      /the connection was closed before an answer came|ECONNRESET|EPIPE/,
    ],
    ["resets", (socket: Socket) => void socket.once("data", () => socket.resetAndDestroy()), "broken", /ECONNRESET/],
    [
      "does not speak HTTP",
      (socket: Socket) => void socket.end("hello there\r\n\r\n"),
      "protocol",
      /its first line is no status line/,
    ],
    [
      "answers with 100 KiB of headers",
      (socket: Socket) => void socket.end(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(100 << 10)}\r\n\r\n`),
      "protocol",
      /head of its answer is longer than 16 KiB/,
    ],
    [
      "switches protocols",
      (socket: Socket) =>
        void socket.once("data", () =>
          socket.end("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
        ),
      "protocol",
      /switches protocols/,
    ],
  ] satisfies readonly (readonly [string, (socket: Socket) => void, FailureCause, RegExp])[])(
    "a receiver that %s",
    async (_, serve, cause, detail) => {
      expect(await send(await open({ url: await openRaw(serve) }))).toEqual(failure(cause, detail))
    },
  )

  test("silence ends after the time for an answer, not before and not much after", async () => {
    receiver.answer = () => {}
    const sender = await open({ timeoutMs: 2_000 })
    const early = receiver.next()
    const sending = send(sender)
    await early
    let over = false
    void sending.then(() => {
      over = true
    })
    await clock.advance(2_000)
    expect(over).toBe(false)
    await clock.advance(200)
    expect(await sending).toEqual(failure("timeout", "no answer within 2 s"))
    receiver.answer = answering(204)
    expect(await send(sender)).toHaveProperty("kind", "delivered")
  })

  test("the default time is 20 s, whatever the wall clock does", async () => {
    receiver.answer = () => {}
    const sender = await open()
    const arrived = receiver.next()
    const sending = send(sender)
    await arrived
    for (let s = 0; s < 21; s++) await clock.advance(1_000)
    expect(await sending).toEqual(failure("timeout", "no answer within 20 s"))
  })

  test("a body that stalls after its status ends too, and the status counts", async () => {
    receiver.answer = (response) => {
      response.writeHead(200, { "content-length": "10" })
      response.write("half")
    }
    const sending = send(await open({ timeoutMs: 1_000 }))
    await receiver.next()
    const outcome: { value?: Outcome } = {}
    void sending.then((value) => {
      outcome.value = value
    })
    for (let ms = 0; outcome.value === undefined && ms < 10_000; ms += 50) await clock.advance(50)
    expect(outcome.value).toMatchObject({ kind: "delivered", response: { body: "half", bodyTruncated: true } })
  })
})

describe("connections", () => {
  test("are kept and used again", async () => {
    const sender = await open()
    for (let i = 0; i < 5; i++) await send(sender)
    expect(new Set(receiver.arrivals.map(({ connection }) => connection)).size).toBe(1)
  })

  test("are never more than deliveries at once", async () => {
    const sender = await open()
    const one = async () => {
      for (let i = 0; i < 50; i++) await send(sender)
    }
    await Promise.all([one(), one(), one(), one()])
    expect(receiver.arrivals).toHaveLength(200)
    expect(new Set(receiver.arrivals.map(({ connection }) => connection)).size).toBeLessThanOrEqual(4)
  })

  test("that the receiver closed meanwhile cost no attempt", async () => {
    const sender = await open()
    await send(sender)
    const used = new Set([receiver.arrivals[0]!.connection])
    receiver.answer = (response, { connection }) => {
      if (used.has(connection)) response.destroy()
      else answering(204)(response, receiver.arrivals[0]!)
    }
    expect(await send(sender)).toHaveProperty("kind", "delivered")
    expect(receiver.arrivals).toHaveLength(3)
    expect(receiver.arrivals[2]!.headers["webhook-id"]).toBe(receiver.arrivals[1]!.headers["webhook-id"])
  })

  test("that were opened anew are new: breaking one is a failure", async () => {
    const sender = await open()
    await send(sender)
    const [socket] = receiver.connections()
    socket!.destroy()
    for (let i = 0; receiver.connections().size > 0 && i < 10_000; i++) await quiesce()
    await quiesce()
    receiver.answer = (response) => void response.destroy()
    expect(await send(sender)).toMatchObject({ kind: "failed", permanent: false })
    expect(receiver.arrivals).toHaveLength(2)
  })

  test("on which something comes between requests are ended, and no answer is taken for another's", async () => {
    const bodies: string[] = []
    const opened: Socket[] = []
    const url = await openRaw((socket) => {
      opened.push(socket)
      socket.on("data", (bytes) => {
        bodies.push(bytes.toString())
        socket.write("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
      })
    })
    const sender = await open({ url })
    expect(await send(sender)).toMatchObject({ kind: "failed" })
    const ended = new Promise((resolve) => opened[0]!.once("close", resolve))
    opened[0]!.write("HTTP/1.1 204 Unasked\r\n\r\n")
    await ended
    expect(await send(sender)).toMatchObject({ kind: "failed", response: { status: 500 } })
    expect(opened).toHaveLength(2)
  })

  test.each([
    ["timeout=1", 2],
    ["timeout=5, max=100", 1],
    ["max=100", 1],
    ["timeout=0", 2],
  ])("that the receiver keeps for %j are used while it does", async (hint, connections) => {
    const sender = await open()
    receiver.answer = answering(204, { "keep-alive": hint })
    for (let i = 0; i < 2; i++) await send(sender)
    expect(new Set(receiver.arrivals.map(({ connection }) => connection)).size).toBe(connections)
  })

  test("carry bodies that are written in pieces", async () => {
    const data = Buffer.from(JSON.stringify({ text: "é".repeat(100_000) }))
    const large = Event.of({ ...attributes, datacontenttype: "application/json" }, data, "json")
    const sender = await open()
    for (const one of [large, event, large]) await sender.send({ ...dispatch(one), at: clock.now() }, never)
    expect(receiver.arrivals.map(({ body }) => body.length)).toEqual([data.length, 11, data.length])
    expect(receiver.arrivals[2]!.body.equals(data)).toBe(true)
  })

  test("whose request was answered before it had been written are not used again", async () => {
    const data = Buffer.from(JSON.stringify("x".repeat(8_000_000)))
    const large = Event.of({ ...attributes, datacontenttype: "application/json" }, data, "json")
    const opened: Socket[] = []
    const url = await openRaw((socket) => {
      opened.push(socket)
      socket.once("data", () => socket.pause().write("HTTP/1.1 413 Too large\r\ncontent-length: 0\r\n\r\n"))
    })
    const sender = await open({ url })
    for (let i = 0; i < 2; i++) {
      const outcome = await sender.send({ ...dispatch(large), at: clock.now() }, never)
      expect(outcome).toMatchObject({ kind: "failed", response: { status: 413 } })
    }
    expect(opened).toHaveLength(2)
    for (const socket of opened) socket.destroy()
  })

  test("obey the signal of each delivery, not of the one before", async () => {
    const sender = await open()
    const [before, now] = [new AbortController(), new AbortController()]
    await send(sender, before.signal)
    receiver.answer = () => {}
    const arrived = receiver.next()
    const sending = send(sender, now.signal)
    await arrived
    let over = false
    void sending.then(() => {
      over = true
    })
    before.abort()
    await quiesce()
    expect(over).toBe(false)
    now.abort()
    expect(await sending).toHaveProperty("kind", "failed")
  })

  test("that are replaced win no time", async () => {
    const sender = await open({ timeoutMs: 2_000 })
    await send(sender)
    let breakOff = () => {}
    receiver.answer = (response) => {
      breakOff = () => void response.destroy()
    }
    const first = receiver.next()
    const sending = send(sender)
    await first
    await clock.advance(1_500)
    const second = receiver.next()
    breakOff()
    await second
    await clock.advance(700)
    expect(await sending).toMatchObject({ kind: "failed", detail: "no answer within 2 s" })
  })

  test("that break twice are a failure", async () => {
    const sender = await open()
    await send(sender)
    receiver.answer = (response) => void response.destroy()
    expect(await send(sender)).toMatchObject({ kind: "failed", permanent: false })
    expect(receiver.arrivals).toHaveLength(3)
    expect(await send(sender)).toMatchObject({ kind: "failed" })
    expect(receiver.arrivals).toHaveLength(4)
  })

  test("are ended by closing, and nothing is sent from then on", async () => {
    const sender = await open()
    await Promise.all([send(sender), send(sender)])
    const sockets = [...receiver.connections()]
    expect(sockets).toHaveLength(2)
    const ended = sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)))
    await sender.close()
    await Promise.all(ended)
    expect(await send(sender)).toMatchObject({ kind: "failed", permanent: false })
    expect(receiver.arrivals).toHaveLength(2)
  })

  test("of aborted deliveries are ended, also while they are being opened", async () => {
    const stop = new AbortController()
    receiver.answer = () => {}
    const sender = await open()
    const waiting = send(sender, stop.signal)
    await receiver.next()
    const connecting = send(sender, stop.signal)
    stop.abort()
    for (const outcome of [await waiting, await connecting])
      expect(outcome).toEqual({ kind: "failed", detail: "stopped before an answer came", permanent: false })
    for (let i = 0; receiver.connections().size > 0 && i < 10_000; i++) await quiesce()
    expect(receiver.connections().size).toBe(0)
  })
})
