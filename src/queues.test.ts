import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import { startHubOn } from "./restart.fixture.ts"
import { natsAvailable, startNats } from "./testing/nats.ts"

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A process of the hub, of these roles. */
async function start(engine: string, roles: string) {
  const data = mkdtempSync(join(tmpdir(), "redcar-queues-"))
  closing.push(async () => rmSync(data, { recursive: true, force: true }))
  writeFileSync(join(data, "admin.key"), `rck_${"k".repeat(43)}\n`, { mode: 0o600 })
  const hub = await startHubOn(data, { engine, roles })
  closing.push(() => hub.stop().catch(() => {}))
  return hub
}

interface Item {
  readonly lease: string
  readonly delivery: string
  readonly event: { readonly id: string }
}

test.skipIf(!natsAvailable)(
  "on NATS a process that holds no shard leases and settles, those who wait there are woken, and nothing is given twice",
  async () => {
    const nats = await startNats()
    closing.push(() => nats.stop())
    const holder = await start(nats.url, "route,deliver,api")
    const front = await start(nats.url, "ingest,api")
    await front.call("POST", "/v1/destinations", { id: "jobs", kind: "queue", config: {} })
    await front.call("POST", "/v1/triggers", { id: "work", topic: "orders", destination: "jobs" })
    const lease = async (hub: typeof front, max: number): Promise<readonly Item[]> =>
      (await hub.call("POST", "/v1/queues/jobs/lease", { max, waitFor: "20s" })).body.items
    const publish = (ids: readonly string[]) =>
      Promise.all(
        ids.map((id) => {
          const event = { specversion: "1.0", id, source: "/shop", type: "order.paid" }
          return front.call("POST", "/v1/topics/orders/events", event)
        }),
      )
    const waiting = lease(front, 10)
    await publish(["first"])
    const [first] = await waiting
    expect(first!.event.id).toBe("first")
    const ids = Array.from({ length: 40 }, (_, i) => `e${i}`)
    await publish(ids)
    const given: Item[] = []
    while (given.length < 40) {
      const parts = await Promise.all([lease(front, 7), given.length < 30 ? lease(holder, 5) : []])
      given.push(...parts.flat())
    }
    expect(new Set(given.map(({ delivery }) => delivery)).size).toBe(40)
    const settlements = [first!, ...given].map((item) => ({ lease: item.lease, result: "done" }))
    const settled = await front.call("POST", "/v1/queues/jobs/settle", { settlements })
    expect(new Set(settled.body.items.map(({ state }: { state: string }) => state))).toEqual(new Set(["settled"]))
    const again = await holder.call("POST", "/v1/queues/jobs/settle", { settlements: settlements.slice(0, 1) })
    expect(again.body.items[0].state).toBe("lost")
    expect((await holder.call("GET", "/v1/queues/jobs")).body).toMatchObject({ open: 0, dead: 0 })
  },
  60_000,
)
