import { expect, test } from "vitest"
import { authorization, type Fixture, openFixture } from "./fixture.ts"

/** A hub whose topic `orders` is deleted while an event is on its way to the disk. */
async function deleting(topicsAutoCreate: boolean): Promise<Fixture> {
  const gone = Promise.withResolvers<void>()
  const hub: Fixture = await openFixture({
    limits: { topicsAutoCreate },
    async beforeAppend() {
      await hub.engine.catalog.delete("topic/default/orders")
      gone.resolve()
    },
  })
  await hub.topics.ensure("default", "orders")
  return hub
}

const publish = (hub: Fixture) => hub.post("orders", { authorization, "content-type": "text/plain" }, "late")

test("a topic that is deleted while an event is published to it is there again when that is acknowledged", async () => {
  const hub = await deleting(true)
  expect((await publish(hub)).status).toBe(202)
  expect(await hub.engine.catalog.get("topic/default/orders")).toBeDefined()
  expect(hub.counts).toMatchObject([{ accepted: 1, refused: 0 }])
  await hub.close()
})

test("where publishing makes no topics the event is refused", async () => {
  const hub = await deleting(false)
  const { status, body } = await publish(hub)
  expect(status).toBe(404)
  expect(body.detail).toContain("topic orders was deleted while this was published")
  expect(await hub.engine.catalog.get("topic/default/orders")).toBeUndefined()
  expect(hub.counts).toMatchObject([{ accepted: 0, refused: 1 }])
  await hub.close()
})
