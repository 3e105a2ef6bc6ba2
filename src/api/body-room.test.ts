import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { createSimulatedClock } from "../testing/clock.ts"
import { openTestApi, type TestApi } from "./api.fixture.ts"
import { bodiesBytesMax, bodyWithinMs } from "./body-room.ts"

const clock = createSimulatedClock(Date.now())
const sockets: Socket[] = []
let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ clock })
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => api.close())

/** Begins a request whose body is said to have a mebibyte, and sends so much of it. */
function begin(bytes: number): { readonly socket: Socket; text(): string } {
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1").on("error", () => {})
  sockets.push(socket)
  let text = ""
  socket.on("data", (chunk) => {
    text += chunk.toString()
  })
  const head = ["POST /v1/topics HTTP/1.1", "host: x", "authorization: Bearer admin", "content-type: application/json"]
  socket.write([...head, `content-length: ${1 << 20}`, "", ""].join("\r\n") + " ".repeat(bytes))
  return { socket, text: () => text }
}

test("a body that does not come is a 408, and its connection ends", async () => {
  const { socket, text } = begin(10)
  const closed = once(socket, "close")
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  await clock.advance(bodyWithinMs)
  await closed
  expect(text()).toContain("HTTP/1.1 408")
  expect(text()).toContain('"code":"too-slow"')
  expect(text().toLowerCase()).toContain("connection: close")
})

test("bodies that come in part leave room for small ones, and none of them more than there is", async () => {
  const bodies = Array.from({ length: 40 }, () => begin((1 << 20) - 1))
  // Three quarters are for large ones; those that find no room are told so.
  while (bodies.filter(({ text }) => text().includes('"code":"overloaded"')).length < 40 - (bodiesBytesMax >> 20))
    await new Promise(setImmediate)
  expect((await api.call("POST", "/v1/topics", { id: "small" })).status).toBe(201)
  for (const { socket } of bodies) socket.destroy()
})
