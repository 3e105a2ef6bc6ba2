import { load } from "./load.ts"
import { inTurn, measure, medianOf, type Scenario } from "./measure.ts"
import { startBaseline, startHubProcess } from "./process.ts"
import { publishRequests } from "./requests.ts"

/** Single durable publishes over HTTP at 64 connections, beside a server that only parses. */
export const publish: Scenario = async function* ({ quick }) {
  const [rounds, durationMs] = quick ? [3, 2_500] : [5, 6_000]
  const hub = await startHubProcess()
  const bare = await startBaseline("publish.ts")
  const run = (port: number, next: () => Buffer, ms = durationMs) =>
    load({ port, connections: 64, durationMs: ms, next })
  try {
    const next = publishRequests({ key: hub.key })
    await run(hub.port, next, 1_500)
    await run(bare.port, next, 1_500)
    const [ours, theirs] = await inTurn(
      rounds,
      () => run(hub.port, next),
      () => run(bare.port, next),
    )
    if (ours.some(({ refused }) => refused > 0)) throw new Error("some publishes were refused")
    const figure = medianOf(ours, ({ perSecond }) => perSecond)
    yield measure(
      "publish, single, 64 connections",
      "events/s",
      figure,
      medianOf(theirs, ({ perSecond }) => perSecond),
    )
    const [p99, bareP99] = [medianOf(ours, (r) => r.p99Ms), medianOf(theirs, (r) => r.p99Ms)]
    yield measure("publish, single, 64 connections, p99", "ms", p99, bareP99, true)
  } finally {
    await hub.stop()
    await bare.stop()
  }
}

/** Batches of 100: NDJSON and JSON. */
export const batch: Scenario = async function* ({ quick }) {
  const [rounds, durationMs] = quick ? [3, 1_500] : [5, 5_000]
  const hub = await startHubProcess()
  const bare = await startBaseline("publish.ts")
  try {
    for (const form of ["ndjson", "json"] as const) {
      const next = publishRequests({ key: hub.key, form, events: 100 })
      const run = (port: number, ms = durationMs) => load({ port, connections: 16, durationMs: ms, next })
      await run(hub.port, 1_000)
      await run(bare.port, 1_000)
      const [ours, theirs] = await inTurn(
        rounds,
        () => run(hub.port),
        () => run(bare.port),
      )
      if (ours.some(({ refused }) => refused > 0)) throw new Error("some batches were refused")
      const eventsPerSecond = (results: typeof ours) => medianOf(results, ({ perSecond }) => perSecond * 100)
      yield measure(`publish, ${form} batches of 100`, "events/s", eventsPerSecond(ours), eventsPerSecond(theirs))
    }
  } finally {
    await hub.stop()
    await bare.stop()
  }
}
