import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { afterEach, expect, test } from "vitest"
import { answerBytesMax } from "./destinations/webhook/http1/reader.ts"
import { startTestHub } from "./hub.fixture.ts"

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const attempts = 12
/** What the operating system's buffers of a connection take besides, which nobody reads. */
const buffersMax = 16 << 20

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  closing.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** A receiver that answers each request with `begin`, and `more` for as long as somebody takes it. */
async function flooder(begin: string, more: string) {
  const written: number[] = []
  const cut = Promise.withResolvers<void>()
  const piece = Buffer.from(more.repeat(Math.ceil(16_384 / more.length)))
  const serve = (socket: Socket) => {
    const go = () => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.write(begin)
    socket.on("drain", go)
    go()
  }
  const url = await listening(
    createServer((socket) => {
      socket.on("error", () => {}).once("data", () => serve(socket))
      socket.once("close", () => {
        written.push(socket.bytesWritten)
        if (written.length === attempts) cut.resolve()
      })
    }),
  )
  return { url, written, cut: cut.promise }
}

/** A receiver that takes everything; `all` resolves when it has had so many. */
async function neighbour() {
  const ids: string[] = []
  const all = Promise.withResolvers<void>()
  const url = await listening(
    createHttpServer((request, response) => {
      ids.push(String(request.headers["ce-id"]))
      request.resume()
      response.writeHead(204).end()
      if (ids.length === attempts) all.resolve()
    }),
  )
  return { url, ids, all: all.promise }
}

test.each([
  ["interim answers without end", "", `HTTP/1.1 103 Early Hints\r\nlink: <${"a".repeat(8_000)}>\r\n\r\n`],
  [
    "chunk extensions without end",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    `1;${"x".repeat(4_000)}\r\nx\r\n`,
  ],
])(
  "%s end each attempt after so many bytes, and the neighbour has all of its deliveries",
  async (_, begin, more) => {
    const hub = await startTestHub()
    closing.push(() => hub.stop())
    const [flood, quiet] = [await flooder(begin, more), await neighbour()]
    await hub.call("POST", "/v1/topics", { id: "t" })
    for (const [id, url] of Object.entries({ flood: flood.url, quiet: quiet.url })) {
      // No time-out is what ends an attempt.
      await hub.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url, timeoutMs: 60_000 } })
      const made = await hub.call("POST", "/v1/triggers", { id, topic: "t", destination: id, retry: "none" })
      expect(made.text).toContain("etag")
    }
    const ids = Array.from({ length: attempts }, (_, i) => String(i))
    for (const id of ids) {
      const event = { specversion: "1.0", id, source: "/s", type: "a" }
      await hub.call("POST", "/v1/topics/t/events", event, { "content-type": "application/cloudevents+json" })
    }
    await Promise.all([flood.cut, quiet.all])
    expect(quiet.ids.sort()).toEqual(ids.sort())
    for (const bytes of flood.written) expect(bytes).toBeLessThan(answerBytesMax + buffersMax)
  },
  60_000,
)
