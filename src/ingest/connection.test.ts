import { once } from "node:events"
import { afterEach, describe, expect, it, vi } from "vitest"
import { ClosedError, OverloadError } from "../core/errors.ts"
import { createSimulatedClock, type SimulatedClock } from "../testing/clock.ts"
import { drainBytesMax } from "./answer.ts"
import { type Fixture, type FixtureOptions, openFixture } from "./fixture.ts"
import { idlePacesMax, paceBytes, paceMs } from "./pace.ts"

const head = (lines: readonly string[]) =>
  ["POST /v1/topics/a/events HTTP/1.1", "host: x", "authorization: Bearer good", ...lines, "", ""].join("\r\n")
const structured = "content-type: application/cloudevents+json"
const ndjson = "content-type: application/x-ndjson"
const event = (id: string, data?: string) => JSON.stringify({ specversion: "1.0", id, source: "/s", type: "t", data })
const post = (body: string) => head([structured, `content-length: ${body.length}`]) + body

let open: Fixture | undefined
async function start(options?: FixtureOptions): Promise<Fixture> {
  open = await openFixture(options)
  return open
}
afterEach(async () => {
  await open?.close()
  open = undefined
})

/** Resolves when nothing of any body is held any more. */
function nothingHeld(hub: Fixture): Promise<void> {
  return vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(0), { interval: 1, timeout: 5_000 })
}

/** An append that waits until it is let go. */
function gate() {
  const gates: (() => void)[] = []
  const pieces: number[] = []
  let reached = () => {}
  return {
    pieces,
    beforeAppend(events: number) {
      pieces.push(events)
      reached()
      return new Promise<void>((resolve) => gates.push(resolve))
    },
    /** Resolves when `count` appends have begun. */
    async begun(count: number) {
      while (pieces.length < count) {
        await new Promise<void>((resolve) => {
          reached = resolve
        })
      }
    },
    letGo() {
      for (const go of gates.splice(0)) go()
    },
  }
}

describe("a connection", () => {
  it("is told to continue when it asks", async () => {
    const hub = await start()
    const { socket, read } = await hub.socket()
    const body = event("1")
    socket.write(head([structured, `content-length: ${body.length}`, "expect: 100-continue"]))
    expect(await read("\r\n\r\n")).toBe("HTTP/1.1 100 Continue\r\n\r\n")
    socket.write(body)
    expect(await read('"cursor"')).toContain("202 Accepted")
  })

  it("serves several requests that came at once, in order", async () => {
    const hub = await start()
    const { socket, read } = await hub.socket()
    socket.write(post(event("1")) + post("nonsense") + post(event("2")))
    const text = await read('{"id":"2"')
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 202", "HTTP/1.1 400", "HTTP/1.1 202"])
  })

  it("takes a body byte by byte", async () => {
    const hub = await start()
    const { socket, read } = await hub.socket()
    socket.setNoDelay(true)
    socket.write(head([structured, "transfer-encoding: chunked"]))
    for (const byte of event("1")) {
      socket.write(`1\r\n${byte}\r\n`)
      await new Promise(setImmediate)
    }
    socket.write("0\r\n\r\n")
    expect(await read('"cursor"')).toContain("202 Accepted")
    expect(hub.ingest.bodyBytes).toBe(0)
  })

  it("leaves nothing behind when it ends in the middle of a body", async () => {
    const hub = await start()
    const { socket } = await hub.socket()
    socket.write(`${head([structured, "content-length: 1000"])}{"specversion":`)
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(15), { interval: 1 })
    socket.destroy()
    await nothingHeld(hub)
    expect(hub.bugs).toEqual([])
  })

  it("leaves nothing behind when it ends before the answer", async () => {
    const gated = gate()
    const hub = await start(gated)
    const { socket } = await hub.socket()
    socket.write(post(event("1")))
    await gated.begun(1)
    socket.destroy()
    await once(socket, "close")
    gated.letGo()
    await nothingHeld(hub)
    expect(hub.bugs).toEqual([])
    expect(await hub.stored("a")).toHaveLength(1)
  })

  it("leaves nothing behind when it ends in the middle of lines", async () => {
    const hub = await start()
    const { socket } = await hub.socket()
    socket.write(`${head([ndjson, "content-length: 100000"])}${event("1")}\n{"spec`)
    // What has come is stored although the rest has not.
    await vi.waitFor(async () => expect(await hub.stored("a")).toHaveLength(1), { interval: 2 })
    // What is held is what has come and is not on disk: the begun line, and the answer.
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBeLessThan(100), { interval: 1 })
    expect(hub.ingest.bodyBytes).toBeGreaterThan(6)
    socket.destroy()
    await nothingHeld(hub)
    expect(hub.bugs).toEqual([])
  })

  it("can be used again after a refusal before its body", async () => {
    const hub = await start()
    const { socket, read } = await hub.socket()
    const body = "x".repeat(600_000)
    socket.write(head([structured.replace("json", "xml"), `content-length: ${body.length}`]))
    await read("415 Unsupported")
    socket.write(body)
    socket.write(post(event("1")))
    expect(await read('"cursor"')).toContain("202 Accepted")
  })

  it.each([
    ["by its head", "content-type: application/cloudevents+xml", "415 Unsupported Media Type"],
    ["in the middle of its body", structured, "413 Payload Too Large"],
  ])("is cut when it goes on and on after a refusal %s", async (_, type, status) => {
    const hub = await start()
    const { socket, read } = await hub.socket()
    socket.write(head([type, "transfer-encoding: chunked"]))
    const chunk = Buffer.from(`10000\r\n${"x".repeat(0x10000)}\r\n`)
    let sent = 0
    while (!socket.destroyed && sent < 8 * drainBytesMax) {
      sent += chunk.length
      if (!socket.write(chunk)) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {})
    }
    if (!socket.destroyed) await once(socket, "close")
    expect(await read(status)).toContain("application/problem+json")
    expect(hub.ingest.bodyBytes).toBe(0)
  })
})

describe("lines", () => {
  it("wait for the disk, and the sender with them", async () => {
    const gated = gate()
    const hub = await start(gated)
    const { socket, read } = await hub.socket()
    const filling = "x".repeat(1_000)
    let sent = 0
    const send = (events: number) => {
      const lines = Array.from({ length: events }, () => `${event(`e${sent++}`, filling)}\n`).join("")
      return socket.write(`${lines.length.toString(16)}\r\n${lines}\r\n`)
    }
    socket.write(head([ndjson, "transfer-encoding: chunked"]))
    send(1_100)
    // The topic is made before the first piece goes to the log.
    await gated.begun(1)
    // What the hub's memory and the sockets' buffers do not hold stays with the sender.
    while (send(60) || !(await isHeld(socket))) expect(sent).toBeLessThan(50_000)
    expect(gated.pieces).toHaveLength(1)
    expect(hub.ingest.bodyBytes).toBeLessThan(4 << 20)
    socket.write("0\r\n\r\n")
    gated.letGo()
    for (let piece = 2; !(await isDone(read, gated.begun(piece))); piece++) gated.letGo()
    expect(await read(`{"id":"e${sent - 1}"`)).toContain(`{"accepted":${sent},"rejected":0,`)
    expect(Math.max(...gated.pieces)).toBeLessThan(3_000)
    const ids = (await hub.stored("a")).map(({ event }) => event.id)
    expect(ids).toEqual(Array.from({ length: sent }, (_, i) => `e${i}`))
    expect(hub.ingest.bodyBytes).toBe(0)
  })

  it("have a limit of their number; what came before is stored", async () => {
    const hub = await start({ limits: { bulk: { eventsMax: 3, bodyBytesMax: 1 << 20 } } })
    const body = ["1", "2", "3", "4", "5"].map((id) => event(id)).join("\n")
    expect(await hub.post("a", { "content-type": "application/x-ndjson" }, body)).toMatchObject({
      status: 207,
      body: {
        accepted: 3,
        rejected: 1,
        results: [{ id: "1" }, { id: "2" }, { id: "3" }, { index: 3, error: { code: "too-large" } }],
      },
    })
  })

  it("have a limit of their bytes, said beforehand or not", async () => {
    const hub = await start({ limits: { bulk: { eventsMax: 1000, bodyBytesMax: 1_000 } } })
    const many = Array.from({ length: 100 }, (_, i) => `${event(`${i}`)}\n`)
    expect((await hub.post("a", { "content-type": "application/x-ndjson" }, many.join(""))).status).toBe(413)
    async function* unsaid() {
      for (const line of many) {
        yield line
        await new Promise(setImmediate)
      }
    }
    const { status, body } = await hub.post("a", { "content-type": "application/x-ndjson" }, unsaid())
    expect(status).toBe(207)
    expect(body.results.at(-1)).toMatchObject({ error: { code: "too-large" } })
    expect(body.accepted).toBeGreaterThan(10)
    expect(await hub.stored("a")).toHaveLength(body.accepted)
    await nothingHeld(hub)
  })

  it("that could not be stored keep later ones from being stored before them", async () => {
    let calls = 0
    const hub = await start({
      beforeAppend() {
        calls++
        if (calls === 2) throw new OverloadError(2_500)
      },
    })
    const body = Array.from({ length: 5_000 }, (_, i) => event(`e${i}`)).join("\n")
    const answer = await hub.post("a", { "content-type": "application/x-ndjson" }, body)
    expect(answer.status).toBe(207)
    expect(answer.body.results).toHaveLength(5_000)
    const stored = await hub.stored("a")
    expect(stored).toHaveLength(answer.body.accepted)
    expect(answer.body.results[stored.length]).toMatchObject({ index: stored.length, error: { code: "overloaded" } })
    expect(answer.body.accepted + answer.body.rejected).toBe(5_000)
    expect(calls).toBe(2)
  })
})

describe("a slow body", () => {
  /** Time passes for bodies, a pace at a time, while sockets work. */
  async function pass(clock: SimulatedClock, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      await clock.advance(paceMs)
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    }
  }

  it.each([
    ["whose rest does not come", `{"specversion":"1.0"`],
    ["of which nothing comes", ""],
  ])("%s is answered 408, and its connection ends", async (_, begin) => {
    const clock = createSimulatedClock(Date.now())
    const hub = await start({ clock })
    const { socket, read } = await hub.socket()
    socket.write(head([structured, "content-length: 100000"]) + begin)
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(begin.length), { interval: 1 })
    const closed = once(socket, "close")
    await pass(clock, 3)
    const text = await read("too-slow")
    expect(text).toContain("HTTP/1.1 408 Request Timeout")
    expect(text.toLowerCase()).toContain("connection: close")
    await closed
    expect(hub.ingest.bodyBytes).toBe(0)
  })

  it("that keeps the least rate is taken", async () => {
    const clock = createSimulatedClock(Date.now())
    const hub = await start({ clock })
    const { socket, read } = await hub.socket()
    const body = event("1", "x".repeat(300_000))
    socket.write(head([structured, `content-length: ${body.length}`]))
    let sent = 0
    while (sent < body.length) {
      socket.write(body.slice(sent, sent + paceBytes))
      sent = Math.min(sent + paceBytes, body.length)
      const held = sent
      if (sent < body.length) await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(held), { interval: 1 })
      await pass(clock, 1)
    }
    expect(await read('"cursor"')).toContain("202 Accepted")
  })

  it("of lines keeps what came, and says what did not", async () => {
    const clock = createSimulatedClock(Date.now())
    const hub = await start({ clock })
    const { socket, read } = await hub.socket()
    socket.write(`${head([ndjson, "content-length: 100000"])}${event("1")}\n{"spec`)
    await vi.waitFor(async () => expect(await hub.stored("a")).toHaveLength(1), { interval: 2 })
    const closed = once(socket, "close")
    await pass(clock, 3)
    const text = await read("too-slow")
    expect(text).toContain("207 Multi-Status")
    expect(text).toContain('{"accepted":1,"rejected":1,"results":[{"id":"1"')
    await closed
    await nothingHeld(hub)
  })

  it("of lines that come now and then is waited for, while nothing is held of it", async () => {
    const clock = createSimulatedClock(Date.now())
    const hub = await start({ clock })
    const { socket, read } = await hub.socket()
    socket.write(head([ndjson, "transfer-encoding: chunked"]))
    const line = (id: string) => `${(event(id).length + 1).toString(16)}\r\n${event(id)}\n\r\n`
    for (let i = 1; i <= 5; i++) {
      socket.write(line(String(i)))
      await vi.waitFor(async () => expect(await hub.stored("a")).toHaveLength(i), { interval: 2 })
      await pass(clock, idlePacesMax)
    }
    await pass(clock, 2)
    expect(await read("too-slow")).toContain('{"accepted":5,"rejected":1,')
  })
})

describe("the hub", () => {
  it("takes events while many uploads bring nothing, or part of what they said", async () => {
    const hub = await start({ limits: { bodiesInFlightBytesMax: 4 << 20 } })
    for (let i = 0; i < 44; i++) {
      const { socket } = await hub.socket()
      socket.write(head([ndjson, "content-length: 60000000"]))
      if (i === 0) socket.write("x".repeat(1 << 20))
    }
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(1 << 20), { interval: 2 })
    expect((await hub.post("a", { "content-type": "application/x-ndjson" }, event("1"))).status).toBe(202)
    expect((await hub.post("a", { "content-type": "application/cloudevents+json" }, event("2"))).status).toBe(202)
  })

  it("has room for small events where large bodies hold all that they may", async () => {
    const hub = await start({ limits: { bodiesInFlightBytesMax: 1 << 20 } })
    for (const [i, bytes] of [390_000, 390_000].entries()) {
      const { socket } = await hub.socket()
      socket.write(`${head([structured, "content-length: 500000"])}${"x".repeat(bytes)}`)
      await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe((i + 1) * bytes), { interval: 1 })
    }
    const large = await hub.post(
      "a",
      { "content-type": "application/cloudevents+json" },
      event("1", "x".repeat(200_000)),
    )
    expect(large.status).toBe(503)
    const small = await hub.post(
      "a",
      { "content-type": "application/cloudevents+json" },
      event("1", "x".repeat(50_000)),
    )
    expect(small.status).toBe(202)
  })

  it("counts the answer to lines until it is taken", async () => {
    const hub = await start()
    const { socket } = await hub.socket()
    socket.pause()
    const lines = "{}\n".repeat(90_000)
    socket.write(head([ndjson, `content-length: ${lines.length}`]) + lines)
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBeGreaterThan(9_000_000), { interval: 5, timeout: 10_000 })
    socket.destroy()
    await nothingHeld(hub)
  })

  it("holds so many bodies and no more", async () => {
    const hub = await start({ limits: { bodiesInFlightBytesMax: 1_000 } })
    const { socket } = await hub.socket()
    socket.write(`${head([structured, "content-length: 2000"])}${"x".repeat(900)}`)
    await vi.waitFor(() => expect(hub.ingest.bodyBytes).toBe(900), { interval: 1 })
    const refused = await hub.post(
      "a",
      { "content-type": "application/cloudevents+json" },
      event("1") + " ".repeat(200),
    )
    expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "1" }, body: { code: "overloaded" } })
    const lines = await hub.post("a", { "content-type": "application/x-ndjson" }, `${event("1")}\n`.repeat(10))
    expect(lines.status).toBe(503)
    socket.destroy()
    await nothingHeld(hub)
    expect((await hub.post("a", { "content-type": "application/cloudevents+json" }, event("1"))).status).toBe(202)
    expect(hub.ingest.bodyBytes).toBe(0)
  })

  it("says so when it is overloaded, and when to come again", async () => {
    const hub = await start({
      beforeAppend() {
        throw new OverloadError(2_500)
      },
    })
    const type = (subtype: string) => ({ "content-type": `application/${subtype}` })
    for (const answer of [
      await hub.post("a", type("cloudevents+json"), event("1")),
      await hub.post("a", type("cloudevents-batch+json"), `[${event("1")}]`),
      await hub.post("a", type("x-ndjson"), event("1")),
    ]) {
      expect(answer).toMatchObject({ status: 503, headers: { "retry-after": "3" }, body: { code: "overloaded" } })
    }
  })

  it("says so when the disk is full", async () => {
    const hub = await start({ reserveBytes: Number.MAX_SAFE_INTEGER })
    const answer = await hub.post("a", {}, "x")
    expect(answer).toMatchObject({ status: 507, body: { code: "storage-full" } })
  })

  it("says so when it is stopping", async () => {
    const hub = await start({
      beforeAppend() {
        throw new ClosedError()
      },
    })
    expect(await hub.post("a", {}, "x")).toMatchObject({ status: 503, headers: { "retry-after": "1" } })
  })

  it("answers 500 for what should not happen, and says so to its log", async () => {
    const bug = new TypeError("a bug")
    const hub = await start({
      beforeAppend() {
        throw bug
      },
    })
    const type = (subtype: string) => ({ "content-type": `application/${subtype}` })
    for (const answer of [
      await hub.post("a", type("cloudevents+json"), event("1")),
      await hub.post("a", type("cloudevents-batch+json"), `[${event("1")}]`),
      await hub.post("a", type("x-ndjson"), event("1")),
    ]) {
      expect(answer).toMatchObject({
        status: 500,
        body: { code: "internal", detail: "the hub failed; its log says why" },
      })
    }
    expect(hub.bugs).toEqual([bug, bug, bug])
    expect(hub.ingest.bodyBytes).toBe(0)
  })

  it("makes no topics where that is switched off", async () => {
    const hub = await start({ limits: { topicsAutoCreate: false } })
    expect(await hub.post("a", {}, "x")).toMatchObject({
      status: 404,
      body: { code: "not-found", detail: expect.stringContaining("POST /v1/topics") },
    })
    await hub.topics.ensure("default", "a")
    expect((await hub.post("a", {}, "x")).status).toBe(202)
  })

  it("counts what was published", async () => {
    const hub = await start({ limits: { eventBytesMax: 1_000 } })
    const type = (subtype: string) => ({ "content-type": `application/${subtype}` })
    const large = JSON.stringify({ ...JSON.parse(event("9")), data: "x".repeat(1_000) })
    await hub.post("a", type("cloudevents+json"), event("1"))
    await hub.post("a", type("cloudevents-batch+json"), `[${event("1")},{},${event("2")},${large}]`)
    await hub.post("a", type("x-ndjson"), `${event("2")}\n{}\n${event("3")}\n${large}`)
    await hub.post("a", type("cloudevents+json"), "x")
    const sum = (name: "accepted" | "duplicates" | "refused" | "bytes") =>
      hub.counts.reduce((sum, counts) => sum + counts[name], 0)
    expect([sum("accepted"), sum("duplicates"), sum("refused")]).toEqual([3, 2, 5])
    expect(sum("bytes")).toBe(3 * event("1").length)
  })
})

/** Whether the socket's buffer stays full although the hub had time to empty it. */
async function isHeld(socket: import("node:net").Socket): Promise<boolean> {
  for (let turn = 0; turn < 200; turn++) {
    if (!socket.writableNeedDrain) return false
    await new Promise(setImmediate)
  }
  return true
}

async function isDone(read: (until: string) => Promise<string>, begun: Promise<void>): Promise<boolean> {
  return Promise.race([read('"accepted"').then(() => true), begun.then(() => false)])
}
