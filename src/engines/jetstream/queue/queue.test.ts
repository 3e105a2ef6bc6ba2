import { afterAll, beforeAll, describe, test } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { queueConformance } from "../../conformance/queue.ts"
import { shardedHarness } from "./queue-harness.fixture.ts"

if (natsAvailable() === undefined) {
  test.skip("the delivery queue of NATS: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("NATS", () => {
    let nats: Nats
    let runs = 0
    beforeAll(async () => {
      nats = await startNats()
    })
    afterAll(() => nats?.stop())
    for (const shards of [1, 4]) {
      queueConformance(`${shards} shards`, () => shardedHarness(nats.url, `t${++runs}`, shards))
    }
    queueConformance(
      "3 shards, asked from another process",
      () => shardedHarness(nats.url, `t${++runs}`, 3, { remote: true }),
      {
        "agrees with its contract after any history": "30,000 requests; it is asked of shards that are here",
        "counts no attempt that was leased and has not begun": "with a lease from elsewhere its attempt begins",
      },
    )
  })
}
