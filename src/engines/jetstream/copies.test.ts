import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { connectNats } from "./connection.ts"
import { Copies } from "./copies.ts"
import { openJetStreamEngine } from "./engine.ts"
import { silentLog } from "./log.fixture.ts"
import { createNames } from "./names.ts"
import { plannedStreams } from "./plans.ts"

const there = natsAvailable() !== undefined

describe.skipIf(!there)("one of three servers dead (skipped where there is no nats-server)", () => {
  let servers: Nats
  let home: string
  beforeAll(async () => {
    servers = await startNats({ servers: 3 })
    home = mkdtempSync(join(tmpdir(), "redcar-copies-"))
  })
  afterAll(async () => {
    await servers?.stop()
    rmSync(home, { recursive: true, force: true })
  })

  test("is told, with its streams and since when, while the hub works; and is over when it is back", async () => {
    const parts = { prefix: "redcar", partitions: 2, replicas: 3, dedupeWindowMsMax: 600_000 }
    const urls = servers.servers.slice(0, 2).map(({ url }) => url)
    const engine = await openJetStreamEngine({
      ...parts,
      servers: urls,
      directory: join(home, "hub"),
      serveQueue: true,
      pendingBytesMax: 1 << 20,
      clock: systemClock,
      log: silentLog,
      copiesLookMs: 100,
    })
    const nats = await connectNats({ servers: urls, log: silentLog })
    const told: string[] = []
    const tell = (_: object, text: string) => void told.push(text)
    const streams = plannedStreams({ ...parts, names: createNames("redcar") }).map(({ name }) => name)
    const log = { info: tell, warn: tell, error: tell }
    const copies = new Copies({ nats, clock: systemClock, log, streams, lookMs: 100 })
    const before = Date.now()
    try {
      expect([copies.health(), engine.health()]).toEqual([[], []])
      await servers.servers[2]!.kill("SIGKILL")
      await expect.poll(() => copies.health().join(), { timeout: 40_000 }).toMatch(/REDCAR_LOG_0.*REDCAR_LOG_1/)
      const line = copies.health().find((each) => each.includes("n2"))!
      expect(line).toMatch(/^the NATS server n2 is away or behind, and has no current copy, since 20\S+Z: KV_/)
      const since = Date.parse(/since (\S+):/.exec(line)![1]!)
      expect(since).toBeGreaterThanOrEqual(before)
      expect(since).toBeLessThanOrEqual(Date.now())
      await expect.poll(() => engine.health().join(), { timeout: 20_000 }).toContain("the NATS server n2 is away")
      expect(engine.outage()).toBeUndefined()
      expect(told.filter((text) => text.includes("n2"))).toHaveLength(1)

      await servers.servers[2]!.start()
      await expect.poll(() => [...copies.health(), ...engine.health()], { timeout: 40_000 }).toEqual([])
      expect(told.at(-1)).toContain("have their copies again")
    } finally {
      await copies.close()
      await nats.close()
      await engine.close()
    }
  }, 120_000)
})
