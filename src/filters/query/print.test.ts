import fc from "fast-check"
import { expect, test } from "vitest"
import { queryText } from "../arbitraries.fixture.ts"
import { parseQuery } from "./parser.ts"
import { printQuery } from "./print.ts"

test("a query that is printed parses to the same tree", () => {
  fc.assert(
    fc.property(queryText, (text) => {
      const { node, faults } = parseQuery(text)
      expect(faults).toEqual([])
      const printed = parseQuery(printQuery(node)!)
      expect(printed.faults).toEqual([])
      expect(printed.node).toEqual(node)
    }),
    { numRuns: 2000 },
  )
})

test("what is not of this language is not printed", () => {
  expect(printQuery({ kind: "test", field: { from: "attribute", name: "a" }, test: { is: "prefix", text: "x" } })).toBe(
    undefined,
  )
})
