import { afterAll, beforeAll, describe, vi } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { logConformance } from "../../conformance/log.ts"
import { logHarness } from "./log-harness.fixture.ts"

// A server's time cannot be moved: tests that let it pass do so together.
vi.setConfig({ testTimeout: 60_000, maxConcurrency: 64 })

describe.skipIf(natsAvailable() === undefined)("on a real nats-server", () => {
  let nats: Nats
  let named = 0
  beforeAll(async () => {
    nats = await startNats()
  })
  afterAll(() => nats.stop())

  describe.concurrent("together", () => {
    logConformance("jetstream", async () => logHarness(nats, `c${named++}`))
  })
})
