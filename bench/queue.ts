import { type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { type RunningHub, startBaseline, startHubProcess } from "./process.ts"
import { eventText, nextId } from "./requests.ts"

const [workers, atOnce] = [4, 100]

/** Deliveries that are leased and settled in a second, 100 a request each, four workers at a time. */
export const queue: Scenario = async function* ({ quick }): AsyncIterable<Measure> {
  const [events, rounds] = quick ? [20_000, 3] : [100_000, 5]
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < rounds; round++) {
    ours.push(await ofHub(events))
    theirs.push(await ofArray(events))
  }
  yield measure("queue", "deliveries/s", medianOf(ours, Number), medianOf(theirs, Number))
}

async function ofHub(events: number): Promise<number> {
  const hub = await startHubProcess()
  try {
    await hub.call("POST", "/v1/destinations", { id: "jobs", kind: "queue", config: {} })
    await hub.call("POST", "/v1/triggers", { id: "jobs", topic: "bench", destination: "jobs" })
    await fill(hub, events)
    return await workOff(hub.port, hub.key, events)
  } finally {
    await hub.stop()
  }
}

async function ofArray(events: number): Promise<number> {
  const array = await startBaseline("queue.ts", String(events))
  try {
    return await workOff(array.port, "none", events)
  } finally {
    await array.stop()
  }
}

/** Publishes them, and waits until all can be leased. */
async function fill(hub: RunningHub, events: number): Promise<void> {
  const id = nextId()
  for (let done = 0; done < events; done += 1_000) {
    const body = Array.from({ length: 1_000 }, () => eventText(id())).join("\n")
    const headers = { authorization: `Bearer ${hub.key}`, "content-type": "application/x-ndjson" }
    const answer = await fetch(`http://127.0.0.1:${hub.port}/v1/topics/bench/events`, { method: "POST", headers, body })
    if (answer.status !== 202) throw new Error(`publishing was answered ${answer.status}`)
    await answer.arrayBuffer()
  }
  const startedAt = performance.now()
  // Ends: after two minutes at the latest, by a throw.
  for (let open = 0; open < events; open = Number((await hub.call("GET", "/v1/queues/jobs")).open)) {
    if (performance.now() - startedAt > 120_000) throw new Error(`only ${open} of ${events} are owed`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Deliveries per second. */
async function workOff(port: number, key: string, events: number): Promise<number> {
  const startedAt = performance.now()
  const settled = await Promise.all(Array.from({ length: workers }, () => work(port, key)))
  const count = settled.reduce((sum, each) => sum + each, 0)
  if (count !== events) throw new Error(`${count} of ${events} were settled`)
  return (count / (performance.now() - startedAt)) * 1_000
}

async function work(port: number, key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" }
  const post = async (verb: string, body: object) => {
    const url = `http://127.0.0.1:${port}/v1/queues/jobs/${verb}`
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })
    return ((await answer.json()) as { items: readonly { lease: string; state?: string }[] }).items
  }
  let count = 0
  // Ends: when nothing is left.
  for (;;) {
    const items = await post("lease", { max: atOnce })
    if (items.length === 0) return count
    const states = await post("settle", { settlements: items.map(({ lease }) => ({ lease, result: "done" })) })
    count += states.filter(({ state }) => state === "settled").length
  }
}
