import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest"
import { attemptsTopic } from "../../core/address.ts"
import { deliveryId } from "../../core/delivery.ts"
import { UnavailableError } from "../../core/errors.ts"
import type { Trigger } from "../../core/resources.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

const clock = createSimulatedClock(1_700_000_000_000)
const logged: string[] = []
const log = (_: object, text: string) => void logged.push(text)
let api: TestApi
let last = 0

beforeAll(async () => {
  api = await openTestApi({ clock, log: { info: log, warn: log, error: log } })
})
afterEach(() => vi.restoreAllMocks())
afterAll(() => api.close())

interface Made {
  readonly topic?: string
  readonly replay?: string
}

/** Leases of new deliveries of a queue of its own. */
async function leases(count: number, lease: string, { topic = "orders", replay }: Made = {}) {
  const queue = `q${++last}`
  await api.call("POST", "/v1/destinations", { id: queue, kind: "queue", config: {} })
  await api.call("POST", "/v1/triggers", { id: queue, topic: "orders", destination: queue })
  const { incarnation = "" } = (await api.engine.catalog.get<Trigger>(`trigger/default/${queue}`))!.value
  const names = { tenant: "default", trigger: queue, incarnation, destination: queue, fingerprint: 0 }
  const ids = Array.from({ length: count }, () => `e${++last}`)
  const cursors = await api.append(topic, ids)
  const made = { ...names, ...(replay !== undefined && { replay }) }
  await api.engine.queue.enqueue(
    cursors.map((cursor) => ({ ...made, cursor, id: deliveryId(cursor, queue, incarnation) })),
  )
  const given = await api.call("POST", `/v1/queues/${queue}/lease`, { max: count, lease })
  const items: readonly { readonly lease: string; readonly cursor: string }[] = given.body.items
  const settle = async (settlements: readonly object[]): Promise<readonly string[]> => {
    const answer = await api.call("POST", `/v1/queues/${queue}/settle`, { settlements })
    return answer.body.items.map(({ state }: { state: string }) => state)
  }
  return { queue, items, settle }
}

test("what fails unexpectedly fails for its lease alone, is logged, and may be asked again", async () => {
  const { queue, items, settle } = await leases(2, "5m")
  const { catalog } = api.engine
  const get = catalog.get.bind(catalog)
  let isBroken = true
  vi.spyOn(catalog, "get").mockImplementation(async (key, options) => {
    if (key !== `trigger/default/${queue}` || !isBroken) return get(key, options)
    isBroken = false
    throw new TypeError("a bug")
  })
  const settlements = items.map(({ lease }) => ({ lease, result: "done" }))
  expect(await settle(settlements)).toEqual(["failed", "settled"])
  expect(logged).toEqual(["what a worker asked for a lease failed"])
  expect(await settle(settlements)).toEqual(["settled", "lost"])
})

test("a settlement that fails leaves the lease its time, and the attempt is told once, from the lease's beginning", async () => {
  const { queue, items, settle } = await leases(1, "10m")
  const begunAt = clock.now()
  await clock.advance(1_500)
  const { anywhere } = api.engine.queue
  vi.spyOn(anywhere, "end").mockRejectedValueOnce(new UnavailableError("nobody holds the shard"))
  const settlements = items.map(({ lease }) => ({ lease, result: "done" }))
  expect(await settle(settlements)).toEqual(["failed"])
  await clock.advance(120_000)
  expect(await settle(settlements)).toEqual(["settled"])
  const told = (await api.call("GET", `/v1/topics/${attemptsTopic}:${items[0]!.cursor}/events`)).body
  const attempts = told.filter((event: { source: string }) => event.source === `/redcar/triggers/${queue}`)
  expect(attempts.map(({ data }: { data: object }) => data)).toMatchObject([{ number: 1, startedAt: begunAt }])
})

test("what is settled of a replay is looked for on the replay's topic", async () => {
  await api.engine.catalog.put("replay/default/r1", { id: "r1", tenant: "default", state: "running", topic: "old" })
  const { items, settle } = await leases(1, "5m", { topic: "old", replay: "r1" })
  const { log: events } = api.engine
  const get = events.get.bind(events)
  const lookedOn: unknown[] = []
  vi.spyOn(events, "get").mockImplementation(async (cursor, options) => {
    if (options?.of === undefined) return undefined
    lookedOn.push(options.of)
    return get(cursor, options)
  })
  expect(await settle(items.map(({ lease }) => ({ lease, result: "done" })))).toEqual(["settled"])
  expect(lookedOn).toEqual([{ tenant: "default", topic: "old" }])
})
