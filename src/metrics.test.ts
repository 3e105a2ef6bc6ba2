import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { startTestHub, type TestHub } from "./hub.fixture.ts"
import { natsAvailable, startNats } from "./testing/nats.ts"

const page = readFileSync(new URL("../docs/metrics.md", import.meta.url), "utf8")

interface Told {
  readonly type: string
  readonly labels: readonly string[]
}

/** What the page says of each metric, and of which engine alone. */
const documented = new Map(
  [...page.matchAll(/^\| `(redcar_\w+)` \| (\w+) \| ([^|]*)\| (?:(embedded|NATS): )?/gm)].map(
    ([, name, type, labels, engine]) => [
      name!,
      { type: type!, labels: [...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label!), engine },
    ],
  ),
)

let hub: TestHub
/** Answers /good with 204 and all else with 400. */
const receiver = createServer((request, response) => response.writeHead(request.url === "/good" ? 204 : 400).end())
beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve))
})
afterAll(() => new Promise((resolve) => receiver.close(resolve)))

async function work(): Promise<void> {
  const { port } = receiver.address() as AddressInfo
  for (const id of ["good", "bad"]) {
    const destination = { id, kind: "webhook", config: { url: `http://127.0.0.1:${port}/${id}` } }
    expect((await hub.call("POST", "/v1/destinations", destination)).status).toBe(201)
    expect(
      (
        await hub.call("POST", "/v1/triggers", {
          id,
          topic: "orders",
          destination: id,
          retry: { preset: "relay", attemptsMax: 1 },
        })
      ).status,
    ).toBe(201)
  }
  const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid" }
  const json = { "content-type": "application/cloudevents+json" }
  expect((await hub.call("POST", "/v1/topics/orders/events", event, json)).status).toBe(202)
  const past = { id: "past", topic: "orders", destination: "good", start: "oldest" }
  expect((await hub.call("POST", "/v1/triggers", past)).status).toBe(201)
}

async function scrape(): Promise<{ readonly types: Map<string, string>; readonly samples: Map<string, number> }> {
  const { text } = await hub.call("GET", "/metrics")
  const types = new Map([...text.matchAll(/^# TYPE (redcar_\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]))
  const samples = new Map([...text.matchAll(/^(redcar_\S+) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)]))
  return { types, samples }
}

/** What a hub that has worked tells, by name. Of a metric without samples the labels are not known. */
async function told(): Promise<Map<string, Told>> {
  const { types, samples } = await scrape()
  const found = new Map<string, Told>()
  for (const [name, type] of types) {
    const ending = type === "histogram" ? "_count" : ""
    const sample = [...samples.keys()].find((key) => key.split("{")[0] === name + ending)
    const labels = [...(sample ?? "").matchAll(/[{,](\w+)="/g)].map(([, label]) => label!)
    found.set(name, { type, labels: sample === undefined ? (documented.get(name)?.labels ?? []) : labels })
  }
  return found
}

async function expectDocumented(engine: "embedded" | "NATS"): Promise<void> {
  await work()
  await vi.waitFor(
    async () => {
      const { samples } = await scrape()
      expect(samples.get('redcar_dead_letters_total{tenant="default",destination="bad",reason="exhausted"}')).toBe(1)
      expect(samples.get('redcar_routed_deliveries_total{reader="catch-up"}')).toBe(1)
      expect(samples.get('redcar_routed_deliveries_total{reader="router"}')).toBe(2)
      const good = 'tenant="default",destination="good"'
      expect(samples.get(`redcar_attempt_duration_seconds_count{${good}}`)).toBe(2)
      // What was read of the past did not wait since it was stored.
      expect(samples.get(`redcar_first_attempt_lag_seconds_count{${good}}`)).toBe(1)
      expect(samples.get(`redcar_deliveries_open{${good}}`)).toBe(0)
      expect(samples.get("redcar_publish_duration_seconds_count")).toBe(1)
      expect(samples.get("redcar_route_lag_seconds_count")).toBeGreaterThan(0)
    },
    { timeout: 20_000, interval: 50 },
  )
  const here = [...documented].filter(([, one]) => one.engine === undefined || one.engine === engine)
  const expected = Object.fromEntries(here.map(([name, { type, labels }]) => [name, { type, labels }]))
  expect(Object.fromEntries(await told())).toEqual(expected)
}

test("an embedded hub tells what docs/metrics.md says, and nothing else", async () => {
  hub = await startTestHub()
  try {
    await expectDocumented("embedded")
  } finally {
    await hub.stop()
  }
})

test.skipIf(natsAvailable() === undefined)(
  "a hub on NATS tells what docs/metrics.md says, and nothing else (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    hub = await startTestHub({ engine: nats.url })
    try {
      await expectDocumented("NATS")
    } finally {
      await hub.stop()
      await nats.stop()
    }
  },
  60_000,
)

test("names follow Prometheus' conventions", () => {
  for (const [name, { type }] of documented) {
    expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"])
    if (type === "histogram") expect(name).toMatch(/_seconds$/)
    expect(name).not.toMatch(/_(ms|millis|kb|mb|count|sum|bucket)$/)
  }
  for (const [name] of page.matchAll(/redcar_\w+/g)) {
    expect([...documented.keys()]).toContain(
      name.replace(/_bucket$|_count$/, "").replace(/^redcar_log_$/, "redcar_log_bytes"),
    )
  }
})
