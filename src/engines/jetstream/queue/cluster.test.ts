import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { delivery, ids } from "../../conformance/queue-fixture.ts"
import { cursorAt, TestHub } from "./queue-harness.fixture.ts"

if (natsAvailable() === undefined) {
  test.skip("the queue on three servers: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("on three servers", () => {
    let cluster: Nats
    beforeAll(async () => {
      cluster = await startNats({ servers: 3 })
    })
    afterAll(() => cluster?.stop())

    test("what was acknowledged is there once, though the leader of the journals dies under it", async () => {
      const shards = 2
      const hub = new TestHub(cluster.url, "c1", shards)
      const process = await hub.start(systemClock, true, { replicas: 3 })
      const lanes = ["acme/d1", "acme/d2", "acme/d3"]
      let sequence = 0
      let delivered: string[] = []
      const drain = async () => {
        for (const lane of lanes) {
          const leases = await process.queue.lease({ lane, max: 1_000, leaseMs: 60_000 })
          await Promise.all(leases.map((lease) => process.queue.end(lease, { kind: "done" })))
          delivered = delivered.concat(ids(leases))
        }
      }
      const enqueue = async () => {
        const cursor = cursorAt(++sequence)
        const deliveries = lanes.map((_, i) => delivery(cursor, { trigger: `t${i}`, destination: `d${i + 1}` }))
        await process.queue.enqueue(deliveries, { reader: "router", cursor })
      }
      for (let i = 0; i < 50; i++) await enqueue()
      await drain()
      const info = await process.nats.request(`$JS.API.STREAM.INFO.${hub.names.queueStream(0)}`)
      const leader = info.json<{ cluster: { leader: string } }>().cluster.leader
      const dying = cluster.servers.find(({ name }) => name === leader)!
      const going = (async () => {
        for (let i = 0; i < 100; i++) {
          await enqueue()
          if (i % 5 === 0) await drain()
        }
      })()
      await dying.kill()
      await going
      await drain()
      await process.die()
      // Whoever takes over from what is in the journals finds that all is done.
      const next = await hub.start(systemClock, true, { replicas: 3 })
      expect(await next.queue.position("router")).toBe(cursorAt(150))
      for (const lane of lanes) expect(await next.queue.depth(lane)).toBe(0)
      expect(delivered.length).toBe(450)
      expect(new Set(delivered).size).toBe(450)
      await hub.dispose()
    })
  })
}
