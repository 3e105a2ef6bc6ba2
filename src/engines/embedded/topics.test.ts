import { expect, test } from "vitest"
import type { Topic } from "../../core/resources.ts"
import { openEmbeddedEngine } from "./engine.ts"
import { event, machine } from "./log/machine.fixture.ts"

const segmentBytes = 16 << 10

test("topics that have events are made again, where the catalog is lost with the oldest segment and the state", async () => {
  const host = machine({ segmentBytes })
  const open = () =>
    host.run(openEmbeddedEngine({ ...host.logOptions(), defer: queueMicrotask, dedupeWindowMs: 5_000 }))
  let engine = await open()
  const append = (topic: string, id: string) => host.run(engine.log.append({ tenant: "acme", topic }, [event(id, 900)]))
  const topic = (id: string) => engine.catalog.get<Topic>(`topic/acme/${id}`)
  for (const id of ["orders", "empty", "gone"]) await host.run(engine.catalog.put(`topic/acme/${id}`, { id }))
  await append("gone", "g")
  for (let i = 0; i < 30; i++) await append(i % 2 ? "orders" : "redcar.attempts", `e${i}`)
  await host.run(engine.catalog.put("topic/acme/late", { id: "late", description: "kept" }))
  await append("late", "l")
  await host.run(engine.close())
  await host.run(host.hand().remove(host.segments()[0]!))
  host.store.lose()
  engine = await open()
  expect((await topic("orders"))?.value).toMatchObject({
    id: "orders",
    tenant: "acme",
    retention: {},
    dedupeWindowMs: 5_000,
  })
  expect((await topic("late"))?.value).toEqual({ id: "late", description: "kept" })
  for (const id of ["empty", "gone", "redcar.attempts"]) expect(await topic(id), id).toBeUndefined()
  await host.run(engine.close())
})

test("a topic that has events is made again, where the segment that told of it is lost with the state", async () => {
  const host = machine({ segmentBytes })
  const open = () => host.run(openEmbeddedEngine({ ...host.logOptions(), defer: queueMicrotask }))
  let engine = await open()
  const append = (topic: string, id: string) => host.run(engine.log.append({ tenant: "acme", topic }, [event(id, 900)]))
  await host.run(engine.catalog.put("topic/acme/orders", { id: "orders", description: "kept" }))
  for (let i = 0; i < 30; i++) await append("orders", `before${i}`)
  await host.run(engine.catalog.put("topic/acme/side", { id: "side" }))
  const told = host.segments().at(-1)!
  for (let i = 0; i < 30; i++) await append("orders", `after${i}`)
  await append("side", "one")
  await host.run(engine.close())
  await host.run(host.hand().remove(told))
  host.store.lose()
  engine = await open()
  expect((await engine.catalog.get<Topic>("topic/acme/side"))?.value).toMatchObject({ id: "side", retention: {} })
  expect((await engine.catalog.get<Topic>("topic/acme/orders"))?.value).toEqual({ id: "orders", description: "kept" })
  await host.run(engine.close())
})
