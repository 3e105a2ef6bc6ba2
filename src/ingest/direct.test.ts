import { once } from "node:events"
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import fc from "fast-check"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { createSimulatedClock, quiesce } from "../testing/clock.ts"
import { growthOf } from "../testing/growth.ts"
import type { Reply } from "./answer.ts"
import { type DirectConnections, restMs, takeConnections, togetherMax } from "./direct.ts"
import { type DirectRequest, DirectRequests } from "./direct-request.ts"
import { authorization, type Fixture, openFixture } from "./fixture.ts"

const head = `Host: x\r\nAuthorization: ${authorization}\r\n`
const type = "Content-Type: application/cloudevents+json\r\n"

function publish(body: string, more = type, topic = "t"): string {
  const length = Buffer.byteLength(body)
  return `POST /v1/topics/${topic}/events HTTP/1.1\r\n${head}${more}Content-Length: ${length}\r\n\r\n${body}`
}

function event(id: string): string {
  return `{"specversion":"1.0","id":${JSON.stringify(id)},"source":"/s","type":"t"}`
}

describe("whatever a client sends", () => {
  let hubs: readonly Fixture[]
  beforeAll(async () => {
    hubs = [await openFixture(), await openFixture({ nodeOnly: true })]
  })
  afterAll(() => Promise.all(hubs.map((hub) => hub.close())))

  const last = `GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
  const line = fc.constantFrom(
    "",
    type,
    "content-type: text/plain\r\n",
    "Content-Type: application/x-ndjson\r\n",
    "Content-Type: application/cloudevents-batch+json\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: +3\r\n",
    "Proxy-Connection: close\r\n",
    "ce-subject: a\u00a0\r\nce-id: 2\r\nce-source: /s\r\nce-type: t\r\nce-specversion: 1.0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: nothing\r\n",
    "Upgrade: h2c\r\nConnection: upgrade\r\n",
    "Host: y\r\n",
    "ce-id: é\r\n",
    "ce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-specversion: 1.0\r\n",
    "X-Folded: a\r\n b\r\n",
    "X : y\r\n",
    "X:\t y \t\r\n",
    "X: a\rb\r\n",
    "X: a\nY: b\r\n",
    "X: a\u0000b\r\n",
    "no colon\r\n",
    ": empty\r\n",
    "__proto__: x\r\n",
    "Idempotency-Key: a\r\n",
    "Redcar-Expected-Last: none\r\n",
    "Content-Encoding: gzip\r\n",
    `X: ${"x".repeat(17_000)}\r\n`,
  )
  const path = fc.constantFrom("t", "t", "t", "t:k", "a%20b", "%", "_redcar", "t?x=1", "t/../t", "t u", "größe")
  const well = fc.constantFrom(type, "", "X:\t y \t\r\n", "Connection: keep-alive\r\n", "Idempotency-Key: a\r\n")
  const cuts = fc.array(fc.nat(), { maxLength: 2 })
  const run = { number: 0 }

  test("is answered as node:http answers it, byte for byte", async () => {
    await fc.assert(
      fc.asyncProperty(path, fc.array(line, { maxLength: 3 }), cuts, async (topic, lines, at) => {
        const bytes = Buffer.from(publish(event(`n${run.number++}`), lines.join(""), topic), "latin1")
        const [direct, through] = await Promise.all(hubs.map((hub) => converse(hub, bytes, at, isWhole)))
        expect(short(direct!)).toBe(short(through!))
      }),
      { numRuns: 300 },
    )
    await sameStored()
  })

  test("is answered in order where it comes together, and goes on through node:http", async () => {
    const requests = fc.array(
      fc.tuple(
        path.filter((text) => /^[!-~]+$/.test(text)),
        fc.array(well, { maxLength: 2 }),
      ),
      { maxLength: 4 },
    )
    await fc.assert(
      fc.asyncProperty(requests, cuts, async (all, at) => {
        const id = `m${run.number++}`
        const made = all.map(([topic, lines], i) => publish(event(id + i), lines.join(""), topic))
        const bytes = Buffer.from(made.join("") + last, "latin1")
        const [direct, through] = await Promise.all(hubs.map((hub) => converse(hub, bytes, at, () => false)))
        expect(short(direct!)).toBe(short(through!))
      }),
      { numRuns: 150 },
    )
    await sameStored()
  })

  async function sameStored(): Promise<void> {
    const stored = await Promise.all(hubs.map((hub) => hub.stored("t")))
    // Raw input has ids of its own.
    const ids = stored.map((events) => events.map(({ event }) => event.id.replace(/^[0-9A-Z]{26}$/, "raw")).toSorted())
    expect(ids[0]!.length).toBeGreaterThan(20)
    expect(ids[0]).toEqual(ids[1])
    expect(hubs.flatMap(({ bugs }) => bugs)).toEqual([])
  }

  /** Whether an answer is there, or the connection is over. */
  function isWhole(text: string): boolean {
    const end = text.indexOf("\r\n\r\n")
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
    if (end < 0 || (length === undefined && !text.includes("chunked"))) return false
    return length === undefined ? text.endsWith("0\r\n\r\n") : text.length >= end + 4 + Number(length)
  }

  function short(text: string): string {
    return text.replace(/x{99,}/g, "x…").slice(0, 2_000)
  }

  /** Sends the bytes, cut in pieces, and answers what came back, without what differs between two hubs. */
  async function converse(
    hub: Fixture,
    bytes: Buffer,
    at: readonly number[],
    enough: (text: string) => boolean,
  ): Promise<string> {
    const { socket } = await hub.socket()
    socket.setNoDelay(true)
    const places = [0, ...at.map((place) => place % bytes.length), bytes.length].toSorted((a, b) => a - b)
    let text = ""
    const over = new Promise<void>((resolve) => {
      socket.once("close", resolve)
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1")
        if (enough(text)) resolve()
      })
    })
    for (const [i, place] of places.slice(1).entries()) {
      await new Promise((resolve) => socket.write(bytes.subarray(places[i], place), resolve))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await over
    socket.destroy()
    return text
      .replace(/Date: [^\r]+/g, "Date: …")
      .replace(/Keep-Alive: timeout=\d+/g, "Keep-Alive: …")
      .replace(/"(cursor|last)":"[^"]+"/g, '"$1":"…"')
      .replace(/"id":"[0-9A-Z]{26}"/g, '"id":"…"')
  }
})

describe("a connection", () => {
  const clock = createSimulatedClock(Date.now())
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  interface Served {
    readonly socket: Socket
    readonly connections: DirectConnections
    /** Requests that came straight, not answered yet. */
    readonly taken: { readonly request: DirectRequest; readonly reply: Reply }[]
    /** Requests that node:http was given. */
    readonly given: IncomingMessage[]
    /** All that was answered so far. */
    text(): string
    until(met: () => boolean): Promise<void>
  }

  async function serve(node: (request: IncomingMessage, response: ServerResponse) => void = () => {}): Promise<Served> {
    const [taken, given]: [Served["taken"], IncomingMessage[]] = [[], []]
    const listener: RequestListener = (request, response) => {
      given.push(request)
      node(request, response)
    }
    const server = createServer(listener)
    const take = (request: DirectRequest, reply: Reply) => {
      if (!request.head.url.startsWith("/v1/topics/")) return false
      return taken.push({ request, reply }) > 0
    }
    const connections = takeConnections(server, { clock, keepAliveMs: 65_000, take })
    await once(server.listen(0, "127.0.0.1"), "listening")
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1")
    closing.push(() => {
      socket.destroy()
      connections.closeAll()
      server.closeAllConnections()
      server.close()
    })
    let text = ""
    socket.on("data", (chunk) => {
      text += chunk.toString()
    })
    socket.on("error", () => {})
    return {
      socket,
      connections,
      taken,
      given,
      text: () => text,
      async until(met) {
        for (let i = 0; !met(); i++) {
          if (i > 20_000) throw new Error(`it never came; answered so far: ${text.slice(-500)}`)
          await quiesce()
        }
      },
    }
  }

  test("is answered in the order of its requests, whichever is done first", async () => {
    const { socket, taken, text, until } = await serve((_, response) => void response.end("node"))
    socket.write(`${publish("1") + publish("2") + publish("3")}GET /x HTTP/1.1\r\nHost: x\r\n\r\n`)
    await until(() => taken.length === 3)
    taken[2]!.reply.accepted('{"n":3}')
    taken[1]!.reply.accepted('{"n":"ö"}')
    await quiesce()
    expect(text()).toBe("")
    taken[0]!.reply.accepted('{"n":1}')
    await until(() => text().includes("node"))
    expect(text().match(/\{[^}]*\}|node/g)).toEqual(['{"n":1}', '{"n":"ö"}', '{"n":3}', "node"])
  })

  test("waits a little for the rest of a request, and then leaves it to node:http", async () => {
    const { socket, taken, given, until } = await serve()
    const whole = publish("12345")
    socket.write(whole.slice(0, 20))
    socket.write(whole.slice(20, -2))
    await quiesce()
    socket.write(whole.slice(-2))
    await until(() => taken.length === 1)
    expect(taken[0]!.request.body.toString()).toBe("12345")
    socket.write(whole.slice(0, -2))
    await quiesce()
    await clock.advance(restMs - 1)
    expect(given).toHaveLength(0)
    taken[0]!.reply.accepted("{}")
    await clock.advance(1)
    await until(() => given.length === 1)
    let body = ""
    given[0]!.on("data", (chunk) => {
      body += chunk
    })
    socket.write(whole.slice(-2))
    await once(given[0]!, "end")
    expect(body).toBe("12345")
  })

  test("has so many publishes under way, and no more of it is read", async () => {
    const { socket, taken, until } = await serve()
    socket.write(publish("1").repeat(togetherMax + 10))
    await until(() => taken.length === togetherMax)
    await quiesce()
    expect(taken).toHaveLength(togetherMax)
    taken[0]!.reply.accepted("{}")
    await until(() => taken.length === togetherMax + 1)
    for (const { reply } of taken.slice(1)) reply.accepted("{}")
    await until(() => taken.length === togetherMax + 10)
  })

  test("whose client takes no answers is not read on", async () => {
    const { socket, taken, until } = await serve()
    socket.pause()
    const answer = JSON.stringify("x".repeat(100_000))
    let answered = 0
    socket.write(publish("1").repeat(1_000))
    await until(() => taken.length >= togetherMax)
    for (let i = 0; i < 500; i++) {
      for (let n = 0; n < 10 && answered < taken.length; n++) taken[answered++]!.reply.accepted(answer)
      await quiesce()
    }
    expect(taken.length).toBeLessThan(1_000)
    socket.resume()
    await until(() => {
      for (; answered < taken.length; answered++) taken[answered]!.reply.accepted("1")
      return answered === 1_000
    })
  })

  test("is ended when the hub is, once what is under way is answered", async () => {
    const { socket, connections, taken, text, until } = await serve()
    socket.write(publish("1"))
    await until(() => taken.length === 1)
    connections.closeIdle()
    await quiesce()
    expect(socket.readyState).toBe("open")
    const closed = once(socket, "close")
    taken[0]!.reply.accepted("{}")
    await closed
    expect(text()).toMatch(/^HTTP\/1\.1 202 Accepted\r\n.*\{\}$/s)
    const idle = await serve()
    idle.socket.write(publish("1"))
    await idle.until(() => idle.taken.length === 1)
    idle.taken[0]!.reply.accepted("{}")
    const gone = once(idle.socket, "close")
    idle.connections.closeIdle()
    await gone
  })

  test("whose client has no more to say is answered, whatever it left unfinished", async () => {
    for (const rest of ["", "POST /v1/top", publish("12345").slice(0, -2)]) {
      const { socket, taken, text, until } = await serve()
      socket.end(publish("1") + rest)
      await until(() => taken.length === 1)
      await quiesce()
      const closed = once(socket, "close")
      taken[0]!.reply.accepted("{}")
      await closed
      expect(text()).toMatch(/^HTTP\/1\.1 202 Accepted\r\n[^{]*\{\}$/s)
    }
  })

  test("that is gone takes no answers", async () => {
    const { socket, taken, until, connections } = await serve()
    socket.write(publish("1") + publish("2"))
    await until(() => taken.length === 2)
    socket.destroy()
    await quiesce()
    for (const { reply } of taken) reply.accepted("{}")
    connections.closeIdle()
  })
})

test("what is refused straight away counts as what it was", async () => {
  const hub = await openFixture()
  const answer = await hub.post("t", { authorization: "Bearer wrong" }, "x")
  expect(answer.status).toBe(401)
  expect(hub.counts).toEqual([expect.objectContaining({ refused: 1, code: "unauthenticated" })])
  await hub.close()
})

test("what says more of how it is framed than its length is node:http's", () => {
  const parsed = (more: string) => new DirectRequests().read(Buffer.from(publish("{}", more), "latin1"))
  expect(parsed(type)).toMatchObject({ head: { url: "/v1/topics/t/events" }, body: Buffer.from("{}") })
  for (const more of ["Transfer-Encoding: chunked", "Expect: 100-continue", "TE: trailers", "Upgrade: h2c", "Host: y"])
    expect(parsed(`${more}\r\n`), more).toBeUndefined()
  for (const more of [
    "Content-Length: 2",
    "Content-Length: 2\u00a0",
    "Connection: close",
    "X: a\r\n b",
    "X : a",
    "X: a\rb",
    "X",
    "X: \u0007",
  ])
    expect(parsed(`${more}\r\n`), more).toBeUndefined()
  expect(parsed("X: a\r\n".repeat(100))).toBeUndefined()
})

test("whatever the lines of a head hold, reading it takes time linear in it", () => {
  for (const piece of [" ", "\t", " x", "x", ":", ",", ", ", "A: ", "\r\nA: "]) {
    const prepare = (size: number) => {
      const filling = piece.repeat(size / piece.length)
      const head = `POST /v1/topics/t/events HTTP/1.1\r\nHost: x\r\nA: x${filling}y\r\nContent-Length: 0\r\n\r\n`
      const bytes = Buffer.from(head)
      return () => new DirectRequests().read(bytes)
    }
    expect(growthOf(prepare, 8_000), JSON.stringify(piece)).toBeLessThan(3)
  }
})
