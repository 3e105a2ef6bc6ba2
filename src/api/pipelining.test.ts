import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { afterEach, expect, test, vi } from "vitest"
import { pipelined, togetherMax, waitingMax } from "./pipelining.ts"

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`

interface Front {
  readonly client: Socket
  /** Requests that were parsed, and those that were begun, by path. */
  readonly parsed: string[]
  readonly begun: string[]
  readonly responses: Map<string, ServerResponse>
  socket(): Socket
}

/** A server whose answers to `/large…` have 4 MiB; `/small…` waits until the test answers. */
async function open(): Promise<Front> {
  const large = Buffer.alloc(4 << 20, "x")
  const front = { parsed: [] as string[], begun: [] as string[], responses: new Map<string, ServerResponse>() }
  const sockets: Socket[] = []
  const listener = pipelined(
    (request: IncomingMessage, response: ServerResponse) => {
      front.begun.push(request.url!)
      if (request.url!.startsWith("/large")) response.end(large)
      else front.responses.set(request.url!, response)
    },
    { isSmall: ({ url }) => url!.startsWith("/small") },
  )
  const server = createServer((request, response) => {
    front.parsed.push(request.url!)
    listener(request, response)
  })
  server.on("connection", (socket) => sockets.push(socket))
  await once(server.listen(0, "127.0.0.1"), "listening")
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {})
  closing.push(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  await once(client, "connect")
  return { ...front, client, socket: () => sockets[0]! }
}

test("one that sends a thousand requests and reads nothing has one answer made", async () => {
  const { client, parsed, begun, socket } = await open()
  client.pause()
  client.write(Array.from({ length: 1_000 }, (_, i) => get(`/large/${i}`)).join(""))
  await vi.waitFor(() => expect(parsed).toHaveLength(1_000), { interval: 5 })
  expect(begun.length).toBeLessThanOrEqual(3)
  expect(socket().writableLength).toBeLessThan(5 << 20)
  // Once it reads, it has all of them, in order.
  let received = 0
  client.on("data", (chunk: Buffer) => {
    received += chunk.length
  })
  client.resume()
  await vi.waitFor(() => expect(received).toBeGreaterThan(40 * (4 << 20)), { interval: 5, timeout: 20_000 })
  expect(begun.slice(0, 40)).toEqual(Array.from({ length: 40 }, (_, i) => `/large/${i}`))
}, 30_000)

test("no more than a little is read of one whose requests wait", async () => {
  const { client, parsed, socket } = await open()
  client.write(get("/other"))
  const many = Array.from({ length: 10_000 }, (_, i) => get(`/large/${i}`)).join("")
  for (let i = 0; i < 20 && client.write(many); i++) await new Promise(setImmediate)
  await vi.waitFor(() => expect(parsed.length).toBeGreaterThan(waitingMax), { interval: 5 })
  let before = -1
  while (before !== parsed.length) {
    before = parsed.length
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  }
  // What was read with the last chunk, of 64 KiB.
  expect(parsed.length).toBeLessThan(waitingMax + 2 * (65_536 / get("/large/1").length))
  expect(socket().destroyed).toBe(false)
})

test("small answers are made together, and the first large one waits for them", async () => {
  const { client, begun, responses } = await open()
  client.resume()
  client.write(Array.from({ length: togetherMax + 10 }, (_, i) => get(`/small/${i}`)).join("") + get("/large"))
  await vi.waitFor(() => expect(begun).toHaveLength(togetherMax), { interval: 5 })
  responses.get("/small/0")!.end("ok")
  await vi.waitFor(() => expect(begun).toHaveLength(togetherMax + 1), { interval: 5 })
  for (let i = 1; i < togetherMax + 10; i++) {
    await vi.waitFor(() => expect(responses.has(`/small/${i}`)).toBe(true), { interval: 1 })
    expect(begun).not.toContain("/large")
    responses.get(`/small/${i}`)!.end("ok")
  }
  await vi.waitFor(() => expect(begun).toContain("/large"), { interval: 5 })
})

test("what waits when a connection ends is never begun", async () => {
  const { client, parsed, begun, responses, socket } = await open()
  client.write(get("/other") + get("/large/1") + get("/large/2"))
  await vi.waitFor(() => expect(parsed).toHaveLength(3), { interval: 5 })
  client.destroy()
  await once(socket(), "close")
  responses.get("/other")!.end("late")
  await new Promise(setImmediate)
  expect(begun).toEqual(["/other"])
})
