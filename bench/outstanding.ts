import { quantile } from "./load.ts"

export interface OutstandingResult {
  readonly count: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Keeps so many calls of `one` under way for a time; its latency is from call to resolution. */
export async function keepOutstanding(
  count: number,
  durationMs: number,
  one: () => Promise<unknown>,
): Promise<OutstandingResult> {
  const latencies: number[] = []
  const startedAt = performance.now()
  const endsAt = startedAt + durationMs
  const loop = async () => {
    for (let sentAt = performance.now(); sentAt < endsAt; ) {
      await one()
      const now = performance.now()
      latencies.push(now - sentAt)
      sentAt = now
    }
  }
  await Promise.all(Array.from({ length: count }, loop))
  const elapsedMs = performance.now() - startedAt
  const sorted = latencies.toSorted((a, b) => a - b)
  return {
    count: latencies.length,
    perSecond: (latencies.length / elapsedMs) * 1000,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  }
}

/** Calls `one` so often a second for a time, whether the calls before have ended or not; answers how often. */
export async function keepRate(perSecond: number, durationMs: number, one: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  const total = Math.round((perSecond * durationMs) / 1_000)
  const under: Promise<unknown>[] = []
  while (under.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1)
    while (under.length < due) under.push(one())
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(under)
  return total
}
