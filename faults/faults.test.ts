import { rm } from "node:fs/promises"
import { expect, test, vi } from "vitest"
import { natsAvailable } from "../src/testing/nats.ts"
import type { EngineName } from "./deployment.ts"
import { runScenario } from "./run.ts"
import { type Scenario, scenarios } from "./scenarios.ts"

// They wait for most of their time.
vi.setConfig({ maxConcurrency: 2 })

/** Short forms of what `npm run faults` does; that one takes long enough to find the rare. */
const short: readonly (readonly [name: string, engine: EngineName])[] = [
  ["kill-hub", "embedded"],
  ["kill-deliver", "nats1"],
  ["restart-servers", "nats1"],
  ["cut-hubs", "nats1"],
  ["kill-leader", "nats3"],
  ["lose-quorum", "nats3"],
]

for (const [name, engine] of short) {
  const missing = engine !== "embedded" && natsAvailable() === undefined
  const title = `${name} on ${engine}: nothing acknowledged is lost`
  const options = { timeout: 90_000, concurrent: true, skip: missing }
  test(missing ? `${title} (skipped: no nats-server here)` : title, options, async () => {
    const scenario = scenarios.find((one) => one.name === name)!
    const result = await runScenario(scenario, { engine, seconds: 3, ratePerSecond: 100, stallMs: 20_000 })
    expect(result.faults, result.complaints.join("\n")).toEqual([])
    expect(result.acknowledged).toBe(result.published)
    expect(result.published).toBeGreaterThan(100)
    console.log(`${name} on ${engine}: ${result.refused} refused, ${result.repeated} deliveries repeated`)
  })
}

/** Not a fault to survive: it shows that the harness sees when something is lost. */
const loseData: Scenario = {
  name: "lose-data",
  about: "kill -9 of the only process, and its data removed before it starts again",
  engines: ["embedded"],
  deployment: () => ({ hubs: { all: ["ingest", "route", "deliver", "api"] } }),
  killsHubs: true,
  async faults({ deployment, until }) {
    await until(() => deployment.receiver.count > 30)
    const hub = deployment.hub("all")
    await hub.kill()
    await rm(hub.dataPath, { recursive: true })
    await hub.start()
  },
}

test("a hub that loses its data is found out", { timeout: 30_000 }, async () => {
  const options = { engine: "embedded", seconds: 2, ratePerSecond: 100, stallMs: 1_000 } as const
  const { faults } = await runScenario(loseData, options)
  expect(faults).toContainEqual(expect.stringMatching(/^\d+ acknowledged events are not in the log \(e\d+/))
  expect(faults).toContainEqual(expect.stringMatching(/^\d+ deliveries of acknowledged events have not come \(all-/))
  expect(faults).toContainEqual(expect.stringMatching(/^\d+ deliveries came of events that are not in the log/))
})
