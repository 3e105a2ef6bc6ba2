import { measure, type Scenario } from "./measure.ts"
import { type Running, type RunningHub, startBaseline, startHubProcess } from "./process.ts"
import { eventText, nextId } from "./requests.ts"

/** Signed webhooks in order, with few and many keys, beside the same trigger without an order and a bare loop that keeps it. */
export const ordered: Scenario = async function* ({ quick, events = quick ? 10_000 : 40_000 }) {
  const receiver = await startBaseline("receiver.ts")
  const hub = await startHubProcess()
  try {
    for (const keys of [1, 100, 10_000]) {
      // One at a time is slow: a tenth of them says as much.
      const count = keys === 1 ? events / 10 : events
      const inOrder = await through(hub, receiver, { name: `ordered-${keys}`, keys, events: count, isOrdered: true })
      const inNone = await through(hub, receiver, { name: `plain-${keys}`, keys, events: count, isOrdered: false })
      const loop = await bare(receiver, keys, count)
      yield measure(`deliver in order, ${keys} keys, beside no order`, "deliveries/s", inOrder, inNone)
      yield measure(`deliver in order, ${keys} keys, beside a bare loop per key`, "deliveries/s", inOrder, loop)
    }
  } finally {
    await hub.stop()
    await receiver.stop()
  }
}

interface Flow {
  readonly name: string
  readonly keys: number
  readonly events: number
  readonly isOrdered: boolean
}

async function through(hub: RunningHub, receiver: Running, { name, keys, events, isOrdered }: Flow): Promise<number> {
  const config = { url: `http://127.0.0.1:${receiver.port}/hook` }
  await hub.call("POST", "/v1/destinations", { id: name, kind: "webhook", config, concurrency: 64 })
  const ordering = isOrdered ? { ordering: { by: "subject" } } : {}
  await hub.call("POST", "/v1/triggers", { id: name, topic: name, destination: name, ...ordering })
  const [id, startedAt] = [nextId(), performance.now()]
  for (let sent = 0; sent < events; sent += 1_000) {
    const texts = Array.from({ length: Math.min(1_000, events - sent) }, (_, i) =>
      eventText(id()).replace("{", `{"subject":"k${(sent + i) % keys}",`),
    )
    const answer = await fetch(`http://127.0.0.1:${hub.port}/v1/topics/${name}/events`, {
      method: "POST",
      headers: { authorization: `Bearer ${hub.key}`, "content-type": "application/x-ndjson" },
      body: texts.join("\n"),
    })
    if (answer.status !== 202) throw new Error(`publishing answered ${answer.status}`)
    await answer.arrayBuffer()
  }
  return rateUntil(receiver, events, startedAt)
}

/** Posts one at a time for each key, 64 at once. */
async function bare(receiver: Running, keys: number, events: number): Promise<number> {
  const atOnce = Math.min(keys, 64)
  const loop = await startBaseline("deliver.ts", String(receiver.port), String(events), String(atOnce))
  try {
    return await rateUntil(receiver, events, performance.now())
  } finally {
    await loop.stop()
  }
}

async function rateUntil({ port }: Running, events: number, startedAt: number): Promise<number> {
  // Ends: after ten minutes at the latest, by a throw.
  for (let count = 0; ; ) {
    const answer = await fetch(`http://127.0.0.1:${port}/`)
    count += ((await answer.json()) as { readonly count: number }).count
    if (count >= events) return (count / (performance.now() - startedAt)) * 1_000
    if (performance.now() - startedAt > 600_000) throw new Error(`only ${count} of ${events} arrived`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
