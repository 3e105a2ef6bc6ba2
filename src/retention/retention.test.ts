import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { startRetention } from "./retention.ts"

test("drops what a topic no longer keeps, and leaves the others alone", async () => {
  const directory = await mkdtemp(join(tmpdir(), "retention-"))
  const clock = createSimulatedClock(1_000_000)
  const engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
  const topic = (id: string, retention: object) =>
    engine.catalog.put(`topic/default/${id}`, { id, tenant: "default", retention })
  await topic("short", { eventsMax: 1 })
  await topic("long", {})
  for (const topic of ["short", "long"]) {
    const events = ["a", "b", "c"].map((id) => Event.of({ specversion: "1.0", id, source: "/s", type: "t" }))
    await engine.log.append({ tenant: "default", topic }, events)
  }
  const dropped = Promise.withResolvers<void>()
  const log = { info: () => dropped.resolve(), warn() {}, error: (fields: object) => dropped.reject(fields) }
  const retention = startRetention({ engine, clock, log, everyMs: 1_000 })
  await clock.advance(1_001)
  await dropped.promise
  expect((await engine.log.stats({ tenant: "default", topic: "short" })).events).toBe(1)
  expect((await engine.log.stats({ tenant: "default", topic: "long" })).events).toBe(3)
  await retention.stop()
  await engine.close()
  await rm(directory, { recursive: true })
})
