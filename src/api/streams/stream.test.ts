import { get, type IncomingMessage } from "node:http"
import { connect } from "node:net"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi, testEvent } from "../api.fixture.ts"
import { heartbeatMs, stallMs } from "../listener.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.append("orders", ["before"])
})
afterAll(() => api.close())

interface Stream {
  readonly response: IncomingMessage
  /** All text so far, once it holds `text` and the end of what that is in. */
  until(text: string): Promise<string>
  readonly ended: Promise<void>
  close(): void
}

function open(url: string, path: string, headers: Record<string, string> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const request = get(url + path, { headers: { authorization: "Bearer admin", ...headers } }, (response) => {
      let all = ""
      const waiting = new Set<() => void>()
      response.setEncoding("utf8").on("data", (text: string) => {
        all += text
        for (const look of waiting) look()
      })
      const until = (text: string) =>
        new Promise<string>((done) => {
          let [at, looked] = [-1, 0]
          const look = () => {
            if (at < 0) at = all.indexOf(text, looked)
            looked = Math.max(0, all.length - text.length)
            if (at < 0 || !all.includes("\n\n", at)) return
            waiting.delete(look)
            done(all)
          }
          waiting.add(look)
          look()
        })
      const ended = new Promise<void>((done) => response.once("close", done))
      resolve({ response, until, ended, close: () => request.destroy() })
    })
    request.once("error", reject)
  })
}

const idsIn = (text: string): string[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => (JSON.parse(data!) as { id: string }).id)

test("what comes is sent at once, with its cursor as id; what was there is not", async () => {
  const stream = await open(api.url, "/v1/topics/orders/stream")
  expect(stream.response.headers["content-type"]).toMatch(/^text\/event-stream/)
  const head = await stream.until("id: ")
  expect(head).toBe(`retry: 1000\nid: ${await api.engine.log.head()}\n\n`)
  const [cursor] = await api.append("orders:9", ["live"])
  const text = await stream.until('"live"')
  expect(text).toContain(`\n\nid: ${cursor}\ndata: {"specversion":"1.0","id":"live"`)
  expect(idsIn(text)).toEqual(["live"])
  stream.close()
})

test("it begins where from says, and Last-Event-ID wins", async () => {
  const [a] = await api.append("resumed", ["a", "b", "c"])
  const all = await open(api.url, "/v1/topics/resumed/stream?from=oldest")
  expect(idsIn(await all.until('"id":"c"'))).toEqual(["a", "b", "c"])
  all.close()
  const rest = await open(api.url, "/v1/topics/resumed/stream?from=oldest", { "last-event-id": a! })
  expect(idsIn(await rest.until('"id":"c"'))).toEqual(["b", "c"])
  rest.close()
  const wrong = await api.call("GET", "/v1/topics/resumed/stream", undefined, { "last-event-id": "nonsense" })
  expect([wrong.status, wrong.body.errors[0].field]).toEqual([400, "Last-Event-ID"])
})

test("filters and keys hold", async () => {
  await api.append("mixed:1", ["x"])
  const filters = encodeURIComponent('[{"prefix":{"id":"y"}}]')
  const stream = await open(api.url, `/v1/topics/mixed:1/stream?from=oldest&filters=${filters}`)
  await api.append("mixed:2", ["y-other"])
  await api.append("mixed:1", ["z", "y-1"])
  expect(idsIn(await stream.until('"y-1"'))).toEqual(["y-1"])
  stream.close()
})

test("data on several lines stays one field", async () => {
  const stream = await open(api.url, "/v1/topics/orders/stream")
  await stream.until("id: ")
  await api.append("orders", ["pretty"], Buffer.from('{\r\n"a":\n1}'))
  const text = await stream.until('"pretty"')
  expect(JSON.parse(/^data: (.*)$/m.exec(text)![1]!)).toMatchObject({ data: { a: 1 } })
  stream.close()
})

test("it ends when the hub stops, and no new one begins", async () => {
  const own = await openTestApi()
  try {
    await own.append("orders", ["1"])
    const stream = await open(own.url, "/v1/topics/orders/stream")
    own.stop.abort()
    expect(await stream.until("stopping")).toContain(": the hub is stopping\n\n")
    await stream.ended
    expect((await own.call("GET", "/v1/topics/orders/stream")).status).toBe(503)
  } finally {
    await own.close()
  }
})

test("a heartbeat says how far it has come, every 15 s where nothing is sent", async () => {
  const clock = createSimulatedClock(Date.now())
  const own = await openTestApi({ clock })
  try {
    await own.append("orders", ["1"])
    const filters = encodeURIComponent('[{"exact":{"id":"never"}}]')
    const stream = await open(own.url, `/v1/topics/orders/stream?filters=${filters}`)
    const begin = await stream.until("id: ")
    await clock.advance(heartbeatMs)
    const beat = await stream.until(":\n")
    expect(beat.slice(begin.length)).toMatch(/^:\nid: [0-9a-z]+\n\n$/)
    const seen = /:\nid: (\S+)/.exec(beat)![1]!
    expect(own.engine.log.compare(seen as never, await own.engine.log.head())).toBeLessThanOrEqual(0)
    stream.close()
  } finally {
    await own.close()
  }
})

test("a client that takes nothing is cut off, and resumes", async () => {
  const clock = createSimulatedClock(Date.now())
  const own = await openTestApi({ clock })
  try {
    await own.call("POST", "/v1/topics", { id: "flood" })
    const data = Buffer.from(JSON.stringify("x".repeat(200_000)))
    const address = { tenant: "default", topic: "flood" }
    const cursors: Cursor[] = []
    for (let i = 0; i < 100; i++) {
      const [appended] = await own.engine.log.append(address, [testEvent(String(i), data)])
      cursors.push(appended!.cursor)
    }
    const socket = connect(Number(new URL(own.url).port), "127.0.0.1")
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
    socket.on("error", () => {})
    socket.write("GET /v1/topics/flood/stream?from=oldest HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\r\n")
    socket.pause()
    // Simulated time passes while the connection fills up for real; once it is full, the stall's time begins.
    for (let ms = 0; ms < 2 * stallMs; ms += 1_000) {
      await clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    socket.resume()
    await closed
    const last = cursors.at(-2)!
    const again = await open(own.url, "/v1/topics/flood/stream", { "last-event-id": last })
    expect(idsIn(await again.until("data: "))).toEqual(["99"])
    again.close()
  } finally {
    await own.close()
  }
})
