import fc from "fast-check"
import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import * as arbitrary from "./arbitraries.fixture.ts"
import { compileFilters } from "./compile.ts"
import { explainFilters } from "./explain.ts"

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
