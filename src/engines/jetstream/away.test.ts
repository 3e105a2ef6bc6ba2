import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test, vi } from "vitest"
import { Conditions } from "../../core/troubles.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { natsAvailable, startNats } from "../../testing/nats.ts"
import { openJetStreamEngine } from "./engine.ts"

/** How long NATS is away: each of what looks for it has found several times that it is not there. */
const awayMs = 12_000

test.skipIf(natsAvailable() === undefined)(
  "NATS that is away is told of once, and once when it is back, however often it is looked for (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    const directory = await mkdtemp(join(tmpdir(), "redcar-away-"))
    const lines: string[] = []
    const line = (_: object, text: string) => void lines.push(text)
    const log = { info: line, warn: line, error: line }
    const engine = await openJetStreamEngine({
      servers: [nats.url],
      prefix: "redcar",
      partitions: 2,
      replicas: 1,
      dedupeWindowMsMax: 120_000,
      directory,
      serveQueue: true,
      pendingBytesMax: 1 << 20,
      clock: systemClock,
      log,
    })
    const conditions = new Conditions(log)
    const look = setInterval(() => conditions.see(engine.troubles()), 200)
    const assignments = new AbortController()
    const taking = (async () => {
      for await (const assignment of engine.assignments.take("route", 2, assignments.signal))
        assignment.lost.addEventListener("abort", () => void assignment.release())
    })()
    try {
      await vi.waitFor(() => expect(lines.filter((text) => text.includes("is held here"))).toHaveLength(2), {
        timeout: 20_000,
      })
      lines.splice(0)
      await nats.servers[0]!.kill()
      await vi.waitFor(() => expect(engine.outage()).toBe("no NATS server answers"), { timeout: 10_000 })
      const back = performance.now() + awayMs
      await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(back), { timeout: 2 * awayMs, interval: 250 })
      const away = lines.splice(0)
      expect(away).toContain("the connection to NATS is cut")
      expect(away.filter((text, i) => away.indexOf(text) !== i)).toEqual([])
      await nats.servers[0]!.start()
      await vi.waitFor(
        () => {
          expect(engine.outage()).toBeUndefined()
          expect(engine.troubles()).toEqual([])
          expect(lines.filter((text) => text.includes("is held here"))).toHaveLength(2)
        },
        { timeout: 40_000 },
      )
      expect(lines.filter((text) => text === "connected to NATS again")).toHaveLength(1)
    } finally {
      clearInterval(look)
      assignments.abort()
      await taking
      await engine.close()
      await nats.stop()
      await rm(directory, { recursive: true, force: true })
    }
  },
  120_000,
)
