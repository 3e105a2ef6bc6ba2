import { afterAll, beforeAll, describe, test } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { queueConformance } from "../../conformance/queue.ts"
import { shardedHarness } from "./queue-harness.fixture.ts"

if (natsAvailable() === undefined) {
  test.skip("the queue's conformance on three servers: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("NATS, three servers", () => {
    let nats: Nats
    let runs = 0
    beforeAll(async () => {
      nats = await startNats({ servers: 3 })
    })
    afterAll(() => nats?.stop())
    queueConformance("2 shards", () => shardedHarness(nats.url, `r${++runs}`, 2, { replicas: 3 }))
  })
}
