import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { type RestartableHub, startHubOn, startReceiver, until } from "./restart.fixture.ts"
import { natsAvailable, startNats } from "./testing/nats.ts"

let data: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "redcar-hold-"))
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  rmSync(data, { recursive: true, force: true })
})

const event = (id: string) => ({ specversion: "1.0", id, source: "/shop", type: "order.paid", data: { id } })

/** One event whose delivery has failed once and is due again at once, and a trigger that is paused. */
async function prepare({ call }: RestartableHub, receiver: { readonly url: string }): Promise<string> {
  await call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: receiver.url } })
  const retry = { delays: ["3s"], attemptsMax: 10, ageMax: "1d" }
  await call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop", retry })
  const { body } = await call("POST", "/v1/topics/orders/events", event("e1"))
  await until(async () => (await stateOf(call, body.cursor)) === "parked")
  return body.cursor as string
}

async function stateOf(call: RestartableHub["call"], cursor: string): Promise<string> {
  return (await call("GET", `/v1/events/${cursor}/deliveries`)).body.items?.[0]?.state
}

async function start(flags: Readonly<Record<string, string>>): Promise<RestartableHub> {
  const hub = await startHubOn(data, flags)
  closing.push(() => hub.stop())
  return hub
}

async function holdAndGoOn(flags: Readonly<Record<string, string>>): Promise<void> {
  const receiver = await startReceiver()
  closing.push(() => receiver.stop())
  const hub = await start(flags)
  const cursor = await prepare(hub, receiver)
  await hub.stop()
  receiver.open = true
  const tried = receiver.tried

  const held = await start({ ...flags, hold: "true" })
  const { call } = held
  expect(await call("GET", "/readyz")).toMatchObject({ status: 200, body: { ready: true, held: true } })
  expect(await call("GET", "/v1/status")).toMatchObject({ body: { ready: true, held: true } })
  await until(async () => (await stateOf(call, cursor)) === "due")
  expect(await call("POST", "/v1/topics/orders/events", event("e2"))).toMatchObject({
    status: 503,
    body: { code: "held", detail: expect.stringContaining("--hold") },
  })
  expect(await call("POST", "/v1/destinations/shop/test")).toMatchObject({ status: 503, body: { code: "held" } })
  expect(await call("GET", "/v1/topics/orders/events?from=oldest")).toMatchObject({ body: [{ id: "e1" }] })
  expect(await call("POST", "/v1/triggers/paid/pause")).toMatchObject({ status: 200 })
  expect(await call("POST", "/v1/triggers/paid/resume")).toMatchObject({ status: 200 })
  const doctor = await runCli(["doctor", "--url", held.address, "--data", data, "--json"])
  expect(JSON.parse(doctor.out).checks).toContainEqual(
    expect.objectContaining({ name: "hold", result: "warning", next: expect.stringContaining("without --hold") }),
  )
  await held.stop()
  expect(receiver.tried).toBe(tried)

  const again = await start(flags)
  expect(await again.call("GET", "/readyz")).toMatchObject({ status: 200, body: { held: false } })
  await until(() => receiver.taken.length > 0)
  expect(receiver.taken).toEqual(["e1"])
}

test("a hub that is held can be looked at and changed; nothing leaves it and nothing comes in until it is let go", async () => {
  await holdAndGoOn({})
}, 60_000)

test.skipIf(natsAvailable() === undefined)(
  "so can one on NATS (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    closing.push(() => nats.stop())
    await holdAndGoOn({ engine: nats.url })
  },
  90_000,
)
