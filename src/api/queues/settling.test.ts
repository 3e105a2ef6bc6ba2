import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest"
import { attemptsTopic } from "../../core/address.ts"
import { deliveryId, laneOf } from "../../core/delivery.ts"
import { UnavailableError } from "../../core/errors.ts"
import type { Trigger } from "../../core/resources.ts"
import { formatLease } from "../../queues/token.ts"
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
  /** Another process has given them. */
  readonly elsewhere?: true
}

interface Item {
  readonly lease: string
  readonly cursor: string
}

async function leasedHere(queue: string, max: number, lease: string): Promise<readonly Item[]> {
  return (await api.call("POST", `/v1/queues/${queue}/lease`, { max, lease })).body.items
}

async function leasedElsewhere(lane: string, max: number): Promise<readonly Item[]> {
  const leases = await api.engine.queue.anywhere.lease({ lane, max, leaseMs: 300_000 })
  return leases.map((lease) => ({ lease: formatLease(lease), cursor: lease.delivery.cursor }))
}

/** Leases of new deliveries of a queue of its own. */
async function leases(count: number, lease: string, { topic = "orders", replay, elsewhere }: Made = {}) {
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
  const items = elsewhere
    ? await leasedElsewhere(laneOf({ ...made, destination: queue }), count)
    : await leasedHere(queue, count, lease)
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
  // Once where both are asked for at once, and once more where each asks by itself.
  let broken = 2
  vi.spyOn(catalog, "get").mockImplementation(async (key, options) => {
    if (key !== `trigger/default/${queue}` || broken === 0) return get(key, options)
    broken--
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
  const { items, settle } = await leases(1, "5m", { topic: "old", replay: "r1", elsewhere: true })
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

test("what was given here is settled without reading its event again, and its trigger is read once for all", async () => {
  const { queue, items, settle } = await leases(200, "5m")
  const [get, read] = [vi.spyOn(api.engine.catalog, "get"), vi.spyOn(api.engine.log, "get")]
  const states = await settle(items.map(({ lease }) => ({ lease, result: "done" })))
  expect(new Set(states)).toEqual(new Set(["settled"]))
  expect(read).not.toHaveBeenCalled()
  expect(get.mock.calls.filter(([key]) => key === `trigger/default/${queue}`)).toHaveLength(1)
  const told = (await api.call("GET", `/v1/topics/${attemptsTopic}:${items[9]!.cursor}/events`)).body
  const own = told.filter(({ source }: { source: string }) => source === `/redcar/triggers/${queue}`)
  expect(own.map(({ data }: { data: object }) => data)).toMatchObject([
    { number: 1, event: { source: expect.any(String) } },
  ])
})

test("of what another process has given many are settled in one request", async () => {
  const { items, settle } = await leases(200, "5m", { elsewhere: true })
  const states = await settle(items.map(({ lease }) => ({ lease, result: "done" })))
  expect(states).toEqual(items.map(() => "settled"))
})
