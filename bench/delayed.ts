import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { measure, type Scenario } from "./measure.ts"
import { type RunningHub, startHubProcess } from "./process.ts"
import { eventText, nextId } from "./requests.ts"

/** In one request. */
const batch = 1_000

/**
 * What events cost that are kept back for a day: the hub's memory once they are there and after a restart, and how long that takes,
 * beside as many events that are not kept back.
 */
export const delayed: Scenario = async function* ({ quick, events = quick ? 20_000 : 1_000_000 }) {
  const kept = await live(events, { deliverat: new Date(Date.now() + 86_400_000).toISOString() })
  const plain = await live(events, {})
  const what = `${events.toLocaleString("en")} events that are delayed`
  yield measure(`${what}, published, one client`, "events/s", kept.rate, plain.rate)
  yield measure(`${what}, memory that they add at once`, "MB", kept.grown, plain.grown, true)
  yield measure(`${what}, memory after a restart`, "MB", kept.after, plain.after, true)
  yield measure(`${what}, start`, "ms", kept.startMs, plain.startMs, true)
}

async function live(events: number, more: object) {
  const directory = await mkdtemp(join(tmpdir(), "redcar-bench-"))
  try {
    const first = await startHubProcess([], directory)
    const before = await ownMb(first.pid)
    const startedAt = performance.now()
    for (let sent = 0; sent < events; sent += batch) await publish(first, Math.min(batch, events - sent), more)
    const rate = (events / (performance.now() - startedAt)) * 1_000
    const grown = (await settledMb(first.pid)) - before
    await first.stop()
    const restartedAt = performance.now()
    const second = await startHubProcess([], directory)
    const startMs = performance.now() - restartedAt
    const after = await settledMb(second.pid)
    await second.stop()
    return { rate, grown, startMs, after }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function publish(hub: RunningHub, events: number, more: object): Promise<void> {
  const id = nextId()
  const texts = Array.from({ length: events }, () => JSON.stringify({ ...JSON.parse(eventText(id())), ...more }))
  const answer = await fetch(`http://127.0.0.1:${hub.port}/v1/topics/bench/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${hub.key}`, "content-type": "application/x-ndjson" },
    body: texts.join("\n"),
  })
  if (answer.status !== 202) throw new Error(`publishing answered ${answer.status}`)
  await answer.arrayBuffer()
}

/** Its own memory once it has not moved by more than a hundredth for two seconds, or after a minute. */
async function settledMb(pid: number): Promise<number> {
  let last = await ownMb(pid)
  for (let tries = 0; tries < 30; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const now = await ownMb(pid)
    if (Math.abs(now - last) < last / 100) return now
    last = now
  }
  return last
}

/** Without the pages of files that are mapped, which the system takes back when it needs them. */
async function ownMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  return Number(/RssAnon:\s+(\d+)/.exec(status)![1]) / 1_024
}
