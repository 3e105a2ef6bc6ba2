import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { deliveryId } from "../src/core/delivery.ts"
import { Event } from "../src/core/event.ts"
import { openEmbeddedDirectory } from "../src/engines/embedded/engine.ts"
import { systemClock } from "../src/telemetry/clock.ts"
import { inTurn, type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { startBaseline, startHubProcess } from "./process.ts"
import { eventText, nextId } from "./requests.ts"

const address = { tenant: "default", topic: "bench" }

/** Reading from the oldest, over HTTP and inside the engine; what a start with many events takes; idle memory. */
export const read: Scenario = async function* ({ quick }) {
  const directory = await mkdtemp(join(tmpdir(), "redcar-bench-"))
  const events = quick ? 500_000 : 5_000_000
  try {
    await fill(directory, events)
    yield* inside(directory, events, quick ? 3 : 5)
    yield* start(directory, events)
    yield* rebuild(directory, events)
    yield* overHttp(directory, quick ? 3 : 5)
    yield* idle()
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function open(directory: string) {
  return openEmbeddedDirectory(directory, { clock: systemClock })
}

async function fill(directory: string, events: number): Promise<void> {
  const engine = await open(directory)
  const id = nextId()
  const parts = JSON.parse(eventText("x")) as Record<string, string>
  const { data, ...attributes } = parts
  const bytes = Buffer.from(JSON.stringify(data))
  for (let done = 0; done < events; done += 5_000) {
    const batch = Array.from({ length: 5_000 }, () => Event.of({ ...attributes, id: id() }, bytes, "json"))
    await engine.log.append(address, batch, { dedupeWindowMs: 86_400_000 })
  }
  await engine.close()
}

async function* inside(directory: string, events: number, rounds: number): AsyncIterable<Measure> {
  const engine = await open(directory)
  const scan = async () => {
    const startedAt = performance.now()
    let count = 0
    for await (const batch of engine.log.read({ where: address, from: "oldest" })) count += batch.events.length
    if (count !== events) throw new Error(`read ${count} of ${events}`)
    return (count / (performance.now() - startedAt)) * 1000
  }
  const files = await startBaseline("scan.ts", join(directory, "log"))
  const bare = async () => {
    const answer = await fetch(`http://127.0.0.1:${files.port}/`)
    return (events / ((await answer.json()) as { ms: number }).ms) * 1000
  }
  const [ours, theirs] = await inTurn(rounds, scan, bare)
  yield measure("read, inside the engine", "events/s", medianOf(ours, Number), medianOf(theirs, Number))
  await files.stop()
  await engine.close()
}

async function* start(directory: string, events: number): AsyncIterable<Measure> {
  const opens = async () => {
    const startedAt = performance.now()
    const engine = await open(directory)
    const ms = performance.now() - startedAt
    await engine.close()
    return ms
  }
  const empty = async () => {
    const other = await mkdtemp(join(tmpdir(), "redcar-bench-"))
    const startedAt = performance.now()
    const engine = await open(other)
    const ms = performance.now() - startedAt
    await engine.close()
    await rm(other, { recursive: true, force: true })
    return ms
  }
  const [full, fresh] = await inTurn(3, opens, empty)
  const name = `open a log of ${events.toLocaleString("en")} events`
  yield measure(name, "ms", medianOf(full, Number), medianOf(fresh, Number), true)
}

/** What it takes to make the state anew, with a delivery owed to each event of which nine in ten are done. */
async function* rebuild(directory: string, events: number): AsyncIterable<Measure> {
  const name = (what: string) => `${what} of ${events.toLocaleString("en")} events`
  const before = await bytesIn(join(directory, "log"))
  await owe(directory)
  const journal = (await bytesIn(join(directory, "log"))) - before
  yield measure(name("the log's growth by a delivery to each"), "bytes/event", journal / events, before / events, true)
  const files = await startBaseline("scan.ts", join(directory, "log"))
  const bare = async () => ((await (await fetch(`http://127.0.0.1:${files.port}/`)).json()) as { ms: number }).ms
  const ours = async () => {
    const startedAt = performance.now()
    const engine = await openEmbeddedDirectory(directory, { clock: systemClock, rebuild: true })
    const ms = performance.now() - startedAt
    await engine.close()
    return ms
  }
  const [anew, scan] = await inTurn(3, ours, bare)
  yield measure(name("make the state anew"), "ms", medianOf(anew, Number), medianOf(scan, Number), true)
  await files.stop()
}

async function owe(directory: string): Promise<void> {
  const engine = await open(directory)
  const { queue, log } = engine
  const lane = "default/there"
  let done = 0
  for await (const { events, next } of log.read({ where: address })) {
    const deliveries = events.map(({ cursor }) => ({
      id: deliveryId(cursor, "bench", "0"),
      tenant: "default",
      trigger: "bench",
      incarnation: "0",
      destination: "there",
      cursor,
      fingerprint: 1,
    }))
    await queue.enqueue(deliveries, { reader: "router", cursor: next })
    const leases = await queue.lease({ lane, max: Math.ceil(events.length * 0.9), leaseMs: 60_000 })
    await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
    done += leases.length
  }
  if (done === 0) throw new Error("nothing was leased")
  await engine.close()
}

async function bytesIn(directory: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size
  return bytes
}

async function* overHttp(directory: string, rounds: number): AsyncIterable<Measure> {
  const hub = await startHubProcess([], directory)
  await hub.call("POST", "/v1/topics", { id: address.topic })
  const bare = await startBaseline("file.ts", "500000")
  const path = "/v1/topics/bench/events?from=oldest&limit=all&format=ndjson"
  const lines = (port: number, url: string) => countLines(port, url, hub.key)
  const [ours, theirs] = await inTurn(
    rounds,
    () => lines(hub.port, path),
    () => lines(bare.port, "/"),
  )
  yield measure("read, NDJSON over HTTP from the oldest", "events/s", medianOf(ours, Number), medianOf(theirs, Number))
  await hub.stop()
  await bare.stop()
}

/** Lines per second of an answer, counted as its bytes arrive. */
function countLines(port: number, path: string, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1")
    const startedAt = performance.now()
    let lines = -6 // Of the head, about.
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`)
    socket.on("data", (chunk: Buffer) => {
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
    })
    socket.on("end", () =>
      lines < 1_000
        ? reject(new Error("too few events came"))
        : resolve((lines / (performance.now() - startedAt)) * 1000),
    )
    socket.on("error", reject)
  })
}

async function* idle(): AsyncIterable<Measure> {
  const hub = await startHubProcess()
  const bare = await startBaseline("publish.ts")
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  yield measure("idle memory", "MB", await residentMB(hub.pid), await residentMB(bare.pid), true)
  await hub.stop()
  await bare.stop()
}

async function residentMB(pid: number): Promise<number> {
  const { readFile } = await import("node:fs/promises")
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}
