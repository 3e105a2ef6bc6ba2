import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { seriesMax } from "./instruments.ts"
import { createMetrics } from "./metrics.ts"

/** The page's samples by series: `name{label="value"}` to number. */
async function samples(metrics: ReturnType<typeof createMetrics>): Promise<Map<string, number>> {
  const { body } = await metrics.render()
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  )
}

test("what is counted is on the page, by its labels", async () => {
  const metrics = createMetrics()
  metrics.publish.accepted("orders", 3, 900)
  metrics.publish.accepted("orders", 1, 100)
  metrics.publish.accepted("users", 1, 50)
  metrics.publish.duplicates("orders", 2)
  metrics.publish.refused("too-large", 1)
  metrics.route.routed(5, 7)
  metrics.deliver.attempted("hook", "failed", 20)
  metrics.deliver.attempted("hook", "delivered", 20)
  metrics.deliver.settled("hook", "done")
  metrics.watchEngine(() => ({ bytes: 4096 }))
  const page = await samples(metrics)
  expect(page.get('redcar_published_events_total{topic="orders"}')).toBe(4)
  expect(page.get('redcar_published_bytes_total{topic="orders"}')).toBe(1_000)
  expect(page.get('redcar_published_events_total{topic="users"}')).toBe(1)
  expect(page.get('redcar_duplicate_events_total{topic="orders"}')).toBe(2)
  expect(page.get('redcar_refused_events_total{code="too-large"}')).toBe(1)
  expect(page.get("redcar_routed_events_total")).toBe(5)
  expect(page.get("redcar_routed_deliveries_total")).toBe(7)
  expect(page.get('redcar_attempts_total{destination="hook",outcome="failed"}')).toBe(1)
  expect(page.get('redcar_verdicts_total{destination="hook",verdict="done"}')).toBe(1)
  expect(page.get('redcar_engine{figure="bytes"}')).toBe(4_096)
})

test("the page is Prometheus' text format with the process's own metrics", async () => {
  const { contentType, body } = await createMetrics().render()
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/)
  expect(body).toContain("# TYPE process_resident_memory_bytes gauge")
  expect(body).toContain("# TYPE redcar_published_events_total counter")
  expect(body).toContain("# TYPE redcar_publish_seconds histogram")
})

test("two hubs in one process count apart", async () => {
  const [one, two] = [createMetrics(), createMetrics()]
  one.route.routed(1, 1)
  expect((await samples(two)).has("redcar_routed_events_total")).toBe(false)
})

describe("a spread of times", () => {
  test("counts what a list of the times would", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1 }), async (times) => {
        const metrics = createMetrics()
        for (const ms of times) metrics.publish.answered(ms)
        const page = await samples(metrics)
        for (const bound of [0.001, 0.01, 0.25, 5, 30]) {
          const within = times.filter((ms) => ms <= bound * 1_000).length
          expect(page.get(`redcar_publish_seconds_bucket{le="${bound}"}`)).toBe(within)
        }
        expect(page.get('redcar_publish_seconds_bucket{le="+Inf"}')).toBe(times.length)
        expect(page.get("redcar_publish_seconds_count")).toBe(times.length)
        const sum = times.reduce((total, ms) => total + ms, 0) / 1_000
        expect(page.get("redcar_publish_seconds_sum")).toBeCloseTo(sum, 6)
      }),
      { numRuns: 20 },
    )
  })
})

test("topics beyond the most that are told apart are counted together", async () => {
  const metrics = createMetrics()
  for (let i = 0; i < seriesMax + 50; i++) metrics.publish.accepted(`topic-${i}`, 1, 10)
  metrics.publish.accepted("topic-0", 1, 10)
  const page = await samples(metrics)
  const topics = [...page.keys()].filter((series) => series.startsWith("redcar_published_events_total"))
  expect(topics).toHaveLength(seriesMax + 1)
  expect(page.get('redcar_published_events_total{topic="(other)"}')).toBe(50)
  expect(page.get('redcar_published_events_total{topic="topic-0"}')).toBe(2)
})
