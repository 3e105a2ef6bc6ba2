import { load } from "./load.ts"
import { inTurn, type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { type Running, type RunningHub, startBaseline, startHubProcess } from "./process.ts"
import { publishRequests } from "./requests.ts"

/** Signed webhook deliveries: throughput and latency beside a bare loop, and what one dead destination of 100 does. */
export const deliver: Scenario = async function* ({ quick }) {
  const receiver = await startBaseline("receiver.ts")
  try {
    yield* throughput(receiver, quick)
    yield* inBatches(receiver, quick)
    yield* latency(receiver, quick)
    yield* isolation(receiver, quick)
  } finally {
    await receiver.stop()
  }
}

interface Received {
  readonly count: number
  readonly ages: readonly number[]
}

async function taken({ port }: Running): Promise<Received> {
  return (await fetch(`http://127.0.0.1:${port}/`)).json() as Promise<Received>
}

async function connectHook(hub: RunningHub, name: string, url: string, topic: string, more = {}): Promise<void> {
  await hub.call("POST", "/v1/destinations", { id: name, kind: "webhook", config: { url, ...more }, concurrency: 64 })
  await hub.call("POST", "/v1/triggers", { id: name, topic, destination: name })
}

async function* throughput(receiver: Running, quick: boolean): AsyncIterable<Measure> {
  const [rounds, events] = quick ? [3, 10_000] : [5, 40_000]
  const hub = await startHubProcess()
  try {
    await connectHook(hub, "hook", `http://127.0.0.1:${receiver.port}/hook`, "bench")
    const ours = async () => {
      const startedAt = performance.now()
      await publishBacklog(hub, "bench", events)
      return rateUntil(receiver, events, startedAt)
    }
    const theirs = async () => {
      const loop = await startBaseline("deliver.ts", String(receiver.port), String(events))
      const rate = await rateUntil(receiver, events, performance.now())
      await loop.stop()
      return rate
    }
    await ours()
    const [a, b] = await inTurn(rounds, ours, theirs)
    yield measure("deliver, signed webhooks", "deliveries/s", medianOf(a, Number), medianOf(b, Number))
  } finally {
    await hub.stop()
  }
}

/** What a hub gains where 100 events go in one request, beside the same hub that sends them one by one. */
async function* inBatches(receiver: Running, quick: boolean): AsyncIterable<Measure> {
  const [rounds, events] = quick ? [3, 10_000] : [5, 40_000]
  const hub = await startHubProcess()
  try {
    const url = `http://127.0.0.1:${receiver.port}/hook`
    await connectHook(hub, "batches", url, "batches", { batch: { eventsMax: 100 } })
    await connectHook(hub, "singles", url, "singles")
    const through = (topic: string) => async () => {
      const startedAt = performance.now()
      await publishBacklog(hub, topic, events)
      return rateUntil(receiver, events, startedAt)
    }
    await through("batches")()
    const [a, b] = await inTurn(rounds, through("batches"), through("singles"))
    yield measure(
      "deliver, in batches of 100, beside singles",
      "deliveries/s",
      medianOf(a, Number),
      medianOf(b, Number),
    )
  } finally {
    await hub.stop()
  }
}

async function publishBacklog(hub: RunningHub, topic: string, events: number): Promise<void> {
  const next = publishRequests({ key: hub.key, form: "ndjson", events: 1_000, topic })
  for (let sent = 0; sent < events; sent += 1_000) {
    const request = next()
    const body = request.subarray(request.indexOf("\r\n\r\n") + 4)
    const answer = await fetch(`http://127.0.0.1:${hub.port}/v1/topics/${topic}/events`, {
      method: "POST",
      headers: { authorization: `Bearer ${hub.key}`, "content-type": "application/x-ndjson" },
      body: new Uint8Array(body),
    })
    if (answer.status !== 202) throw new Error(`publishing answered ${answer.status}`)
    await answer.arrayBuffer()
  }
}

async function rateUntil(receiver: Running, events: number, startedAt: number): Promise<number> {
  // Ends: after two minutes at the latest, by a throw.
  for (let count = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    count += (await taken(receiver)).count
    if (count >= events) return (count / (performance.now() - startedAt)) * 1000
    if (performance.now() - startedAt > 120_000) throw new Error(`only ${count} of ${events} arrived`)
  }
}

async function* latency(receiver: Running, quick: boolean): AsyncIterable<Measure> {
  const [rounds, durationMs] = quick ? [1, 4_000] : [3, 15_000]
  const hub = await startHubProcess()
  try {
    await connectHook(hub, "hook", `http://127.0.0.1:${receiver.port}/hook`, "bench")
    const through = (port: number, next: () => Buffer) => async () => {
      await load({ port, connections: 16, durationMs, next, ratePerSecond: 1_000 })
      await new Promise((resolve) => setTimeout(resolve, 300))
      return p99((await taken(receiver)).ages)
    }
    const hubs = through(hub.port, publishRequests({ key: hub.key, stamped: true }))
    const bare = through(receiver.port, bareRequests())
    await hubs()
    const [a, b] = await inTurn(rounds, hubs, bare)
    yield measure("deliver, publish to receipt at 1,000/s, p99", "ms", medianOf(a, Number), medianOf(b, Number), true)
  } finally {
    await hub.stop()
  }
}

/** The data alone, straight to the receiver. */
function bareRequests(): () => Buffer {
  return () => {
    const body = `{"sentAt":${(performance.timeOrigin + performance.now()).toFixed(3)},"order":1234567}`
    return Buffer.from(`POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }
}

async function* isolation(receiver: Running, quick: boolean): AsyncIterable<Measure> {
  const [rounds, durationMs, destinations] = [quick ? 3 : 5, quick ? 2_500 : 10_000, 100]
  const hub = await startHubProcess()
  try {
    const next = publishRequests({ key: hub.key, stamped: true, topic: "fan" })
    for (let i = 0; i < destinations; i++) {
      await connectHook(hub, `d${i}`, `http://127.0.0.1:${receiver.port}/${i}`, "fan")
    }
    const run = async () => {
      await load({ port: hub.port, connections: 4, durationMs, next, ratePerSecond: 10 })
      await new Promise((resolve) => setTimeout(resolve, 500))
      return p99((await taken(receiver)).ages)
    }
    const point = (path: string) =>
      hub.call("PATCH", "/v1/destinations/d0", { config: { url: `http://127.0.0.1:${receiver.port}/${path}` } })
    // What waited for the dead one comes late, and is no figure of the next run.
    const revive = async () => {
      await point("0")
      await untilNothingIsOwed(hub)
      await taken(receiver)
    }
    await run()
    const [dead, alive] = await inTurn(
      rounds,
      () => point("hang").then(run),
      () => revive().then(run),
    )
    yield measure(
      "deliver, p99 with 1 of 100 destinations dead",
      "ms",
      medianOf(dead, Number),
      medianOf(alive, Number),
      true,
    )
  } finally {
    await hub.stop()
  }
}

async function untilNothingIsOwed(hub: RunningHub): Promise<void> {
  const startedAt = performance.now()
  // Ends: after two minutes at the latest, by a throw.
  for (;;) {
    const { items } = await hub.call("GET", "/v1/deliveries?pageSize=1")
    if ((items as readonly unknown[]).length === 0) return
    if (performance.now() - startedAt > 120_000) throw new Error("deliveries stay open")
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function p99(ages: readonly number[]): number {
  const sorted = ages.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
}
