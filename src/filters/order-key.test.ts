import { expect, test } from "vitest"
import { orderKeyMax } from "../core/delivery.ts"
import { type Attributes, Event } from "../core/event.ts"
import { orderByFault, orderKeyOf } from "./order-key.ts"
import { EventView } from "./view.ts"

function keyOf(by: string, attributes: object, data?: string): string | undefined {
  const all = { specversion: "1.0", id: "1", source: "/s", type: "t", ...attributes } as Attributes
  const event =
    data === undefined
      ? Event.of(all)
      : Event.of({ ...all, datacontenttype: "application/json" }, Buffer.from(data), "json")
  return orderKeyOf({ by, deadLetter: "continue" }, new EventView(event))
}

test("is the attribute's text, or the member's", () => {
  expect(keyOf("partitionkey", { partitionkey: "customer-7" })).toBe("customer-7")
  expect(keyOf("sequence", { sequence: 7 })).toBe("7")
  expect(keyOf("data.customer.id", {}, '{"customer":{"id":7}}')).toBe("7")
  expect(keyOf("data.vip", {}, '{"vip":true}')).toBe("true")
})

test("is another one for another number, however long", () => {
  const [a, b] = ["9007199254740993", "9007199254740992"].map((id) => keyOf("data.id", {}, `{"id":${id}}`))
  expect(a).not.toBe(b)
})

test("is a hash where the text is none of a key's, and never what another text is by itself", () => {
  for (const text of ["two words", "é", "", "x".repeat(orderKeyMax + 1), "~0123456789012345678901"]) {
    const key = keyOf("subject", { subject: text })
    if (text === "") continue
    expect(key).toMatch(/^~[\w-]{22}$/)
    expect(key).not.toBe(text)
  }
})

test("is not there where the event does not have it", () => {
  expect(keyOf("partitionkey", {})).toBeUndefined()
  for (const data of ["{}", '{"id":null}', '{"id":[1]}', '{"id":{}}', "7"]) {
    expect(keyOf("data.id", {}, data), data).toBeUndefined()
  }
  expect(keyOf("data.constructor", {}, "{}")).toBeUndefined()
})

test.each([
  ["partitionkey", true],
  ["data.a", true],
  ["data.a.b-c", true],
  ["data", false],
  ["data.", false],
  ["data.a b", false],
  ["Subject", false],
  ["", false],
  ["data[0]", false],
])("orders by %s: %s", (by, may) => {
  expect(orderByFault(by) === undefined).toBe(may)
})
