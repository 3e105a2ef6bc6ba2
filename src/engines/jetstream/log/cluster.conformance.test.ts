import { afterAll, beforeAll, describe, vi } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import type { Exemptions } from "../../conformance/harness.ts"
import { logConformance } from "../../conformance/log.ts"
import { logHarness } from "./log-harness.fixture.ts"

// Three servers on one machine are slow when much is asked of them at once.
vi.setConfig({ testTimeout: 60_000, maxConcurrency: 8 })

const takesTime = "it waits for long in real time, and passes on one server"
const exempt: Exemptions = {
  "recognises one within the window, and not after it": takesTime,
  "recognises one from before a crash": takesTime,
  "begins at the first event stored at or after a time": takesTime,
  "drops what is too old": takesTime,
  "holds what a list would hold, through drops, trims and crashes":
    "a reader may be served by a copy that has for a moment what another one has deleted",
}

describe.skipIf(natsAvailable() === undefined)("on a cluster of three real nats-servers", () => {
  let nats: Nats
  let named = 0
  beforeAll(async () => {
    nats = await startNats({ servers: 3 })
  })
  afterAll(() => nats.stop())

  describe.concurrent("together", () => {
    logConformance("jetstream on three", async () => logHarness(nats, `r${named++}`), exempt)
  })
})
