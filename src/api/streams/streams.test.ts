import { getEventListeners, once } from "node:events"
import { get, type IncomingMessage } from "node:http"
import { connect, type Socket } from "node:net"
import { afterEach, expect, test, vi } from "vitest"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock, quiesce } from "../../testing/clock.ts"
import { openTestApi, type TestApi, testEvent } from "../api.fixture.ts"
import { logAnswersWithinMs } from "../deadline.ts"
import { exportsMax } from "../export.ts"
import { partBytes } from "./live-feed.ts"
import { Part, Unsent } from "./unsent.ts"

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function open(options: Parameters<typeof openTestApi>[0] = {}): Promise<TestApi> {
  const api = await openTestApi(options)
  closing.push(() => api.close())
  return api
}

/** A connection that has sent a GET and reads nothing until it is told to. */
function ask({ url }: TestApi, path: string): Socket {
  const socket = connect(Number(new URL(url).port), "127.0.0.1").on("error", () => {})
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\r\n`)
  closing.push(() => socket.destroy())
  return socket
}

function follow({ url }: TestApi, path: string): Promise<{ readonly response: IncomingMessage; text(): string }> {
  return new Promise((resolve, reject) => {
    const request = get(url + path, { headers: { authorization: "Bearer admin" } }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (more: string) => {
        text += more
      })
      response.on("error", () => {})
      resolve({ response, text: () => text })
    })
    request.on("error", reject)
    closing.push(() => request.destroy())
  })
}

const idsIn = (text: string) => [...text.matchAll(/^data: \{"specversion":"1.0","id":"([^"]*)"/gm)].map(([, id]) => id)

test.each([1, 2, 3])(
  "every client gets what it asked for, once and in order, however it reads (seed %i)",
  async (seed) => {
    const chance = createSimulatedChance(seed)
    const upTo = (count: number) => Math.floor(chance.next() * count)
    const api = await open()
    await api.call("POST", "/v1/topics", { id: "t" })
    const data = Buffer.from(JSON.stringify("x".repeat(2_000)))
    const all: { readonly id: string; readonly key: string }[] = []
    const append = async (count: number) => {
      const key = String(upTo(3))
      const ids = Array.from({ length: count }, (_, i) => `${upTo(4)}-${all.length + i}`)
      all.push(...ids.map((id) => ({ id, key })))
      await api.engine.log.append(
        { tenant: "default", topic: "t", key },
        ids.map((id) => testEvent(id, data)),
      )
    }
    const clients: { readonly text: () => string; readonly expected: () => readonly string[] }[] = []
    const join = async () => {
      const key = upTo(2) === 0 ? String(upTo(3)) : undefined
      const first = upTo(2) === 0 ? String(upTo(4)) : undefined
      const from = upTo(2) === 0 ? 0 : all.length
      const filters = first === undefined ? "" : `&filters=${encodeURIComponent(`[{"prefix":{"id":"${first}"}}]`)}`
      const path = `/v1/topics/t${key === undefined ? "" : `:${key}`}/stream?from=${from === 0 ? "oldest" : "newest"}${filters}`
      const { response, text } = await follow(api, path)
      if (upTo(2) === 0) {
        response.pause()
        setTimeout(() => response.resume(), upTo(300))
      }
      const is = (each: { readonly id: string; readonly key: string }) =>
        (key === undefined || each.key === key) && (first === undefined || each.id.startsWith(first))
      clients.push({
        text,
        expected: () =>
          all
            .slice(from)
            .filter(is)
            .map(({ id }) => id),
      })
    }
    for (let step = 0; step < 60; step++) {
      if (upTo(3) === 0) await join()
      else await append(1 + upTo(upTo(4) === 0 ? 400 : 20))
    }
    const isThere = () => clients.every(({ text, expected }) => idsIn(text()).length >= expected().length)
    await vi.waitFor(() => expect(isThere()).toBe(true), { interval: 20, timeout: 15_000 })
    for (const { text, expected } of clients) expect(idsIn(text())).toEqual(expected())
    expect(api.figures()).toMatchObject({ api_streams_open: clients.length, api_streams_cut_total: 0 })
  },
  30_000,
)

test("clients that never read hold the same text together, and hold up nobody", async () => {
  const api = await open()
  await api.call("POST", "/v1/topics", { id: "t" })
  const count = 200
  const silent = Array.from({ length: count }, () => ask(api, "/v1/topics/t/stream?from=oldest"))
  await vi.waitFor(() => expect(api.figures().api_streams_open).toBe(count), { interval: 5, timeout: 10_000 })
  const reading = await follow(api, "/v1/topics/t/stream?from=oldest")
  const data = Buffer.from(JSON.stringify("x".repeat(20_000)))
  let [last, most] = [0, 0]
  for (let i = 0; i < 40; i++) {
    await api.engine.log.append(
      { tenant: "default", topic: "t" },
      Array.from({ length: 10 }, () => testEvent(String(last++), data)),
    )
    expect((await api.call("GET", "/healthz")).status).toBe(200)
    most = Math.max(most, api.figures().api_streams_unsent_bytes!)
  }
  await vi.waitFor(() => expect(idsIn(reading.text())).toHaveLength(last), { interval: 20, timeout: 15_000 })
  // Each for itself, they would hold a part or more each.
  expect(most).toBeLessThan((count * partBytes) / 2)
  for (const socket of silent) socket.destroy()
  await vi.waitFor(() => expect(api.figures().api_streams_open).toBe(1), { interval: 5, timeout: 5_000 })
}, 40_000)

test("a log that does not answer is a 503 in time, and nothing of the stream stays behind", async () => {
  const clock = createSimulatedClock(Date.now())
  const real = await open()
  await real.append("t", ["1"])
  const { log } = real.engine
  const hanging = new Proxy(log, {
    get(target, name) {
      if (name === "head") return () => new Promise(() => {})
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
  const api = await open({ engine: { ...real.engine, log: hanging }, clock })
  const listeners = getEventListeners(api.stop.signal, "abort").length
  for (const path of ["/v1/topics/t/stream", "/v1/topics/t/stream?from=oldest", "/v1/topics/t/events?limit=all"]) {
    let over = false
    const answer = api.call("GET", path).finally(() => {
      over = true
    })
    while (!over) {
      await clock.advance(logAnswersWithinMs)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(await answer).toMatchObject({ status: 503, body: { code: "overloaded" } })
    expect((await answer).headers.get("retry-after")).toBe("5")
  }
  expect(getEventListeners(api.stop.signal, "abort")).toHaveLength(listeners)
  expect(api.figures()).toMatchObject({ api_streams_open: 0, api_exports_open: 0 })
})

test("a log that breaks ends its streams, and the next client begins anew", async () => {
  const real = await open()
  await real.append("t", ["1"])
  const { log } = real.engine
  let broken = 0
  let fail = () => {}
  const breaks = new Promise<void>((resolve) => {
    fail = resolve
  })
  const breaking = new Proxy(log, {
    get(target, name) {
      if (name === "read") {
        return (options: Parameters<typeof log.read>[0]) => {
          if (options.follow === undefined || broken++ > 0) return target.read(options)
          return (async function* () {
            yield* []
            await breaks
            throw new Error("no leader")
          })()
        }
      }
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
  const api = await open({ engine: { ...real.engine, log: breaking } })
  const first = await follow(api, "/v1/topics/t/stream")
  fail()
  await once(first.response, "end")
  expect(first.text()).toContain(": the log cannot be followed at present")
  const second = await follow(api, "/v1/topics/t/stream?from=oldest")
  await vi.waitFor(() => expect(idsIn(second.text())).toEqual(["1"]), { interval: 5 })
})

test("a tenant has half of the exports at most, and another one can export all the same", async () => {
  const api = await open()
  const data = Buffer.from(JSON.stringify("x".repeat(400_000)))
  for (let i = 0; i < 30; i++) await api.append("t", [String(i)], data)
  const other = { authorization: "Bearer other" }
  await api.call("POST", "/v1/topics", { id: "t" }, other)
  const path = "/v1/topics/t/events?limit=all"
  const half = exportsMax / 2
  const sockets = Array.from({ length: half }, () => ask(api, path))
  await vi.waitFor(() => expect(api.figures().api_exports_open).toBe(half), { interval: 5, timeout: 10_000 })
  const refused = await api.call("GET", path)
  const detail = `tenant default has ${half} exports open already, as many as one may; try again later, or read by page`
  expect(refused).toMatchObject({ status: 503, body: { detail } })
  expect(refused.headers.get("retry-after")).toBe("5")
  expect(await api.call("GET", path, undefined, other)).toMatchObject({ status: 200, text: "" })
  for (const socket of sockets) socket.destroy()
  await vi.waitFor(() => expect(api.figures().api_exports_open).toBe(0), { interval: 5, timeout: 5_000 })
}, 30_000)

test("what waits for clients has a bound together, and the longest stuck goes first", async () => {
  const unsent = new Unsent(100)
  const sent: (() => void)[] = []
  const response = { write: (_: Uint8Array, done: () => void) => sent.push(done) && false } as never
  const cut: string[] = []
  const shared = new Part(Buffer.alloc(60))
  for (const name of ["a", "b", "c"]) {
    unsent.write(response, shared)
    unsent.stuck(() => cut.push(name))
  }
  // One text for three is counted once.
  expect([unsent.bytes, cut]).toEqual([60, []])
  unsent.write(response, new Part(Buffer.alloc(50)))
  unsent.stuck(() => cut.push("d"))
  expect([unsent.bytes, cut]).toEqual([110, ["a"]])
  for (const done of sent) done()
  expect(unsent.bytes).toBe(0)
  await quiesce()
})
