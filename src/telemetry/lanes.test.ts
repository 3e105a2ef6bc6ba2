import { expect, test } from "vitest"
import { seriesMax } from "./instruments.ts"
import { watchLanes } from "./lanes.ts"
import { createMetrics } from "./metrics.ts"

type Sources = Parameters<typeof watchLanes>[1]

async function page(sources: Partial<Sources>): Promise<string> {
  const metrics = createMetrics({ version: "1.2.3", engine: "embedded" })
  watchLanes(metrics, { backlog: () => [], work: () => [], now: () => 100_000, ...sources })
  const { body } = await metrics.render()
  return body
    .split("\n")
    .filter((line) => /^redcar_(deliveries|breaker_state)/.test(line))
    .join("\n")
}

const owed = (destination: string, open: number, oldestDueAt?: number) => ({
  tenant: "shop",
  destination,
  open,
  oldestDueAt: () => oldestDueAt,
})

test("a destination is told by what it is owed and by what is under way, under one name", async () => {
  const work = [
    { tenant: "shop", destination: "a", inFlight: 2, breaker: "half-open" },
    { tenant: "shop", destination: "idle", inFlight: 0, breaker: "closed" },
  ] as const
  const body = await page({ backlog: () => [owed("a", 5, 40_000), owed("b", 1, 200_000)], work: () => work })
  expect(body).toBe(
    [
      'redcar_deliveries_open{tenant="shop",destination="a"} 5',
      'redcar_deliveries_open{tenant="shop",destination="b"} 1',
      'redcar_deliveries_open{tenant="shop",destination="idle"} 0',
      'redcar_deliveries_oldest_age_seconds{tenant="shop",destination="a"} 60',
      // A clock that was set back makes nothing younger than new.
      'redcar_deliveries_oldest_age_seconds{tenant="shop",destination="b"} 0',
      'redcar_deliveries_in_flight{tenant="shop",destination="a"} 2',
      'redcar_deliveries_in_flight{tenant="shop",destination="b"} 0',
      'redcar_deliveries_in_flight{tenant="shop",destination="idle"} 0',
      'redcar_breaker_state{tenant="shop",destination="a"} 1',
      'redcar_breaker_state{tenant="shop",destination="b"} 0',
      'redcar_breaker_state{tenant="shop",destination="idle"} 0',
    ].join("\n"),
  )
})

test("beyond so many destinations those that are owed least are together, and nobody looks for their oldest", async () => {
  const lanes = Array.from({ length: seriesMax + 10 }, (_, i) => owed(`d${i}`, i + 1, i < 11 ? Number.NaN : 0))
  const body = await page({
    backlog: () => lanes,
    work: () => [{ tenant: "shop", destination: "d0", inFlight: 3, breaker: "open" }],
  })
  const lines = body.split("\n")
  expect(lines.filter((line) => line.startsWith("redcar_deliveries_open"))).toHaveLength(seriesMax)
  const other = 'tenant="(other)",destination="(other)"'
  expect(lines).toContain(`redcar_deliveries_open{${other}} ${(11 * 12) / 2}`)
  expect(lines).toContain(`redcar_deliveries_in_flight{${other}} 3`)
  expect(lines).toContain(`redcar_breaker_state{${other}} 2`)
  expect(body).not.toContain("NaN")
})
