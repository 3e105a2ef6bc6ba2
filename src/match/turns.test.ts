import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Filter, Trigger } from "../core/resources.ts"
import { filter, event as smallEvent } from "../filters/arbitraries.fixture.ts"
import { compileFilters } from "../filters/compile.ts"
import { compileExplainer } from "../filters/explain.ts"
import { EventView } from "../filters/view.ts"
import { inTurns } from "../filters/work.ts"
import { growthOf } from "../testing/growth.ts"
import { createMatcher, type Matcher } from "./matcher.ts"

const orders: Address = { tenant: "default", topic: "orders" }

function triggerOf(id: string, filters: readonly Filter[]): Trigger {
  return {
    id,
    tenant: "default",
    topic: "orders",
    filters,
    createdAt: 0,
    updatedAt: 0,
    labels: {},
    destination: "d",
    retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1 },
    from: "0" as Cursor,
  }
}

function storedOf(event: Event): StoredEvent {
  return { address: orders, cursor: "1" as Cursor, storedAt: 0, event }
}

function withData(data: unknown): Event {
  const attributes = { specversion: "1.0", id: "1", source: "/s", type: "t" }
  return Event.of(attributes, Buffer.from(JSON.stringify(data)), "json")
}

/** Goes on in turns of so many steps until all is decided; answers what each turn took beside what fired. */
function decide(matcher: Matcher, stored: StoredEvent, turn: number) {
  const decision = matcher.begin(stored, turn)
  const turns = [decision.steps]
  for (let before = decision.steps; !decision.done; before = decision.steps) {
    decision.goOn(turn)
    turns.push(decision.steps - before)
  }
  return { ids: decision.found.map(({ id }) => id).sort(), turns }
}

function matcherOf(filters: readonly (readonly Filter[])[]): Matcher {
  const matcher = createMatcher()
  for (const [at, each] of filters.entries()) matcher.set(triggerOf(`t${at}`, each))
  return matcher
}

/** Filters that read all of a large event. */
const heavy: readonly Filter[] = [
  { sql: "data.s LIKE '%a_a_b%'" },
  { sql: "data.s LIKE '%a_a_a%' AND LENGTH(UPPER(data.s)) > 100" },
  { sql: "UPPER(CONCAT(data.s, 'b')) LIKE '%A_AB'" },
  { query: "data.s contains 'ab' or not (data.t contains 'aac')" },
  { query: "data.list contains 4999" },
  { pattern: { data: { s: [{ wildcard: "*a*b*" }, { "anything-but": { wildcard: "*c*" } }] } } },
  { pattern: { data: { list: [{ "anything-but": { prefix: "x" } }, "z"] } } },
  { pattern: { data: { list: [6000, { numeric: [">", 4998] }] } } },
  { pattern: { data: { items: { a: [4999], b: [1], c: [{ exists: false }] } } } },
  { pattern: { data: { items: { a: [4999], b: [2] } } } },
  { pattern: { data: { items: { deep: { x: [99], y: [98] } } } } },
  { not: { pattern: { data: { items: { a: [{ exists: false }], b: [{ exists: false }] } } } } },
]

const large = [
  withData({ s: "a".repeat(5000), t: "a".repeat(2000), list: [], items: [] }),
  withData({
    s: `${"a".repeat(5000)}xab`,
    t: `${"a".repeat(2000)}c`,
    list: Array.from({ length: 5000 }, (_, at) => at),
  }),
  withData({
    items: Array.from({ length: 5000 }, (_, a) => ({
      a,
      b: 1,
      deep: [
        { x: a % 100, y: 1 },
        { x: 1, y: 98 },
      ],
    })),
  }),
  withData({ items: [[{ a: 4999 }], Array.from({ length: 6000 }, (_, a) => ({ a, b: (a + 1) % 3 }))], s: "b" }),
]

describe("an event is decided in turns as it is at once", () => {
  test("large events, filters that read all of them", () => {
    const matcher = matcherOf(heavy.map((each) => [each]))
    for (const event of large) {
      const wanted = matcher
        .match(storedOf(event))
        .map(({ id }) => id)
        .sort()
      for (const turn of [1, 100, 5_000, 50_000, 10_000_000]) {
        expect(decide(matcher, storedOf(event), turn).ids, `${turn}`).toEqual(wanted)
      }
    }
  })

  test("whatever the filters and events are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(filter, { maxLength: 2 }), { minLength: 1, maxLength: 30 }),
        fc.array(smallEvent, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 300 }),
        (filters, events, turn) => {
          const matcher = matcherOf(filters)
          for (const event of events) {
            const wanted = matcher
              .match(storedOf(event))
              .map(({ id }) => id)
              .sort()
            expect(decide(matcher, storedOf(event), turn).ids).toEqual(wanted)
          }
        },
      ),
    )
  })

  test("an explanation too", async () => {
    for (const filter of heavy) {
      const explain = compileExplainer([filter])
      for (const event of large) {
        const view = new EventView(event)
        let rests = 0
        const rest = async () => {
          rests++
        }
        expect(await inTurns(view, 100, () => explain(event, view), rest)).toEqual(explain(event))
        if (filter === heavy[1] && event === large[0]) expect(rests).toBeGreaterThan(0)
      }
    }
  })
})

test("a turn takes no more than its steps and one piece, however many triggers and clauses there are", () => {
  const event = withData({ s: "a".repeat(100_000), list: Array.from({ length: 20_000 }, () => 1) })
  const clauses = Array.from({ length: 60 }, (_, at) => `data.s LIKE '%a_b${at}%'`)
  const matcher = matcherOf([
    [{ sql: clauses.join(" OR ") }],
    [{ any: clauses.map((sql) => ({ sql })) }],
    [{ any: clauses.map((_, at) => ({ pattern: { data: { list: [{ "anything-but": [1, at + 2] }] } } })) }],
    ...Array.from({ length: 20_000 }, (_, at) => [{ not: { exact: { type: `${at}` } } }]),
  ])
  const { ids, turns } = decide(matcher, storedOf(event), 200_000)
  expect(ids).toHaveLength(20_000)
  expect(turns.length).toBeGreaterThan(60)
  // The first turn reads the data besides, each at most a text or so many elements above its steps.
  expect(Math.max(...turns)).toBeLessThan(200_000 + 100_000 + 250_000)
})

test("what one decision keeps between turns bounds their number", () => {
  const passes = compileFilters([{ sql: "data.s LIKE '%a_b%'" }])
  const event = withData({ s: "a".repeat(50_000) })
  const view = new EventView(event)
  view.turn(1)
  expect(passes(event, view)).toBe(false)
})

describe("twice as much takes no more than about twice the time", () => {
  test.each<[string, (size: number) => Matcher, (size: number) => Event]>([
    [
      "triggers of which none can be looked up",
      (size) => matcherOf(Array.from({ length: size }, (_, at) => [{ not: { exact: { type: `${at}` } } }])),
      () => withData(1),
    ],
    [
      "triggers with a key each",
      (size) => matcherOf(Array.from({ length: size }, (_, at) => [{ exact: { type: `${at}` } }])),
      () => withData(1),
    ],
    [
      "elements of an array",
      () => matcherOf(Array.from({ length: 50 }, (_, at) => [{ pattern: { data: { list: [at] } } }])),
      (size) => withData({ list: Array.from({ length: size * 10 }, () => 100) }),
    ],
    [
      "members that are not asked for",
      () => matcherOf([[{ pattern: { data: { a: [1], b: [1] } } }]]),
      (size) => withData(Object.fromEntries(Array.from({ length: size }, (_, at) => [`m${at}`, at]))),
    ],
  ])("%s", (_, matcherFor, eventFor) => {
    const prepare = (size: number) => {
      const [matcher, stored] = [matcherFor(size), storedOf(eventFor(size))]
      return () => {
        for (let round = 0; round < 5; round++) matcher.match(stored)
      }
    }
    expect(growthOf(prepare, 5_000)).toBeLessThan(3)
  })
})
