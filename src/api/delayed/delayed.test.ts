import { afterAll, beforeAll, expect, test } from "vitest"
import { releaseOf, waitingAddress } from "../../core/delayed.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { createEvent, ordersAddress, startMs } from "../../testing/samples.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

const clock = createSimulatedClock(startMs)
let api: TestApi

beforeAll(async () => {
  api = await openTestApi({ clock })
})
afterAll(() => api.close())

test("a delayed event is its tenant's", async () => {
  const deliverat = new Date(startMs + 3_600_000).toISOString()
  const event = createEvent("1", { deliverat })
  const address = waitingAddress({ createdAt: startMs }, ordersAddress, event)
  const [stored] = await api.engine.log.append(address, [event])
  await api.engine.queue.enqueue([releaseOf({ address, cursor: stored!.cursor, storedAt: startMs, event })!])
  const path = `/v1/delayed/${stored!.cursor}`
  expect((await api.call("GET", "/v1/delayed")).body.items).toMatchObject([{ id: stored!.cursor, topic: "orders" }])
  const other = { authorization: "Bearer other" }
  expect((await api.call("DELETE", path, undefined, other)).status).toBe(404)
  expect((await api.call("GET", "/v1/delayed", undefined, other)).body.items).toEqual([])
  for (const id of ["x", "~", "0", `${stored!.cursor}0`, "%00"])
    expect((await api.call("DELETE", `/v1/delayed/${id}`)).status, id).toBe(404)
  expect((await api.call("DELETE", path)).status).toBe(204)
})
