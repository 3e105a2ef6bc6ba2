import { expect, test } from "vitest"
import type { Filter } from "../core/resources.ts"
import { parseFilters } from "./parse.ts"
import { warningsOf } from "./warnings.ts"

function messages(...filters: Filter[]): string[] {
  expect(parseFilters(filters).ok).toBe(true)
  return warningsOf(filters).map(({ field, message }) => `${field} ${message}`)
}

test("what can never hold is said", () => {
  expect(messages({ query: "data.total > 5 and type == 'a' and data.total < 3" })).toEqual([
    "filters[0] can never hold: data.total is > 5, and data.total is < 3",
  ])
  expect(messages({ exact: { specversion: "0.3" } })[0]).toMatch(/can never hold/)
  expect(messages({ exact: { type: "a" } }, { exact: { type: "b" } })).toEqual([
    'filters can never hold: type is "a", and type is "b"',
  ])
  expect(messages({ not: { all: [{ exact: { type: "a" } }, { exact: { type: "b" } }] } })).toHaveLength(1)
})

test("an attribute's name that is nearly another's is asked about", () => {
  for (const name of ["tpye", "typ", "types", "typo"]) {
    expect(messages({ exact: { [name]: "x" } })).toEqual([
      `filters[0] tests the extension attribute ${name}; was type meant?`,
    ])
  }
  expect(messages({ prefix: { contenttype: "text/" } })[0]).toMatch(/was datacontenttype meant/)
})

test("AND after OR is said, for CloudEvents SQL has one level of both", () => {
  expect(messages({ sql: "type = 'a' OR type = 'b' AND priority > 1" })[0]).toMatch(/use parentheses/)
  expect(messages({ sql: "(type = 'a' OR type = 'b') AND priority > 1" })).toEqual([])
  expect(messages({ sql: "type = 'a' AND priority > 1 OR type = 'b'" })).toEqual([])
  expect(messages({ sql: "type = 'a or' AND priority > 1" })).toEqual([])
})

test("what may well be meant is not", () => {
  expect(
    messages(
      { exact: { type: "a", tenant: "b", traceparent: "c" } },
      { any: [{ exact: { source: "a" } }, { exact: { source: "b" } }] },
      { pattern: { data: { total: [{ numeric: [">", 3, "<=", 5] }] }, tpye: [{ exists: false }] } },
      { query: "data.total > 5 and data.total <= 6 and type == 'a'" },
      { pattern: { data: { tags: ["a"] } } },
      { pattern: { data: { tags: ["b"] } } },
    ),
  ).toEqual([])
  expect(warningsOf([{ exact: {} }])).toEqual([])
})
