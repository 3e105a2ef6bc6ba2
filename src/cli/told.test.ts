import { afterAll, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../hub.fixture.ts"
import { until } from "../restart.fixture.ts"
import { runCli } from "./terminal.fixture.ts"

let hub: TestHub

/** Two deliveries of trigger `paid`, which is paused, to destination `shop`. */
beforeAll(async () => {
  hub = await startTestHub()
  for (const id of ["shop", "other"])
    await hub.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "http://127.0.0.1:1/hook" } })
  await hub.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop" })
  for (const id of ["1", "2"]) {
    const event = { specversion: "1.0", id, source: "/test", type: "order.paid" }
    await hub.call("POST", "/v1/topics/orders/events", event, { "content-type": "application/cloudevents+json" })
  }
  await until(async () => (await hub.call("GET", "/v1/deliveries")).body.items.length === 2)
})
afterAll(() => hub.stop())

const told = async (...words: readonly string[]) => {
  const { code, out, err } = await runCli([...words, "--url", hub.url, "--key", hub.key], { env: { NO_COLOR: "1" } })
  expect(code).toBe(0)
  return out + err
}

test.each([
  ["delivery list --trigger padi", "Nothing matches --trigger padi.\nThere is no trigger padi. Did you mean paid?\n"],
  [
    "delivery list --destination shpo --state parked",
    "Nothing matches --destination shpo --state parked.\nThere is no destination shpo. Did you mean shop?\n",
  ],
  ["delivery list --trigger paid --destination other", "Nothing matches --trigger paid --destination other.\n"],
  ["dead-letter list --trigger nosuch", "Nothing matches --trigger nosuch.\nThere is no trigger nosuch.\n"],
  ["dead-letter list --dead-reason gone", "Nothing matches --dead-reason gone.\n"],
  ["dead-letter list", "No dead letters: nothing was given up.\n"],
  ["delivery list --trigger padi --json", "[]\n"],
  ["event delayed", "No event is delayed.\n"],
  ["event delayed --topic order", "Nothing matches --topic order.\nThere is no topic order. Did you mean orders?\n"],
])("an empty list says what nothing matches: %s", async (line, said) => {
  expect(await told(...line.split(" "))).toBe(said)
})

test("what a trial says would happen is what would happen", async () => {
  expect(await told("trigger", "create", "x", "--topic", "order", "--destination", "shop", "--dry-run")).toContain(
    "There is no topic order yet: it would be made. Did you mean orders?\n",
  )
  const moved = ["trigger", "update", "paid", "--destination", "other", "--dry-run"]
  expect(await told(...moved)).toContain(
    "2 open deliveries of it to shop would still go there; --backlog move brings them along\n",
  )
  expect(await told(...moved, "--backlog", "move")).toContain(
    "2 open deliveries of it to shop would go to other instead\n",
  )
  expect(await told("destination", "delete", "shop", "--force", "--dry-run")).toBe(
    "✓ destination shop could be deleted; would pause paid; of 2 open deliveries (of paid) those of paused triggers would wait, the others would become dead letters as they come due\n",
  )
  expect((await hub.call("GET", "/v1/triggers/paid")).body.paused).toBe(false)
  expect(await told("trigger", "delete", "paid", "--dry-run")).toBe(
    "✓ trigger paid could be deleted, and with it 2 deliveries that are not done yet\n",
  )
  expect(await told("trigger", "delete", "paid", "--yes")).toBe(
    "✓ deleted trigger paid, and with it 2 deliveries that are not done yet\n",
  )
})

test("an event without data beside a pipe is told that the pipe was not read", async () => {
  const words = ["publish", "alone", "--type", "t", "--url", hub.url, "--key", hub.key]
  const said = "Its data is empty: standard input was not read. `-` for the data reads events from there.\n"
  expect((await runCli(words, { stdin: '{"x":1}' })).err).toBe(said)
  expect((await runCli(words)).err).toBe("")
  expect((await runCli(["publish", "alone", "{}", ...words.slice(2)], { stdin: "x" })).err).toBe("")
})

test("a dry run ends at the newest, as everywhere a place is said", async () => {
  expect(await told("trigger", "dry-run", "--topic", "orders", "--from", "oldest", "--until", "newest")).toContain(
    "2 of 2 events would fire it",
  )
})
