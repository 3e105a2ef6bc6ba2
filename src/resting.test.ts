import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openEmbeddedDirectory } from "./engines/embedded/engine.ts"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"
import { systemClock } from "./telemetry/clock.ts"

const data = mkdtempSync(join(tmpdir(), "redcar-resting-"))
const line = "1 trigger rests, for it cannot be matched: redcar trigger list says which, and why"
let hub: RestartableHub
beforeAll(async () => {
  hub = await startHubOn(data)
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/destinations", { id: "d", kind: "webhook", config: { url: "http://127.0.0.1:1/" } })
  for (const id of ["good", "bad"]) await hub.call("POST", "/v1/triggers", { id, topic: "orders", destination: "d" })
  await hub.stop()
  // As an earlier version has stored a number that became null.
  const engine = await openEmbeddedDirectory(data, { clock: systemClock })
  const stored = await engine.catalog.get<object>("trigger/default/bad")
  const filters = [{ pattern: { data: { total: [{ numeric: [">", null] }] } } }]
  await engine.catalog.put("trigger/default/bad", { ...stored!.value, filters })
  await engine.close()
  hub = await startHubOn(data)
})
afterAll(async () => {
  await hub.stop()
  rmSync(data, { recursive: true })
})

test("a trigger that rests says so, and why, and so does the hub until it is put right", async () => {
  const reason = expect.stringContaining("filters[0].pattern.data.total[0].numeric")
  const degraded = async () => (await hub.call("GET", "/readyz")).body.degraded
  await until(async () => (await degraded()).length > 0)
  expect((await hub.call("GET", "/readyz")).body).toMatchObject({ ready: true, degraded: [line] })
  expect((await hub.call("GET", "/v1/status")).body.health).toEqual([line])
  const { items } = (await hub.call("GET", "/v1/triggers")).body
  expect(items).toMatchObject([
    { id: "bad", status: { state: "resting", reason } },
    { id: "good", status: { state: "active" } },
  ])
  const bad = (await hub.call("GET", "/v1/triggers/bad")).body
  expect(bad.status).toMatchObject({ state: "resting", reason })
  // What was read can be sent back.
  const mended = await hub.call("PUT", "/v1/triggers/bad", { ...bad, filters: [] })
  expect(mended).toMatchObject({ status: 200, body: { status: { state: "active" } } })
  await until(async () => (await degraded()).length === 0)
  const paused = await hub.call("POST", "/v1/triggers/good/pause", { reason: "moving" })
  expect(paused.body.status).toEqual({ state: "paused", reason: "moving" })
})
