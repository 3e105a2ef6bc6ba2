import { expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { Event } from "../core/event.ts"
import { compareWritten, numberFilters, numberTexts } from "../filters/numbers.fixture.ts"
import { createTrigger } from "../testing/samples.ts"
import { createMatcher } from "./matcher.ts"

const triggers = numberFilters.map(({ filters }, at) => {
  return createTrigger(`t${at}`, "0" as Cursor, { topic: "orders", filters })
})
const matcher = createMatcher()
for (const trigger of triggers) matcher.set(trigger)
// Alone, each is found by its own key.
const alone = triggers.map((trigger) => {
  const matcher = createMatcher()
  matcher.set(trigger)
  return matcher
})

const spaces = " ".repeat(200)

test.each(numberTexts)("triggers are found by what is written: %s", (x) => {
  const wanted = numberFilters.flatMap(({ oracle }, at) => (oracle(x) ? [`t${at}`] : []))
  // Large data is skimmed, small parsed.
  for (const data of [`{"x":${x}}`, `{"other":[{"x":1e400}],"x": ${x} ${spaces}}`]) {
    const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t" }, Buffer.from(data), "json")
    const stored = { address: { tenant: "default", topic: "orders" }, cursor: "1" as Cursor, storedAt: 0, event }
    const found = (each: typeof matcher) => each.match(stored).map(({ id }) => id)
    expect(found(matcher).sort(), data).toEqual(wanted.toSorted())
    expect(alone.flatMap(found), data).toEqual(wanted)
  }
})

test("in arrays, any element is enough for a pattern, which fires once", () => {
  const patterns = numberFilters.flatMap(({ filters }, at) => ("pattern" in filters[0]! ? [at] : []))
  const matcher = createMatcher()
  for (const at of patterns) matcher.set(triggers[at]!)
  for (const [x, y] of [...numberTexts.map((x) => [x, x] as const), ...numberTexts.map((x) => [x, "1e400"] as const)]) {
    const data = Buffer.from(`{"x":[${x},"a",[${y},${x}]]}`)
    const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t" }, data, "json")
    const stored = { address: { tenant: "default", topic: "orders" }, cursor: "1" as Cursor, storedAt: 0, event }
    const isBut = (at: number) => JSON.stringify(numberFilters[at]!.filters).includes("anything-but")
    const wanted = patterns.filter((at) => isBut(at) || [x, y].some(numberFilters[at]!.oracle)).map((at) => `t${at}`)
    const found = matcher.match(stored).map(({ id }) => id)
    expect(found.sort(), String(data)).toEqual(wanted.sort())
  }
})

const integers = ["9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "-9007199254740993"]

test("attributes that are whole numbers as texts are as exact", () => {
  const filters = integers.flatMap((number) => [
    { query: `n > ${number}`, oracle: (n: string) => compareWritten(n, number) > 0 },
    { query: `n <= ${number}`, oracle: (n: string) => compareWritten(n, number) <= 0 },
    { query: `n::NUMBER == ${number}`, oracle: (n: string) => compareWritten(n, number) === 0 },
    { query: `n in [${number}, 1]`, oracle: (n: string) => compareWritten(n, number) === 0 },
  ])
  for (const n of [...integers, "1234567890123456789012"]) {
    const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t", n })
    const stored = { address: { tenant: "default", topic: "orders" }, cursor: "1" as Cursor, storedAt: 0, event }
    for (const { query, oracle } of filters) {
      const matcher = createMatcher()
      matcher.set(createTrigger("t", "0" as Cursor, { topic: "orders", filters: [{ query }] }))
      expect(matcher.match(stored).length, `${query} of ${n}`).toBe(oracle(n) ? 1 : 0)
    }
  }
})
