import type { Msg, NatsConnection } from "@nats-io/nats-core"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Clock } from "../../core/clock.ts"
import { UnavailableError } from "../../core/errors.ts"
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

    test("who has written something sees all that another process wrote on the condition that it is not there", async () => {
      const connect = () => connectNats({ servers: nats.url.split(","), log: silentLog })
      const connections = [await connect(), await connect()] as const
      const [one, two] = [
        await openCatalog(options(connections[0], "condition", servers)),
        await openCatalog(options(connections[1], "condition", servers)),
      ]
      for (let n = 0; n < 20; n++) {
        const [sign, use] = [`sign/${n}`, `use/${n}`]
        const used = two.change([{ key: use, value: n, expected: 0 }], [{ key: sign, expected: 0 }]).then(
          () => true,
          (error: unknown) => {
            expect(error).toMatchObject({ name: "ConflictError", key: sign })
            return false
          },
        )
        const seen = one.put(sign, n).then(() => one.list(use, { limit: 1_000 }))
        expect(await seen).toHaveLength((await used) ? 1 : 0)
      }
      await Promise.all([one.close(), two.close()])
      await Promise.all(connections.map((each) => each.close()))
    })

    test("a write that is refused for ever, by what nobody can read, is given up", async () => {
      const connection = await connectNats({ servers: nats.url.split(","), log: silentLog })
      const bucket = await Bucket.open({
        ...options(refusingWrites(connection), `refused-${buckets++}`, servers),
        clock: hastyClock(),
      })
      await expect(bucket.put("a", "1", 0)).rejects.toThrow("others keep changing a")
      await bucket.close()
      await connection.close()
    })

    test("a write that is stored and never told is not waited for without end", async () => {
      const connection = await connectNats({ servers: nats.url.split(","), log: silentLog })
      const bucket = await Bucket.open({
        ...options(deaf(connection), `deaf-${buckets++}`, servers),
        clock: hastyClock(),
      })
      await expect(bucket.put("a", "1")).rejects.toThrow(UnavailableError)
      await bucket.close()
      await connection.close()
    })
  },
)

/** A connection on which every write is answered that another one came first. */
function refusingWrites(connection: NatsConnection): NatsConnection {
  const refusal = { error: { code: 400, err_code: 10_071, description: "wrong last sequence" } }
  return withRequest(connection, (subject, ask) =>
    subject.startsWith("$KV.") ? Promise.resolve({ json: () => refusal } as unknown as Msg) : ask(),
  )
}

/** A connection that never says what a bucket has come to hold. */
function deaf(connection: NatsConnection): NatsConnection {
  return withRequest(connection, async (subject, ask) => {
    const answer = await ask()
    return subject.startsWith("$KV.") ? ({ json: () => ({ seq: 1_000_000 }) } as unknown as Msg) : answer
  })
}

function withRequest(
  connection: NatsConnection,
  request: (subject: string, ask: () => Promise<Msg>) => Promise<Msg>,
): NatsConnection {
  return new Proxy(connection, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (name === "request")
        return (subject: string, ...rest: unknown[]) => request(subject, () => target.request(subject, ...(rest as [])))
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}

/** A hundred times as fast as the world's. */
function hastyClock(): Clock {
  const since = systemClock.now()
  return {
    now: () => since + 100 * (systemClock.now() - since),
    steady: () => 100 * systemClock.steady(),
    after: (ms, run) => systemClock.after(ms / 100, run),
  }
}
