import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test, vi } from "vitest"
import { deletedTopicKeys } from "../core/catalog-keys.ts"
import { StorageError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import { newTopic, type Topic } from "../core/resources.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { startRetention } from "./retention.ts"

const defaults = { autoCreate: true, dedupeWindowMs: 5_000 }

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
  const retention = startRetention({ engine, clock, log, everyMs: 1_000, topics: defaults })
  await clock.advance(1_001)
  await dropped.promise
  expect((await engine.log.stats({ tenant: "default", topic: "short" })).events).toBe(1)
  expect((await engine.log.stats({ tenant: "default", topic: "long" })).events).toBe(3)
  await retention.stop()
  await engine.close()
  await rm(directory, { recursive: true })
})

test("comes to every topic where there are many", async () => {
  const directory = await mkdtemp(join(tmpdir(), "retention-"))
  const clock = createSimulatedClock(1_000_000)
  const engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
  const many = Array.from({ length: 600 }, (_, i) => `topic${i}`)
  const topicOf = (id: string) => ({ ...newTopic("default", id, 1, 2), retention: { eventsMax: 1 } })
  await Promise.all(many.map((id) => engine.catalog.put(`topic/default/${id}`, topicOf(id))))
  const event = (id: string) => Event.of({ specversion: "1.0", id, source: "/s", type: "t" })
  for (const topic of ["topic0", "topic599", "topic99"]) {
    await engine.log.append({ tenant: "default", topic }, [event("a"), event("b")])
  }
  const told: object[] = []
  const log = { info: (fields: object) => told.push(fields), warn() {}, error() {} }
  const retention = startRetention({ engine, clock, log, everyMs: 1_000, topics: defaults })
  await vi.waitFor(async () => {
    await clock.advance(500)
    expect(told).toEqual([{ events: 3, topics: 3 }])
  })
  await retention.stop()
  await engine.close()
  await rm(directory, { recursive: true })
})

test("a topic that cannot be trimmed is told of once, and once when it can be again", async () => {
  const directory = await mkdtemp(join(tmpdir(), "retention-"))
  const clock = createSimulatedClock(1_000_000)
  const engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
  const topic = { ...newTopic("default", "orders", 1, 2), retention: { eventsMax: 1 } }
  await engine.catalog.put("topic/default/orders", topic)
  const trim = vi.spyOn(engine.log, "trim").mockRejectedValue(new StorageError("the disk fails"))
  const told: string[] = []
  const line = (_: object, text: string) => told.push(text)
  const retention = startRetention({
    engine,
    clock,
    log: { info: line, warn: line, error: line },
    everyMs: 1_000,
    topics: defaults,
  })
  const rounds = async (count: number) => {
    const until = trim.mock.calls.length + count
    await vi.waitFor(async () => {
      await clock.advance(500)
      expect(trim.mock.calls.length).toBeGreaterThanOrEqual(until)
    })
  }
  await rounds(3)
  expect(told).toEqual(["retention failed on a topic"])
  trim.mockRestore()
  await vi.waitFor(async () => {
    await clock.advance(500)
    expect(told).toEqual(["retention failed on a topic", "retention of topic default/orders works again"])
  })
  await retention.stop()
  await engine.close()
  await rm(directory, { recursive: true })
})

test.each([true, false])(
  "what was published while its topic was deleted is not left behind (made by publishing: %s)",
  async (autoCreate) => {
    const directory = await mkdtemp(join(tmpdir(), "retention-"))
    const clock = createSimulatedClock(1_000_000)
    const engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
    const address = { tenant: "default", topic: "orders" }
    await engine.catalog.put("topic/default/orders", newTopic("default", "orders", 1, 2))
    const errors: object[] = []
    const log = { info() {}, warn() {}, error: (fields: object) => errors.push(fields) }
    // As the hub that deletes it leaves it, where it dies before it has seen to what came meanwhile.
    await engine.catalog.put(
      deletedTopicKeys.of({ tenant: "default", id: "orders" }),
      newTopic("default", "orders", 1, 2),
    )
    await engine.catalog.delete("topic/default/orders")
    await engine.log.append(address, [Event.of({ specversion: "1.0", id: "late", source: "/s", type: "t" })])
    const retention = startRetention({ engine, clock, log, everyMs: 1_000, topics: { ...defaults, autoCreate } })
    await vi.waitFor(async () => {
      await clock.advance(1_001)
      const topic = (await engine.catalog.get<Topic>("topic/default/orders"))?.value
      const { events } = await engine.log.stats(address)
      expect({ made: topic?.dedupeWindowMs, events }).toEqual(autoCreate ? { made: 5_000, events: 1 } : { events: 0 })
    })
    await vi.waitFor(async () => {
      await clock.advance(1_001)
      expect(await engine.catalog.list(deletedTopicKeys.prefix, { limit: 10 })).toEqual([])
    })
    expect(errors).toEqual([])
    await retention.stop()
    await engine.close()
    await rm(directory, { recursive: true })
  },
)
