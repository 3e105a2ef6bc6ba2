import { expect, test, vi } from "vitest"
import { deletedTopicKeys } from "../../core/catalog-keys.ts"
import { openTestApi, testEvent } from "../api.fixture.ts"

test.each([true, false])(
  "a topic that is published to between its events and itself being deleted leaves none (made by publishing: %s)",
  async (autoCreate) => {
    const api = await openTestApi({ topics: { autoCreate, dedupeWindowMs: 5_000 } })
    const address = { tenant: "default", topic: "orders" }
    const remove = api.engine.catalog.change.bind(api.engine.catalog)
    await api.append("orders", ["a", "b"])
    await api.call("PATCH", "/v1/topics/orders", { description: "the old one" })
    vi.spyOn(api.engine.catalog, "change").mockImplementationOnce(async (writes, conditions) => {
      await api.engine.log.append(address, [testEvent("late")])
      return remove(writes, conditions)
    })
    expect((await api.call("DELETE", "/v1/topics/orders")).status).toBe(204)
    const { status, body } = await api.call("GET", "/v1/topics/orders")
    const { events } = await api.engine.log.stats(address)
    if (autoCreate) {
      expect({ status, events, old: body.description }).toEqual({ status: 200, events: 1, old: undefined })
    } else expect({ status, events }).toEqual({ status: 404, events: 0 })
    await api.close()
  },
)

test("a deletion is noted before the topic is gone, and not where it is only tried", async () => {
  const api = await openTestApi()
  const { catalog } = api.engine
  const noted = async () => (await catalog.get(deletedTopicKeys.of({ tenant: "default", id: "orders" }))) !== undefined
  const remove = catalog.change.bind(catalog)
  await api.append("orders", ["a"])
  await api.call("DELETE", "/v1/topics/orders?validate_only=true")
  expect(await noted()).toBe(false)
  const before: boolean[] = []
  vi.spyOn(catalog, "change").mockImplementationOnce(async (writes, conditions) => {
    before.push(await noted())
    return remove(writes, conditions)
  })
  expect((await api.call("DELETE", "/v1/topics/orders")).status).toBe(204)
  expect(before).toEqual([true])
  await api.close()
})
