import { quantile } from "./load.ts"

export interface OutstandingResult {
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
    perSecond: (latencies.length / elapsedMs) * 1000,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  }
}
