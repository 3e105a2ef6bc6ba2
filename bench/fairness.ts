import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { formatKey, hashKey } from "../src/access/keys.ts"
import { accessKeys } from "../src/core/catalog-keys.ts"
import { openEmbeddedDirectory } from "../src/engines/embedded/engine.ts"
import { systemClock } from "../src/telemetry/clock.ts"
import { load, quantile } from "./load.ts"
import { type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { type Running, type RunningHub, startBaseline, startHubProcess } from "./process.ts"
import { publishRequests } from "./requests.ts"

/**
 * One tenant's publish to receipt: alone, while a flood of another comes in (the log is routed in order, so that it waits until
 * that is routed), and then while that has its deliveries open. Goal: 1.10 times as long as alone.
 */
export const fairness: Scenario = async function* ({ quick }) {
  const receiver = await startBaseline("receiver.ts")
  try {
    yield* beside("hanging", "hang", receiver, quick)
    yield* beside("draining", "flood", receiver, quick)
  } finally {
    await receiver.stop()
  }
}

/** Of the tenant that floods. */
const destinations = 100
const floodTopic = "flood"

async function* beside(name: string, path: string, receiver: Running, quick: boolean): AsyncIterable<Measure> {
  const [rounds, durationMs, flood] = quick ? [3, 4_000, 100_000] : [5, 10_000, 1_000_000]
  const figures: { alone: number; coming: number; open: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const { hub, floodKey, stop } = await startHubOfTwo()
    try {
      const url = `http://127.0.0.1:${receiver.port}`
      await connect(hub.call, "hook", `${url}/hook`, "bench")
      const call = callsOf(hub, floodKey)
      for (let n = 0; n < destinations; n++) await connect(call, `d${n}`, `${url}/${path}/${n}`, floodTopic)
      const next = publishRequests({ key: hub.key, stamped: true })
      const steady = async (ms: number) => {
        const { answered } = await load({ port: hub.port, connections: 8, durationMs: ms, next, ratePerSecond: 200 })
        return p99(await agesOfAll(receiver, answered))
      }
      await steady(1_000)
      const alone = await steady(durationMs)
      const request = publishRequests({
        key: floodKey,
        topic: floodTopic,
        form: "ndjson",
        events: flood / destinations,
      })
      await publish(hub, floodKey, request())
      const coming = await steady(durationMs)
      const open = await steady(durationMs)
      const { items } = await call("GET", "/v1/deliveries?pageSize=1")
      if ((items as readonly unknown[]).length === 0) console.log(`${name}: the flood was over before its time`)
      figures.push({ alone, coming, open })
    } finally {
      await stop()
    }
  }
  const alone = medianOf(figures, (each) => each.alone)
  for (const when of ["coming", "open"] as const) {
    const figure = medianOf(figures, (each) => each[when])
    yield measure(`fairness, publish to receipt p99 beside ${flood} ${name}, ${when}`, "ms", figure, alone, true)
  }
}

/** A hub that has a key of another tenant as well. */
async function startHubOfTwo() {
  const directory = await mkdtemp(join(tmpdir(), "redcar-bench-"))
  const engine = await openEmbeddedDirectory(directory, { clock: systemClock })
  const floodKey = formatKey(randomBytes(32))
  const value = { id: "flood", tenant: "flood", sha256: hashKey(floodKey).toString("hex"), createdAt: Date.now() }
  await engine.catalog.put(accessKeys.of({ tenant: "flood", id: "flood" }), value)
  await engine.close()
  const hub = await startHubProcess(["--delivery-shutdown-grace", "0"], directory)
  const stop = async () => {
    await hub.stop()
    await rm(directory, { recursive: true, force: true })
  }
  return { hub, floodKey, stop }
}

function callsOf({ port }: RunningHub, key: string): RunningHub["call"] {
  return async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer.json() as Promise<Record<string, unknown>>
  }
}

async function connect(call: RunningHub["call"], id: string, url: string, topic: string): Promise<void> {
  await call("POST", "/v1/destinations", { id, kind: "webhook", config: { url }, concurrency: 64 })
  await call("POST", "/v1/triggers", { id, topic, destination: id })
}

async function publish({ port }: RunningHub, key: string, request: Buffer): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/topics/${floodTopic}/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" },
    body: new Uint8Array(request.subarray(request.indexOf("\r\n\r\n") + 4)),
  })
  if (!answer.ok) throw new Error(`publishing answered ${answer.status}`)
  await answer.arrayBuffer()
}

/** How old they were, of so many. */
async function agesOfAll({ port }: Running, count: number): Promise<readonly number[]> {
  const startedAt = performance.now()
  const ages: number[] = []
  // Ends: after five minutes at the latest, by a throw.
  while (ages.length < count) {
    const answer = await fetch(`http://127.0.0.1:${port}/`)
    ages.push(...((await answer.json()) as { readonly ages: readonly number[] }).ages)
    if (performance.now() - startedAt > 300_000) throw new Error(`only ${ages.length} of ${count} arrived`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return ages
}

function p99(ages: readonly number[]): number {
  return quantile(
    ages.toSorted((a, b) => a - b),
    0.99,
  )
}
