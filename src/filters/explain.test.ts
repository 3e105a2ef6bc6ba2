import fc from "fast-check"
import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { compileActual } from "./actual.ts"
import * as arbitrary from "./arbitraries.fixture.ts"
import { compileFilters, compileNode, treeOf } from "./compile.ts"
import { explainFilters } from "./explain.ts"
import type { DataField, Node, ObjectNode, TestNode } from "./tree.ts"
import { type DataPath, EventView, type Json } from "./view.ts"

const data = new TextEncoder().encode('{"total":50,"items":[{"sku":"A1"}]}')
const event = Event.of({ specversion: "1.0", id: "1", source: "/shop", type: "order.created" }, data, "json")

function sentence(...filters: Filter[]): string {
  return explainFilters(filters, event).sentence
}

test("the clause that decided is named in a sentence, with what the event has", () => {
  expect(sentence()).toBe("The event passes: every event does.")
  expect(sentence({ exact: { type: "order.paid" } })).toBe(
    'The event does not pass: type is "order.paid" is false, for it is "order.created".',
  )
  expect(sentence({ prefix: { type: "order." } }, { pattern: { data: { total: [{ numeric: [">", 100] }] } } })).toBe(
    "The event does not pass: data.total is > 100 is false, for it is 50.",
  )
  expect(sentence({ any: [{ exact: { type: "x" } }, { prefix: { source: "/sh" } }] })).toBe(
    'The event passes: source begins with "/sh" is true, for it is "/shop".',
  )
  expect(sentence({ any: [{ exact: { type: "x" } }, { exact: { type: "y" } }] })).toBe(
    "The event does not pass: any of 2 clauses: false.",
  )
  expect(sentence({ not: { exact: { missing: "x" } } })).toBe(
    'The event passes: missing is "x" is false, for it is not there.',
  )
})

test("SQL is explained by its operations, with errors and what was not evaluated", () => {
  expect(sentence({ sql: "type = 'x' AND nope = 1" })).toBe(
    `The event does not pass: type = 'x' is false, for type is "order.created".`,
  )
  expect(sentence({ sql: "source = '/shop' AND nope = 1" })).toBe(
    "The event does not pass: in nope, the event has no nope.",
  )
  expect(sentence({ sql: "data.total + 1" })).toBe("The event does not pass: data.total + 1 is 51, which is not true.")
  const { tree } = explainFilters([{ sql: "type = 'x' AND data.total > 1" }], event)
  expect(tree).toEqual({
    clause: "type = 'x' AND data.total > 1",
    value: false,
    of: [
      { clause: "type = 'x'", value: false, of: [{ clause: "type", value: "order.created" }], decided: true },
      { clause: "data.total > 1", of: [{ clause: "data.total" }] },
    ],
  })
})

test("where arrays are on the way, the value that decided is named", () => {
  const items = '{"items":[{"sku":"A1","n":1},{"sku":"B2"}],"tags":[],"note":{"a":1},"big":1e400}'
  const listed = Event.of(event.attributes, new TextEncoder().encode(items), "json")
  const said = (data: object) => explainFilters([{ pattern: { data } }], listed).sentence.replace(/^The event /, "")
  expect(said({ items: { sku: ["B2"] } })).toBe('passes: data.items.sku is "B2" is true, for it is "B2".')
  expect(said({ items: { sku: ["C3"] } })).toBe(
    'does not pass: data.items.sku is "C3" is false, for its values are ["A1","B2"].',
  )
  expect(said({ items: { n: [{ exists: false }] } })).toBe(
    "does not pass: data.items.n is not there is false, for it is 1.",
  )
  expect(said({ items: { sku: ["B2"], n: [1] } })).toBe(
    'does not pass: some object at data.items where data.sku is "B2" and data.n is 1 is false, for its values are [{"sku":"A1","n":1},{"sku":"B2"}].',
  )
  expect(said({ items: { sku: ["A1"], n: [1] } })).toContain('is true, for it is {"sku":"A1","n":1}.')
  expect(said({ tags: ["x"] })).toBe('does not pass: data.tags is "x" is false, for there is no such value in [].')
  expect(said({ note: [{ exists: false }] })).toBe(
    'passes: data.note is not there is true, for there is no such value in {"a":1}.',
  )
  expect(said({ missing: { x: [1] } })).toBe("does not pass: data.missing.x is 1 is false, for it is not there.")
  expect(said({ big: [{ numeric: [">", 5] }] })).toBe("passes: data.big is > 5 is true, for it is 1e+400.")
  expect(explainFilters([{ query: "data.big > 5" }], listed).sentence).toContain("for it is 1e+400.")
  expect(explainFilters([{ sql: "data.big > 5.0" }], listed).sentence).toContain("for data.big is 1e+400.")
})

test("what an event has is shown cut, however long it is, in sentences and in what went wrong", () => {
  const expressions = [
    ...[
      "data.a / 0",
      "data.a % 0",
      "data.a + 1",
      "1 - data.a",
      "- data.a",
      "data.a * data.a",
      "data.a / 0.1",
      "data.a % 7",
    ],
    ...["data.a = 1", "data.a < 1", "data.a IN (1, data.a + 1)", "NOT data.a", "data.a AND TRUE", "data.a LIKE 'x'"],
    ...["ABS(data.a)", "INT(data.a)", "LEFT('x', data.a)", "LENGTH(CONCAT(data.a, data.a)) / 0", "data.a"],
  ]
  const values = [
    "9".repeat(100_000),
    `-${"9".repeat(100_000)}.5`,
    `"${"9".repeat(100_000)}"`,
    `[${"9,".repeat(50_000)}9]`,
  ]
  for (const value of values) {
    const long = Event.of(event.attributes, Buffer.from(`{"a":${value}}`), "json")
    for (const filter of [
      ...expressions.map((sql) => ({ sql })),
      { query: "data.a > 5" },
      { query: "data.a == 'x'" },
    ]) {
      const { sentence, errors } = explainFilters([filter], long)
      expect(sentence.length, sentence.slice(0, 100)).toBeLessThan(400)
      for (const { message } of errors) expect(message.length, message.slice(0, 100)).toBeLessThan(200)
    }
  }
  const { errors } = explainFilters(
    [{ sql: "data.a / 0 = 1" }],
    Event.of(event.attributes, Buffer.from(`{"a":${values[0]}}`), "json"),
  )
  expect(errors[0]!.message).toMatch(/^9\.9{58}… \/ 0 has no value$/)
})

/** The nodes that look at a place in data; not those which look beside the object that they are asked of. */
function looking(node: Node): readonly (TestNode | ObjectNode)[] {
  if (node.kind === "all" || node.kind === "any") return node.of.flatMap(looking)
  if (node.kind === "not") return looking(node.of)
  if (node.kind === "sql" || JSON.stringify(node).includes('"whole"')) return []
  return node.kind === "object" || node.field.from === "data" ? [node] : []
}

function eventWith(path: DataPath, value: Json | undefined): EventView {
  if (value === undefined) return EventView.withData(event, undefined)
  const data = path.reduceRight<Json>((inner, step) => {
    return typeof step === "number" ? [...new Array<Json>(step).fill(null), inner] : { [step]: inner }
  }, value)
  return EventView.withData(event, data)
}

test("what a clause is said to have found makes it what it is", () => {
  const met = new Set<string>()
  fc.assert(
    fc.property(arbitrary.filter, arbitrary.event, (filter, event) => {
      for (const node of looking(treeOf([filter]))) {
        const passes = compileNode(node)
        const view = new EventView(event)
        const value = passes(view)
        const found = compileActual(node)(view, value)
        const path = node.kind === "object" ? node.path : (node.field as DataField).path
        const values = found.several ? (found.actual as readonly Json[]) : [found.actual]
        expect(found.actual === undefined).toBe(found.absent === true)
        for (const each of values) expect(passes(eventWith(path, each))).toBe(value)
        met.add(`${value} ${Object.keys(found).sort()}`)
      }
    }),
    { numRuns: 3000 },
  )
  expect(met.size).toBeGreaterThan(3)
})

test("an explanation's verdict is the filter's, and one clause decided", () => {
  fc.assert(
    fc.property(fc.array(arbitrary.filter, { maxLength: 2 }), arbitrary.event, (filters, event) => {
      const explanation = explainFilters(filters, event)
      expect(explanation.pass).toBe(compileFilters(filters)(event))
      expect(JSON.stringify(explanation.tree).split('"decided":true')).toHaveLength(2)
    }),
    { numRuns: 1000 },
  )
})
