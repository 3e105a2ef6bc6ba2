import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Engine } from "../src/core/engine.ts"
import { Event } from "../src/core/event.ts"
import { openEmbeddedDirectory } from "../src/engines/embedded/engine.ts"
import { openJetStreamEngine } from "../src/engines/jetstream/engine.ts"
import { systemClock } from "../src/telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../src/testing/nats.ts"
import { type BareNats, openBareNats } from "./bare-nats.ts"
import { cpuByRole, growth } from "./hubs.ts"
import { type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { keepOutstanding, type OutstandingResult } from "./outstanding.ts"
import { nextId } from "./requests.ts"

const address = { tenant: "default", topic: "bench" }
const outstandings = [1, 64, 1024]

/** 1 KiB of JSON. */
const payload = Buffer.from(`{"order":1234567,"note":"${"x".repeat(1024 - 27)}"}`)

/**
 * The engines beside each other, and JetStream beside a client that only publishes and consumes, on the same servers; then
 * what a hub's processes need of the processor for one event, and how that grows with their number.
 */
export const engines: Scenario = async function* ({ quick }) {
  yield* embedded(quick)
  if (natsAvailable() === undefined) {
    console.log("SKIPPED nats1 and nats3: there is no nats-server here")
    return
  }
  for (const servers of [1, 3] as const) yield* onServers(servers, quick)
  yield* cpuByRole(quick)
  yield* growth(quick)
}

function timesOf(quick: boolean): readonly [rounds: number, durationMs: number] {
  return quick ? [1, 1_000] : [5, 3_000]
}

/** The baseline of the embedded engine is the bare client on one server, where there is one. */
async function* embedded(quick: boolean): AsyncIterable<Measure> {
  const nats = natsAvailable() === undefined ? undefined : await startNats()
  const bare = nats && (await openBareNats({ url: nats.url, replicas: 1, payload }))
  try {
    yield* withEngine("embedded", undefined, async function* (engine) {
      const sides = { ours: appender(engine), ...(bare && { raw: bare.publishRaw }) }
      for (const count of outstandings) yield* publishing("embedded", count, sides, quick)
      yield* reading("embedded", engine, bare, quick)
    })
  } finally {
    await bare?.close()
    await nats?.stop()
  }
}

async function* onServers(servers: 1 | 3, quick: boolean): AsyncIterable<Measure> {
  const name = `nats${servers}`
  const nats = await startNats({ servers })
  const bare = await openBareNats({ url: nats.url, replicas: servers, payload })
  try {
    yield* withEngine(name, nats, async function* (engine) {
      const sides = { ours: appender(engine), raw: bare.publishRaw, once: bare.publishOnce, client: bare.publish }
      for (const count of outstandings) yield* publishing(name, count, sides, quick)
      yield* reading(name, engine, bare, quick)
    })
  } finally {
    await bare.close()
    await nats.stop()
  }
}

async function* withEngine(
  name: string,
  nats: Nats | undefined,
  use: (engine: Engine) => AsyncIterable<Measure>,
): AsyncIterable<Measure> {
  const directory = await mkdtemp(join(tmpdir(), `redcar-bench-${name}-`))
  let engine: Engine | undefined
  try {
    engine = await open(directory, nats)
    yield* use(engine)
  } finally {
    await engine?.close()
    await rm(directory, { recursive: true, force: true })
  }
}

function open(directory: string, nats: Nats | undefined): Promise<Engine> {
  if (nats === undefined) return openEmbeddedDirectory(directory, { clock: systemClock, pendingBytesMax: 64 << 20 })
  return openJetStreamEngine({
    servers: nats.url.split(","),
    prefix: "redcar",
    partitions: 4,
    replicas: nats.servers.length,
    dedupeWindowMsMax: 3_600_000,
    directory,
    serveQueue: false,
    pendingBytesMax: 64 << 20,
    clock: systemClock,
    log: { info() {}, warn: (_, text) => console.log(text), error: (_, text) => console.log(text) },
  })
}

function appender(engine: Engine): () => Promise<unknown> {
  const id = nextId()
  const attributes = { specversion: "1.0", source: "/bench", type: "order.created" } as const
  const options = { dedupeWindowMs: 3_600_000 }
  return () => engine.log.append(address, [Event.of({ ...attributes, id: id() }, payload, "json")], options)
}

/** Who publishes: the engine, the bare client with an inbox of our own, that with message ids, its own `publish`. */
interface Sides {
  readonly ours: () => Promise<unknown>
  readonly raw?: () => Promise<unknown>
  readonly once?: () => Promise<unknown>
  readonly client?: () => Promise<unknown>
}

async function* publishing(engine: string, count: number, sides: Sides, quick: boolean): AsyncIterable<Measure> {
  const [rounds, durationMs] = timesOf(quick)
  const results = new Map<keyof Sides, OutstandingResult[]>()
  const names = Object.keys(sides) as (keyof Sides)[]
  for (const name of names) await keepOutstanding(count, 300, sides[name]!)
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const result = await keepOutstanding(count, durationMs, sides[name]!)
      results.set(name, [...(results.get(name) ?? []), result])
    }
  }
  const of = (name: keyof Sides, figure: (result: OutstandingResult) => number) =>
    medianOf(results.get(name) ?? [], figure)
  const what = `append, ${engine}, ${count} outstanding`
  for (const [name, words] of [
    ["raw", "bare client with its own inbox"],
    ["once", "that with message ids"],
    ["client", "js.publish"],
  ] as const) {
    if (name !== "raw" && !results.has(name)) continue
    const perSecond = (result: OutstandingResult) => result.perSecond
    yield measure(`${what}, beside ${words}`, "events/s", of("ours", perSecond), of(name, perSecond))
  }
  yield measure(
    `${what}, p50`,
    "ms",
    of("ours", ({ p50Ms }) => p50Ms),
    of("raw", ({ p50Ms }) => p50Ms),
    true,
  )
  yield measure(
    `${what}, p99`,
    "ms",
    of("ours", ({ p99Ms }) => p99Ms),
    of("raw", ({ p99Ms }) => p99Ms),
    true,
  )
}

async function* reading(
  name: string,
  engine: Engine,
  bare: BareNats | undefined,
  quick: boolean,
): AsyncIterable<Measure> {
  const events = quick ? 20_000 : 100_000
  await fill(engine, bare, events)
  const read = async () => {
    const startedAt = performance.now()
    let count = 0
    for await (const batch of engine.log.read({ where: address, from: "oldest" })) {
      count += batch.events.length
      if (count >= events) break
    }
    return (count / (performance.now() - startedAt)) * 1000
  }
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    ours.push(await read())
    if (bare) theirs.push(await bare.consume(events))
  }
  yield measure(
    `read, ${name}, beside an ordered consumer`,
    "events/s",
    medianOf(ours, Number),
    medianOf(theirs, Number),
  )
}

/** The topic and the bare stream hold at least so many. */
async function fill(engine: Engine, bare: BareNats | undefined, events: number): Promise<void> {
  const append = appender(engine)
  for (let done = 0; done < events; done += 1_000) {
    await Promise.all(Array.from({ length: 1_000 }, append))
    if (bare) await Promise.all(Array.from({ length: 1_000 }, bare.publishRaw))
  }
}
