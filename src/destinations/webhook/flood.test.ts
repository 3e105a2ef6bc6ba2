import { createServer, type Server, type Socket } from "node:net"
import { afterEach, expect, test } from "vitest"
import type { Outcome } from "../../core/delivery.ts"
import type { Sender } from "../../core/destination.ts"
import { Event } from "../../core/event.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { dispatch } from "../conformance.ts"
import { answerBytesMax, interimMax } from "./http1/reader.ts"
import { webhookKind } from "./kind.ts"

const attributes = { specversion: "1.0", id: "order-1", source: "/shop", type: "order.placed" }
const event = Event.of(attributes)
// Time does not pass here: what ends a request is never its timeout.
const clock = createSimulatedClock(Date.now())
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** Sends an event to a receiver that answers as `serve` does, until its connection is closed. */
async function sendTo(serve: (socket: Socket) => void): Promise<{ readonly outcome: Outcome; readonly sent: number }> {
  const sockets: Socket[] = []
  const server: Server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}))
    socket.once("data", () => serve(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`
  const kind = webhookKind({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const sender: Sender = await kind.open({ url }, { tenant: "default", signingKeys: [], publish: async () => {} })
  closing.push(
    () => sender.close(),
    () => server.close(),
  )
  const outcome = await sender.send({ ...dispatch(event), at: clock.now() }, new AbortController().signal)
  await Promise.all(
    sockets.map((socket) => socket.destroyed || new Promise((resolve) => socket.once("close", resolve))),
  )
  return { outcome, sent: sockets.reduce((bytes, socket) => bytes + socket.bytesWritten, 0) }
}

/** Writes `text` again and again for as long as somebody takes it. */
function forever(socket: Socket, text: string): void {
  const piece = Buffer.from(text.repeat(Math.ceil(16_384 / text.length)))
  const go = () => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on("drain", go)
  go()
}

test("interim answers without end are given up after a few", async () => {
  const { outcome } = await sendTo((socket) => forever(socket, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
  const detail = `more than ${interimMax} interim answers came before an answer`
  expect(outcome).toEqual({ kind: "failed", detail, permanent: false, cause: "protocol" })
})

test("interim answers before the answer are passed over", async () => {
  const hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(interimMax)
  const { outcome } = await sendTo((socket) =>
    socket.end(`${hints}HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n`),
  )
  expect(outcome).toMatchObject({ kind: "delivered", detail: "204 No Content" })
})

test.each([1, 2])("100 Continue, %d times and unasked, is passed over on every attempt", async (times) => {
  const answer = `${"HTTP/1.1 100 Continue\r\n\r\n".repeat(times)}HTTP/1.1 204 No Content\r\n\r\n`
  const { outcome } = await sendTo((socket) => socket.end(answer))
  expect(outcome).toMatchObject({ kind: "delivered", detail: "204 No Content" })
})

const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

test.each([
  ["an extension of a chunk without end", `${chunked}1;a=`, "x"],
  ["extensions of many chunks", chunked, `1;${"x".repeat(4_000)}\r\nx\r\n`],
])("%s ends a request whose status had come", async (_, begin, more) => {
  const { outcome, sent } = await sendTo((socket) => {
    socket.write(begin)
    forever(socket, more)
  })
  expect(outcome).toMatchObject({ kind: "delivered", detail: "200 OK", response: { bodyTruncated: true } })
  // What the operating system's buffers took besides is never read.
  expect(sent).toBeLessThan(answerBytesMax + (16 << 20))
})

test("a head without end is given up", async () => {
  const { outcome } = await sendTo((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n")
    forever(socket, "x-more: 1\r\n")
  })
  expect(outcome).toMatchObject({ kind: "failed", permanent: false })
})

test("empty lines before an answer are given up", async () => {
  const { outcome } = await sendTo((socket) => forever(socket, "\r\n"))
  expect(outcome).toMatchObject({ kind: "failed", permanent: false })
})
