import type { NatsConnection } from "@nats-io/nats-core"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { catalogConformance } from "../conformance/catalog.ts"
import { Bucket } from "./bucket.ts"
import { type JetStreamCatalog, openCatalog } from "./catalog.ts"
import { connectNats } from "./connection.ts"
import { silentLog } from "./log.fixture.ts"

let buckets = 0

const options = (connection: NatsConnection, name: string, replicas: number) => ({
  nats: connection,
  clock: systemClock,
  log: silentLog,
  name,
  replicas,
})

const there = natsAvailable() !== undefined

describe.skipIf(!there).each([1, 3] as const)(
  "on NATS, %i servers (skipped where there is no nats-server)",
  (servers) => {
    let nats: Nats
    beforeAll(async () => {
      nats = await startNats({ servers })
    })
    afterAll(() => nats?.stop())

    catalogConformance("JetStream", async () => {
      const name = `catalog-${buckets++}`
      const opened = new Map<JetStreamCatalog, NatsConnection>()
      const open = async () => {
        const connection = await connectNats({ servers: nats.url.split(","), log: silentLog })
        const catalog = await openCatalog(options(connection, name, servers))
        opened.set(catalog, connection)
        return { catalog }
      }
      return {
        open,
        elapse: async () => {},
        async crash() {
          for (const connection of opened.values()) await connection.close()
          return open()
        },
        async dispose() {
          for (const [catalog, connection] of opened) {
            await catalog.close()
            await connection.close()
          }
        },
      }
    })

    test("what one process changes, another one hears of; also after its connection was cut, and of what was deleted meanwhile", async () => {
      const connections = await Promise.all(
        [0, 1].map(() => connectNats({ servers: nats.url.split(","), log: silentLog })),
      )
      const [one, two] = (await Promise.all(
        connections.map((each) => Bucket.open(options(each, "shared", servers))),
      )) as [Bucket, Bucket]
      const heard: string[] = []
      let wake = () => {}
      two.listen((change) => {
        heard.push(`${change.key}=${change.text ?? "gone"}`)
        wake()
      })
      const hears = async (text: string) => {
        while (!heard.includes(text)) await new Promise<void>((resolve) => (wake = resolve))
      }
      await one.put("a.b", "1")
      await hears("a.b=1")
      await connections[1]!.reconnect().catch(() => {})
      await one.delete("a.b")
      await one.put("c", "2")
      await hears("c=2")
      await hears("a.b=gone")
      expect(two.get("a.b")).toBeUndefined()
      expect(two.get("c")?.text).toBe("2")
      await Promise.all([one.close(), two.close()])
      await Promise.all(connections.map((each) => each.close()))
    })

    test("the newest is what another process has just put, before this one has heard of it", async () => {
      const connect = () => connectNats({ servers: nats.url.split(","), log: silentLog })
      const connections = [await connect(), await connect()] as const
      const [one, two] = [
        await openCatalog(options(connections[0], "newest", servers)),
        await openCatalog(options(connections[1], "newest", servers)),
      ]
      for (let n = 0; n < 20; n++) {
        const revision = await one.put("a", n)
        expect(await two.get("a", { newest: true })).toEqual({ key: "a", value: n, revision })
      }
      await one.delete("a")
      expect(await two.get("a", { newest: true })).toBeUndefined()
      await Promise.all([one.close(), two.close()])
      await Promise.all(connections.map((each) => each.close()))
    })
  },
)
