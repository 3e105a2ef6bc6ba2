import fc from "fast-check"
import { expect, test } from "vitest"
import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { type Attributes, Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Filter, Trigger } from "../core/resources.ts"
import { filter, event as smallEvent } from "../filters/arbitraries.fixture.ts"
import { createMatcher } from "./matcher.ts"
import { createNaiveMatcher } from "./naive.ts"

function triggerOf(id: string, topic: string, filters: readonly Filter[] = [], tenant = "default"): Trigger {
  return {
    id,
    tenant,
    topic,
    filters,
    createdAt: 0,
    updatedAt: 0,
    labels: {},
    destination: "d",
    retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1 },
    from: "0" as Cursor,
  }
}

function stored(address: Address, attributes: Partial<Attributes> = {}): StoredEvent {
  const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t", ...attributes } as Attributes)
  return { address, cursor: "1" as Cursor, storedAt: 0, event }
}

/** With space behind it, so that it is large enough not to be parsed whole. */
function spaced(json: string): Uint8Array {
  return new TextEncoder().encode(json.padEnd(200))
}

const event: fc.Arbitrary<Event> = fc.tuple(smallEvent, fc.boolean()).map(([event, large]) => {
  if (event.data === undefined || !large) return event
  return Event.of(event.attributes, spaced(new TextDecoder().decode(event.data)), event.dataKind)
})

const orders: Address = { tenant: "default", topic: "orders" }

function ids(triggers: readonly Trigger[]): string[] {
  return triggers.map(({ id }) => id).sort()
}

test("a trigger on a topic fires for all its keys, one on a key for that key", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("all", "orders"))
  matcher.set(triggerOf("one", "orders:1"))
  matcher.set(triggerOf("two", "orders:2"))
  matcher.set(triggerOf("other", "others"))
  expect(ids(matcher.match(stored(orders)))).toEqual(["all"])
  expect(ids(matcher.match(stored({ ...orders, key: "1" })))).toEqual(["all", "one"])
  expect(ids(matcher.match(stored({ ...orders, key: "3" })))).toEqual(["all"])
})

test("tenants do not see each other's triggers", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("t", "orders", [], "a"))
  matcher.set(triggerOf("t", "orders", [], "b"))
  expect(matcher.match(stored({ tenant: "a", topic: "orders" })).map(({ tenant }) => tenant)).toEqual(["a"])
  matcher.delete("a", "t")
  expect(matcher.match(stored({ tenant: "a", topic: "orders" }))).toEqual([])
  expect(matcher.match(stored({ tenant: "b", topic: "orders" }))).toHaveLength(1)
  expect(matcher.any("a", "orders")).toBe(false)
})

test("setting a trigger again replaces it, also where it moved", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("t", "orders", [{ exact: { type: "a" } }]))
  matcher.set(triggerOf("t", "orders:1", [{ exact: { type: "t" } }]))
  expect(matcher.match(stored(orders))).toEqual([])
  expect(ids(matcher.match(stored({ ...orders, key: "1" })))).toEqual(["t"])
  expect(matcher.any("default", "orders")).toBe(true)
  matcher.delete("default", "t")
  matcher.delete("default", "t")
  expect(matcher.any("default", "orders")).toBe(false)
  expect(matcher.match(stored({ ...orders, key: "1" }))).toEqual([])
})

test("an event on a topic without triggers is answered without reading its attributes", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("t", "others"))
  const broken = Event.fromJson(new Uint8Array([0]), undefined, "none")
  const event: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event: broken }
  expect(matcher.match(event)).toBe(matcher.match({ ...event, address: { tenant: "b", topic: "others" } }))
  matcher.set(triggerOf("k", "orders:1"))
  expect(matcher.match(event)).toEqual([])
})

test("stored filters that do not check are not skipped", () => {
  const matcher = createMatcher()
  expect(() => matcher.set(triggerOf("t", "orders", [{ exact: {} }]))).toThrow("filters[0].exact")
})

const topic = fc.constantFrom("x", "x:1", "x:2", "y")
const tenant = fc.constantFrom("a", "b")
const change = fc.oneof(
  fc
    .record({
      tenant,
      topic,
      id: fc.constantFrom("p", "q", "r", "s", "t"),
      filters: fc.array(filter, { maxLength: 2 }),
    })
    .map(({ tenant, topic, id, filters }) => ({ set: triggerOf(id, topic, filters, tenant) })),
  fc.record({ tenant, id: fc.constantFrom("p", "q", "r") }).map((gone) => ({ gone })),
)
const stray = fc
  .record({
    tenant,
    topic: fc.constantFrom("x", "x", "y", "z"),
    key: fc.option(fc.constantFrom("1", "2"), { nil: undefined }),
    event,
  })
  .map(({ tenant, topic, key, event }): StoredEvent => {
    const address = { tenant, topic, ...(key === undefined ? {} : { key }) }
    return { address, cursor: "1" as Cursor, storedAt: 0, event }
  })

test("the matcher always agrees with asking every trigger", () => {
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 20 }),
      fc.array(stray, { minLength: 1, maxLength: 8 }),
      (changes, events) => {
        const matcher = createMatcher()
        const naive = createNaiveMatcher()
        for (const change of changes) {
          for (const each of [matcher, naive]) {
            if ("set" in change) each.set(change.set)
            else each.delete(change.gone.tenant, change.gone.id)
          }
        }
        for (const event of events) {
          expect(ids(matcher.match(event))).toEqual(ids(naive.match(event)))
          const { tenant, topic } = event.address
          expect(matcher.any(tenant, topic)).toBe(naive.any(tenant, topic))
        }
      },
    ),
    { numRuns: 1500 },
  )
})

test("many triggers on one topic, told apart by several of their conditions, agree too, while they come and go", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(filter, { maxLength: 3 }), { minLength: 60, maxLength: 120 }),
      fc.array(event, { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.boolean()),
      (filters, events, goes) => {
        const matcher = createMatcher()
        const naive = createNaiveMatcher()
        const agree = () => {
          for (const event of events) {
            const at: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
            expect(ids(matcher.match(at))).toEqual(ids(naive.match(at)))
          }
        }
        for (const [index, each] of filters.entries()) {
          const shared: Filter = { exact: { type: index % 3 === 0 ? "a" : "b" } }
          for (const one of [matcher, naive])
            one.set(triggerOf(`t${index}`, "orders", index % 4 ? [shared, ...each] : each))
        }
        agree()
        for (const index of filters.keys()) {
          if (goes.next().value) for (const one of [matcher, naive]) one.delete("default", `t${index}`)
        }
        agree()
        for (const index of filters.keys()) matcher.delete("default", `t${index}`)
        expect(matcher.any("default", "orders")).toBe(false)
      },
    ),
    { numRuns: 100 },
  )
})

test("while triggers change between one event and the next, each event still fires the right ones", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(40), fc.array(filter, { maxLength: 2 }), fc.boolean(), event), {
        minLength: 100,
        maxLength: 200,
      }),
      (steps) => {
        const matcher = createMatcher()
        const naive = createNaiveMatcher()
        for (const [id, filters, goes, event] of steps) {
          for (const each of [matcher, naive]) {
            if (goes) each.delete("default", `t${id}`)
            else each.set(triggerOf(`t${id}`, "orders", [{ exact: { source: "a" } }, ...filters]))
          }
          const at: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
          expect(ids(matcher.match(at))).toEqual(ids(naive.match(at)))
        }
      },
    ),
    { numRuns: 60 },
  )
})

const hostile: Readonly<Record<string, (index: number) => Filter>> = {
  "prefixes of all lengths": (index) => ({
    prefix: { subject: `${"a".repeat(index % 500)}${index % 3 ? "b" : ""}` || "a" },
  }),
  "suffixes of all lengths": (index) => ({
    suffix: { subject: `${index % 3 ? "b" : ""}${"a".repeat(index % 500)}` || "a" },
  }),
  "a name in data each": (index) => ({ pattern: { data: { [`f${index}`]: [1], x: [{ exists: false }] } } }),
  "names in names": (index) => ({
    pattern: { data: { [`f${index % 20}`]: { [`g${index % 19}`]: { n: [index % 7] } } } },
  }),
  "an attribute each": (index) => ({ exact: { [`a${index}`]: "x" } }),
  "ranges in ranges": (index) => ({ pattern: { data: { n: [{ numeric: [">=", index, "<", 4000 - index] }] } } }),
  "single numbers": (index) => ({ pattern: { data: { n: [index / 8] } } }),
  "all alike": () => ({ exact: { type: "t" } }),
  "nothing to look up": (index) => ({ not: { prefix: { subject: `a${index}` } } }),
}

test.each(Object.entries(hostile))(
  "agrees with 2,000 triggers that are hard on it, and once most are gone: %s",
  (_, filterOf) => {
    const matcher = createMatcher()
    const naive = createNaiveMatcher()
    for (let index = 0; index < 2000; index++) {
      for (const each of [matcher, naive]) each.set(triggerOf(`t${index}`, "orders", [filterOf(index)]))
    }
    const data = [
      { n: 12 },
      { n: 1000.5 },
      { f3: 1, f1500: 1, f7: { g7: { n: 0 } } },
      { f7: [{ g7: [{ n: [0, 7] }] }], x: 1 },
      {},
    ]
    const agree = () => {
      for (const subject of ["a".repeat(300), "b", `${"a".repeat(20)}b`, `b${"a".repeat(20)}`]) {
        for (const each of data) {
          const attributes: Attributes = {
            specversion: "1.0",
            id: "1",
            source: "/s",
            type: "t",
            subject,
            a7: "x",
            a1999: "x",
          }
          const event = Event.of(attributes, spaced(JSON.stringify(each)), "json")
          const at: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
          expect(ids(matcher.match(at))).toEqual(ids(naive.match(at)))
        }
      }
    }
    agree()
    for (let index = 0; index < 2000; index++) {
      if (index % 9 !== 0) for (const each of [matcher, naive]) each.delete("default", `t${index}`)
    }
    agree()
    for (let index = 0; index < 2000; index++) matcher.delete("default", `t${index}`)
    expect(matcher.any("default", "orders")).toBe(false)
  },
)

test("data that is no JSON fires what it fires when it is parsed whole", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("x", "orders", [{ pattern: { data: { x: [1] } } }]))
  matcher.set(triggerOf("none", "orders", [{ pattern: { data: { x: [{ exists: false }] } } }]))
  const fired = (text: string) => {
    const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t" }, spaced(text), "json")
    return ids(matcher.match({ address: orders, cursor: "1" as Cursor, storedAt: 0, event }))
  }
  expect(fired('{"x":1,"y":[true]}')).toEqual(["x"])
  expect(fired('{"x":2,"x":1}')).toEqual(["x"])
  expect(fired('{"x":1,"\\u0078":2}')).toEqual([])
  expect(fired('{"x":1,"y":[true}}')).toEqual(["none"])
  expect(fired('{"x":1} ,')).toEqual(["none"])
})

test("what arrays hold several times fires a trigger once", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("value", "orders", [{ pattern: { data: { items: { sku: ["A1"] } } } }]))
  matcher.set(triggerOf("range", "orders", [{ pattern: { data: { items: { n: [{ numeric: [">", 1] }] } } } }]))
  for (let each = 0; each < 40; each++) {
    matcher.set(triggerOf(`nested${each}`, "orders", [{ pattern: { type: ["t"], data: { items: { n: [each] } } } }]))
  }
  const items = [{ sku: "A1", n: 2 }, { sku: ["A1", "A1"], n: [2, 2] }, { n: 3 }]
  const data = spaced(JSON.stringify({ items }))
  const event = Event.of({ specversion: "1.0", id: "1", source: "/s", type: "t" }, data, "json")
  const at: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
  expect(ids(matcher.match(at))).toEqual(["nested2", "nested3", "range", "value"])
})

test("one trigger by itself agrees, whatever its filters are", () => {
  fc.assert(
    fc.property(
      fc.array(filter, { maxLength: 2 }),
      fc.array(event, { minLength: 1, maxLength: 4 }),
      (filters, events) => {
        const matcher = createMatcher()
        const naive = createNaiveMatcher()
        for (const one of [matcher, naive]) one.set(triggerOf("t", "orders", filters))
        for (const event of events) {
          const at: StoredEvent = { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
          expect(matcher.match(at)).toEqual(naive.match(at))
        }
      },
    ),
    { numRuns: 5000 },
  )
})

test("an error in one alternative of SQL keeps the trigger from firing", () => {
  const matcher = createMatcher()
  matcher.set(triggerOf("t", "orders", [{ sql: "missing = 'x' OR type = 't'" }]))
  matcher.set(triggerOf("u", "orders", [{ sql: "type = 't' OR missing = 'x'" }]))
  expect(ids(matcher.match(stored(orders)))).toEqual(["u"])
})

test("what casts make equal is found too", () => {
  const matcher = createMatcher()
  const sqls = [
    "n IN ('01')",
    "n IN ('x', 'TRUE')",
    "n = 1",
    "n IN (1)",
    "'01' = n",
    "n = true",
    "data.v = '1'",
    "data.v = 1",
  ]
  for (const sql of sqls) matcher.set(triggerOf(sql, "orders", [{ sql }]))
  const fired = (n: string | number | boolean, v: string) => {
    const attributes: Attributes = { specversion: "1.0", id: "1", source: "/s", type: "t", n }
    const event = Event.of(attributes, new TextEncoder().encode(`{"v":${v}}`), "json")
    return ids(matcher.match({ address: orders, cursor: "1" as Cursor, storedAt: 0, event }))
  }
  expect(fired(1, "1")).toEqual([
    "'01' = n",
    "data.v = '1'",
    "data.v = 1",
    "n = 1",
    "n = true",
    "n IN ('01')",
    "n IN (1)",
  ])
  expect(fired("01", '"+1"')).toEqual(["'01' = n", "data.v = 1", "n = 1", "n IN ('01')"])
  expect(fired(true, "true")).toEqual(["data.v = 1", "n = 1", "n = true", "n IN (1)"])
})
