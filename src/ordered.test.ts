import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { startTestHub, type TestHub } from "./hub.fixture.ts"
import { until } from "./restart.fixture.ts"

interface Order {
  readonly customer?: string | number
  readonly number: number
}

/** What came, in the order of coming; and how it is answered. */
const seen: string[] = []
const underWay = new Map<string, number>()
let most = 0
let answer: (order: Order, tries: number) => number = () => 204

const receiver = createServer(async (request, response) => {
  const order = (await json(request)) as Order
  const { customer = "nobody", number } = order
  underWay.set(String(customer), (underWay.get(String(customer)) ?? 0) + 1)
  most = Math.max(most, underWay.get(String(customer))!)
  seen.push(`${customer}${number}`)
  await new Promise(setImmediate)
  underWay.set(String(customer), underWay.get(String(customer))! - 1)
  response.writeHead(answer(order, seen.filter((one) => one === `${customer}${number}`).length)).end()
})

let hub: TestHub
beforeAll(async () => {
  await once(receiver.listen(0, "127.0.0.1"), "listening")
  hub = await startTestHub()
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  await hub.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url } })
})
afterAll(async () => {
  await hub.stop()
  receiver.close()
})
beforeEach(() => {
  seen.length = 0
  most = 0
  answer = () => 204
})

const retry = { delays: ["20ms"], jitter: 0, ageMax: "1h" }

async function trigger(id: string, ordering: object, attemptsMax = 3): Promise<void> {
  const policy = { ...retry, attemptsMax }
  const made = await hub.call("POST", "/v1/triggers", { id, topic: id, destination: "shop", retry: policy, ordering })
  expect(made).toMatchObject({ status: 201, body: { ordering } })
}

async function publish(topic: string, orders: readonly Order[]): Promise<void> {
  for (const data of orders) await hub.call("POST", `/v1/topics/${topic}/events`, data)
}

async function cli(args: readonly string[]): Promise<string> {
  const { code, out, err } = await runCli([...args, "--json"], { env: { REDCAR_URL: hub.url, REDCAR_KEY: hub.key } })
  expect(code, err).toBe(0)
  return out
}

const of = (customer: string) => seen.filter((one) => one.startsWith(customer))
const numbers = (...all: number[]) => all.map((number) => ({ number }))
const orders = (customer: string, ...all: number[]) => numbers(...all).map((order) => ({ customer, ...order }))

test("a key waits for its retries, one at a time, and others do not wait for it", async () => {
  await trigger("retried", { by: "data.customer", deadLetter: "continue" }, 1_000)
  const failing = { on: true }
  answer = ({ customer }, tries) => (customer === "a" && (failing.on || tries < 2) ? 409 : 204)
  await publish("retried", [...orders("a", 1), ...orders("b", 1), ...orders("a", 2), ...orders("b", 2, 3)])
  await until(async () => of("b").length === 3)
  expect(of("a").every((one) => one === "a1")).toBe(true)
  failing.on = false
  await until(async () => of("a").includes("a2"))
  expect(of("b")).toEqual(["b1", "b2", "b3"])
  expect(most).toBe(1)
})

test("those behind a dead letter go on, or wait until it is redriven", async () => {
  await trigger("goes-on", { by: "data.customer", deadLetter: "continue" })
  await trigger("holds", { by: "data.customer", deadLetter: "hold" })
  answer = ({ number }) => (number === 1 ? 500 : 204)
  await publish("goes-on", orders("c", 1, 2))
  await until(async () => of("c").includes("c2"))
  expect(of("c")).toEqual(["c1", "c1", "c1", "c2"])
  await publish("holds", orders("d", 1, 2, 3))
  const letters = async () => (await hub.call("GET", "/v1/dead-letters?trigger=holds")).body.items
  await until(async () => (await letters()).length === 1)
  const listed = await cli(["delivery", "list", "--trigger", "holds", "--state", "waiting"])
  expect(JSON.parse(listed)).toHaveLength(2)
  expect(of("d")).toEqual(["d1", "d1", "d1"])
  answer = () => 204
  await hub.call("POST", `/v1/dead-letters/${(await letters())[0].id}/redrive`)
  await until(async () => of("d").includes("d3"))
  expect(of("d")).toEqual(["d1", "d1", "d1", "d1", "d2", "d3"])
})

test("an event without the key is in no order", async () => {
  await trigger("keyless", { by: "data.customer", deadLetter: "hold" })
  answer = ({ number }) => (number === 1 ? 500 : 204)
  await publish("keyless", numbers(1, 2))
  await until(async () => of("nobody").includes("nobody2"))
})

test("an ordering says nothing but what it may", async () => {
  const body = { id: "bad", topic: "orders", destination: "shop" }
  for (const [by, field] of [
    ["Not An Attribute", "ordering.by"],
    ["data", "ordering.by"],
    ["data.a..b", "ordering.by"],
  ] as const) {
    const refused = await hub.call("POST", "/v1/triggers", { ...body, ordering: { by } })
    expect(refused.status).toBe(400)
    expect(JSON.stringify(refused.body)).toContain(`"${field}"`)
  }
  const made = await cli([
    "trigger",
    "create",
    "by-default",
    "--topic",
    "x",
    "--destination",
    "shop",
    "--dead-letter",
    "hold",
  ])
  expect(JSON.parse(made)).toMatchObject({ ordering: { by: "partitionkey", deadLetter: "hold" } })
  const changed = await cli(["trigger", "update", "by-default", "--order-by", "subject"])
  expect(JSON.parse(changed)).toMatchObject({ ordering: { by: "subject", deadLetter: "hold" } })
  const loose = await cli(["trigger", "update", "by-default", "--order-by", "none"])
  expect(JSON.parse(loose)).not.toHaveProperty("ordering")
})
