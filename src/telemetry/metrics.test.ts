import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
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

const build = { version: "1.2.3", engine: "embedded" }

const delivery = {
  id: "c.t",
  tenant: "default",
  trigger: "t",
  incarnation: "",
  destination: "hook",
  cursor: "c" as Cursor,
  fingerprint: 0,
}

function attempt(durationMs: number, destination = "hook") {
  const outcome = { kind: "delivered", detail: "204" } as const
  const verdict = { kind: "done" } as const
  return { delivery: { ...delivery, destination }, attempt: { number: 1, startedAt: 0, durationMs, outcome }, verdict }
}

test("what is counted is on the page, by its labels", async () => {
  const metrics = createMetrics(build)
  metrics.publish.published({ accepted: 3, duplicates: 1, refused: 0, bytes: 900 })
  metrics.publish.published({ accepted: 1, duplicates: 0, refused: 2, code: "overloaded", bytes: 100 })
  metrics.publish.answered(2)
  metrics.route.routed({ events: 5, deliveries: 7, storedAt: 1_500, lagMs: 40 })
  metrics.route.caughtUp({ events: 3, deliveries: 2 })
  metrics.deliver.attempt({ ...attempt(20), waitedMs: 90_000 })
  metrics.deliver.breaker("default/hook", "open")
  metrics.deliver.leaseLost("default/hook")
  const help = { log_bytes: "Its bytes.", log_events: "Its events.", cuts_total: "Cuts." }
  metrics.watchFigures(help, () => ({ log_bytes: 4096, cuts_total: 1 }))
  const page = await samples(metrics)
  expect(page.get('redcar_published_events_total{outcome="accepted"}')).toBe(4)
  expect(page.get('redcar_published_events_total{outcome="duplicate"}')).toBe(1)
  expect(page.get('redcar_refused_events_total{code="overloaded"}')).toBe(2)
  expect(page.get("redcar_published_bytes_total")).toBe(1_000)
  expect(page.get('redcar_routed_events_total{reader="router"}')).toBe(5)
  expect(page.get('redcar_routed_deliveries_total{reader="router"}')).toBe(7)
  expect(page.get('redcar_routed_events_total{reader="catch-up"}')).toBe(3)
  expect(page.get('redcar_routed_deliveries_total{reader="catch-up"}')).toBe(2)
  expect(page.get('redcar_publish_duration_seconds_bucket{le="0.0025"}')).toBe(1)
  expect(page.get("redcar_route_lag_seconds_sum")).toBe(0.04)
  expect(page.get("redcar_routed_until_timestamp_seconds")).toBe(1.5)
  const labels = 'tenant="default",destination="hook",outcome="delivered",verdict="done"'
  expect(page.get(`redcar_attempts_total{${labels}}`)).toBe(1)
  const where = 'tenant="default",destination="hook"'
  expect(page.get(`redcar_first_attempt_lag_seconds_bucket{le="60",${where}}`)).toBe(0)
  expect(page.get(`redcar_first_attempt_lag_seconds_bucket{le="300",${where}}`)).toBe(1)
  expect(page.get(`redcar_breaker_changes_total{${where},state="open"}`)).toBe(1)
  expect(page.get(`redcar_leases_lost_total{${where}}`)).toBe(1)
  expect(page.get("redcar_log_bytes")).toBe(4_096)
  expect(page.has("redcar_log_events")).toBe(false)
  const node = process.versions.node
  expect(page.get(`redcar_build_info{version="1.2.3",engine="embedded",node="${node}"}`)).toBe(1)
  expect((await metrics.render()).body).toContain("# TYPE redcar_cuts_total counter")
})

test("what counts without labels, or with known ones, counts from zero", async () => {
  const page = await samples(createMetrics(build))
  expect(page.get('redcar_refused_events_total{code="storage-full"}')).toBe(0)
  expect(page.get('redcar_routed_deliveries_total{reader="catch-up"}')).toBe(0)
  expect(page.get("redcar_records_lost_total")).toBe(0)
  expect(page.get("redcar_publish_duration_seconds_count")).toBe(0)
})

test("the page is Prometheus' text format with the process's own metrics", async () => {
  const { contentType, body } = await createMetrics(build).render()
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/)
  expect(body).toContain("# TYPE process_resident_memory_bytes gauge")
  expect(body).toContain("# TYPE redcar_published_events_total counter")
  expect(body).toContain("# TYPE redcar_attempt_duration_seconds histogram")
})

test("two hubs in one process count apart", async () => {
  const [one, two] = [createMetrics(build), createMetrics(build)]
  one.route.routed({ events: 1, deliveries: 1, storedAt: 0, lagMs: 0 })
  expect((await samples(two)).get('redcar_routed_events_total{reader="router"}')).toBe(0)
})

describe("a spread of times", () => {
  test("counts what a list of the times would", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1 }), async (times) => {
        const metrics = createMetrics(build)
        for (const ms of times) metrics.deliver.attempt(attempt(ms))
        const where = 'tenant="default",destination="hook"'
        const page = await samples(metrics)
        for (const bound of [0.001, 0.01, 0.25, 5, 30]) {
          const within = times.filter((ms) => ms <= bound * 1_000).length
          expect(page.get(`redcar_attempt_duration_seconds_bucket{le="${bound}",${where}}`)).toBe(within)
        }
        expect(page.get(`redcar_attempt_duration_seconds_bucket{le="+Inf",${where}}`)).toBe(times.length)
        expect(page.get(`redcar_attempt_duration_seconds_count{${where}}`)).toBe(times.length)
        const sum = times.reduce((total, ms) => total + ms, 0) / 1_000
        expect(page.get(`redcar_attempt_duration_seconds_sum{${where}}`)).toBeCloseTo(sum, 6)
      }),
      { numRuns: 20 },
    )
  })
})

test("destinations beyond the most that are told apart are counted together", async () => {
  const metrics = createMetrics(build)
  for (let i = 0; i < seriesMax + 50; i++) metrics.deliver.attempt(attempt(1, `hook-${i}`))
  metrics.deliver.attempt(attempt(1, "hook-0"))
  const page = await samples(metrics)
  const series = [...page.keys()].filter((name) => name.startsWith("redcar_attempt_duration_seconds_count"))
  expect(series).toHaveLength(seriesMax + 1)
  expect(page.get('redcar_attempt_duration_seconds_count{tenant="(other)",destination="(other)"}')).toBe(50)
  expect(page.get('redcar_attempt_duration_seconds_count{tenant="default",destination="hook-0"}')).toBe(2)
})
