import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { foreverMs } from "../../core/deliveries.ts"
import { WorkQueues } from "../../queues/work-queues.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"
import { makeWork } from "./work.fixture.ts"

const clock = createSimulatedClock(1_700_000_000_000)
let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ clock })
})
afterAll(() => api.close())

const work = (config: object = {}) => makeWork(api, config)

test("where leases never lapse, what is leased is its worker's until it settles, or it is unlocked", async () => {
  const { queue, add, lease, settle, post, status } = await work({ lease: "never" })
  const [a, b, c] = await add(3)
  const leased = await lease({ max: 3, lease: "1s" })
  expect(leased.map(({ delivery }) => delivery)).toEqual([a!.id, b!.id, c!.id])
  expect(leased[0]).not.toHaveProperty("expiresAt")
  await clock.advance(100 * 86_400_000)
  expect(await lease({ max: 3 })).toEqual([])
  expect(await status()).toMatchObject({ open: 3, leased: 3, ready: 0 })
  const [one, two, three] = leased.map((item) => item.lease)
  expect((await post("extend", { leases: [one] })).body).toEqual({ items: [{ lease: one, state: "extended" }] })
  expect(await settle([{ lease: one, result: "done" }])).toEqual(["settled"])
  expect((await post("unlock", { deliveries: [] })).body).toEqual({ items: [] })
  const unlocked = await post("unlock", { deliveries: [a!.id, b!.id] })
  expect(unlocked.body).toEqual({
    items: [
      { delivery: a!.id, state: "not-leased" },
      { delivery: b!.id, state: "unlocked" },
    ],
  })
  expect(await settle([{ lease: two, result: "done" }])).toEqual(["lost"])
  expect(await lease({ max: 3 })).toMatchObject([{ delivery: b!.id, attempt: 2 }])
  expect((await post("unlock", { all: true })).body.items).toEqual(
    [b!, c!].map(({ id }) => ({ delivery: id, state: "unlocked" })),
  )
  expect((await post("unlock", { all: true, after: "0" })).body).toEqual({ items: [] })
  expect(await settle([{ lease: three, result: "done" }])).toEqual(["lost"])
  const { items } = (await api.call("GET", `/v1/deliveries?destination=${queue}`)).body
  expect(items.map(({ state }: { state: string }) => state)).toEqual(["due", "due"])
})

test("what is unlocked is told from what is not said, said twice, or of another queue", async () => {
  const { post } = await work()
  const other = await work({ lease: "never" })
  const [a] = await other.add(1)
  await other.lease()
  const of = async (body: object) => (await post("unlock", body)).body
  expect((await of({})).errors).toMatchObject([{ field: "deliveries" }])
  expect((await of({ all: true, deliveries: [] })).errors).toMatchObject([{ field: "all" }])
  expect((await of({ deliveries: [], after: "x" })).errors).toMatchObject([{ field: "after" }])
  expect((await of({ deliveries: ["a b"] })).errors).toMatchObject([{ field: "deliveries[0]" }])
  expect((await of({ deliveries: [a!.id, "x".repeat(1_024)] })).items).toMatchObject([
    { state: "not-leased" },
    { state: "not-leased" },
  ])
  expect(await other.status()).toMatchObject({ leased: 1 })
})

test("a worker that goes away before it has its answer has nothing leased for ever", async () => {
  const { queue, add, lease, status } = await work({ lease: "never" })
  await add(2)
  const { engine } = api
  const chance = createSimulatedChance("forever")
  const log = pino({ enabled: false })
  const queues = new WorkQueues({ engine, clock, chance, log, observe: {}, stop: new AbortController().signal })
  const gone = new AbortController()
  gone.abort()
  const wish = { max: 2, leaseMs: foreverMs, waitMs: 0 }
  const of = { tenant: "default", destination: queue }
  expect(await queues.lease(of, { ...wish, gone: gone.signal })).toEqual([])
  const given = await queues.lease(of, { ...wish, gone: new AbortController().signal })
  expect(given).toHaveLength(2)
  await queues.giveBack(given)
  expect(await status()).toMatchObject({ ready: 2, leased: 0 })
  expect(await lease({ max: 2 })).toMatchObject([{ attempt: 1 }, { attempt: 1 }])
})
