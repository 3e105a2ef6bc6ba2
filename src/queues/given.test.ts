import { expect, test } from "vitest"
import type { Delivery } from "../core/delivery.ts"
import { Event } from "../core/event.ts"
import { Given } from "./given.ts"

function made(n: number, subject = ""): Parameters<Given["add"]> {
  const delivery = { id: `${n}.t`, tenant: "acme", destination: "jobs", cursor: `${n}` } as Delivery
  const attributes = { specversion: "1.0", id: `${n}`, source: "/s", type: "t", subject }
  const event = Event.of(attributes, Buffer.from("data"), "text")
  return [delivery, { address: { tenant: "acme", topic: "orders" }, cursor: `${n}` as never, storedAt: n, event }]
}

test("events are remembered without their data, of one tenant's delivery each, until they are forgotten", () => {
  const given = new Given()
  given.add(...made(1))
  const [delivery] = made(1)
  expect(given.find(delivery)).toMatchObject({ storedAt: 1, event: { id: "1", data: undefined, dataKind: "none" } })
  expect(given.find({ ...delivery, tenant: "other" })).toBeUndefined()
  expect(given.find({ ...delivery, cursor: "2" as never })).toBeUndefined()
  given.forget(delivery)
  expect(given.find(delivery)).toBeUndefined()
})

test("the oldest are forgotten where there are too many, or where they are too large", () => {
  const many = new Given()
  for (let n = 0; n <= 20_000; n++) many.add(...made(n))
  expect([0, 1, 20_000].map((n) => many.find(made(n)[0])?.storedAt)).toEqual([undefined, 1, 20_000])
  const large = new Given()
  const subject = "x".repeat(1024 * 1024)
  for (let n = 0; n < 40; n++) large.add(...made(n, subject))
  expect([0, 20, 39].map((n) => large.find(made(n)[0])?.storedAt)).toEqual([undefined, undefined, 39])
  for (let n = 30; n < 39; n++) large.forget(made(n)[0])
  for (let n = 50; n < 58; n++) large.add(...made(n, subject))
  expect(large.find(made(39)[0])?.storedAt).toBe(39)
})
