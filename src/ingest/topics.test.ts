import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import type { Engine } from "../core/engine.ts"
import { ClosedError } from "../core/errors.ts"
import { newTopic, type Topic } from "../core/resources.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { openTopics, type Topics } from "./topics.ts"

const clock = createSimulatedClock(1_000)
let directory: string
let engine: Engine
let stop: AbortController

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "topics-"))
  engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await engine.close()
  await rm(directory, { recursive: true })
})

function openView(): Promise<Topics> {
  return openTopics({ catalog: engine.catalog, clock, dedupeWindowMs: 5_000, stop: stop.signal })
}

it("knows from the start what is there", async () => {
  const topic = newTopic("acme", "orders", 1, 2)
  await engine.catalog.put("topic/acme/orders", topic)
  const topics = await openView()
  expect(topics.get("acme", "orders")).toEqual(topic)
  expect(topics.get("other", "orders")).toBeUndefined()
  expect(await topics.ensure("acme", "orders")).toEqual(topic)
})

it("makes a topic once, with the defaults", async () => {
  const topics = await openView()
  const all = await Promise.all([1, 2, 3].map(() => topics.ensure("default", "orders")))
  const made = newTopic("default", "orders", 1_000, 5_000)
  expect(all).toEqual([made, made, made])
  expect(await engine.catalog.list("topic/", { limit: 1_000 })).toMatchObject([
    { key: "topic/default/orders", value: made },
  ])
  expect(topics.get("default", "orders")).toEqual(made)
})

it("takes the topic that someone else made at the same time", async () => {
  const topics = await openView()
  const theirs = newTopic("default", "orders", 5, 6)
  const put = engine.catalog.put("topic/default/orders", theirs)
  expect(await topics.ensure("default", "orders")).toEqual(theirs)
  await put
})

it("makes a topic again that is deleted before it is seen", async () => {
  const topics = await openView()
  const made = topics.ensure("default", "orders")
  const deleted = await engine.catalog.delete("topic/default/orders")
  expect((await made).id).toBe("orders")
  expect(deleted).toBe(true)
})

it("follows changes", async () => {
  const topics = await openView()
  const topic = await topics.ensure("default", "orders")
  const changed: Topic = { ...topic, dedupeWindowMs: 7 }
  await engine.catalog.put("topic/default/orders", changed)
  await vi.waitFor(() => expect(topics.get("default", "orders")).toEqual(changed), { interval: 1 })
  await engine.catalog.delete("topic/default/orders")
  await vi.waitFor(() => expect(topics.get("default", "orders")).toBeUndefined(), { interval: 1 })
})

it("makes none any more once it has ended", async () => {
  const topics = await openView()
  stop.abort()
  await topics.watching
  await expect(topics.ensure("default", "orders")).rejects.toThrow(ClosedError)
})

it("passes on why a topic could not be made", async () => {
  const topics = await openView()
  await engine.close()
  await expect(topics.ensure("default", "orders")).rejects.toThrow(ClosedError)
  engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
})
