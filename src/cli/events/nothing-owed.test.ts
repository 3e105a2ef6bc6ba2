import { afterAll, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../../hub.fixture.ts"
import { until } from "../../restart.fixture.ts"
import { runCli } from "../terminal.fixture.ts"

let hub: TestHub

beforeAll(async () => {
  hub = await startTestHub()
  await hub.call("POST", "/v1/destinations", { id: "copy", kind: "topic", config: { topic: "archive" } })
})
afterAll(() => hub.stop())

async function publish(topic: string): Promise<string> {
  const event = { specversion: "1.0", id: "1", source: "/test", type: "order.placed" }
  const type = { "content-type": "application/cloudevents+json" }
  return (await hub.call("POST", `/v1/topics/${topic}/events`, event, type)).body.cursor as string
}

async function deliveries(cursor: string): Promise<string> {
  const { out } = await runCli(["event", "deliveries", cursor, "--url", hub.url, "--key", hub.key])
  return out
}

test("where no trigger is on the topic, that is why", async () => {
  expect(await deliveries(await publish("alone"))).toBe(
    "Nothing is owed of this event: no trigger is on topic alone.\n" +
      "One that also has the events of the past: redcar trigger create --topic alone --destination <id> --start oldest\n",
  )
})

test("a trigger that does not match, one that came later and one that is paused are each named with their reason", async () => {
  const make = (id: string, topic: string, more: object) =>
    hub.call("POST", "/v1/triggers", { id, topic, destination: "copy", ...more })
  await make("other", "orders", { filters: [{ exact: { type: "order.paid" } }] })
  const cursor = await publish("orders")
  await until(async () => (await deliveries(cursor)).includes("✗ other"))
  expect(await deliveries(cursor)).toMatch(
    /^Nothing is owed of this event:\n {2}✗ other: .*order\.paid.*\nClause by clause: redcar trigger explain other --cursor \w+\n$/,
  )

  const early = await publish("late")
  await make("later", "late", {})
  expect(await deliveries(early)).toBe(
    "Nothing is owed of this event:\n  ✗ later: The event was stored before the trigger's start.\n" +
      "One that starts earlier has it: redcar trigger create … --start oldest\n",
  )

  await make("resting", "paused", { paused: true })
  expect(await deliveries(await publish("paused"))).toMatch(
    /^Nothing is owed of this event yet:\n {2}\S resting: .*paused since .*fires when it is resumed\.\nIt goes on with: redcar trigger resume resting\n$/,
  )
})
