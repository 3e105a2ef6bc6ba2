import fc from "fast-check"
import { expect, test } from "vitest"
import { event, sqlText } from "../arbitraries.fixture.ts"
import { EventView } from "../view.ts"
import { compileSql } from "./compile.ts"
import { evaluateSql } from "./evaluate.ts"
import type { Expression } from "./expression.ts"
import { parseSql } from "./parser.ts"
import { printSql } from "./print.ts"

test("the compiled filter passes where complete evaluation yields true and no error", () => {
  fc.assert(
    fc.property(sqlText, fc.array(event, { minLength: 1, maxLength: 4 }), (text, events) => {
      const { expression, faults } = parseSql(text)
      expect(faults).toEqual([])
      const passes = compileSql(expression)
      for (const event of events) {
        const view = new EventView(event)
        const { value, errors } = evaluateSql(expression, view)
        expect(passes(view)).toBe(value === true && errors.length === 0)
      }
    }),
    { numRuns: 3000 },
  )
})

/** The expression without offsets. */
function bare(expression: Expression): unknown {
  return JSON.parse(JSON.stringify(expression, (key, value) => (key === "at" ? undefined : value)))
}

test("an expression that is printed parses to itself", () => {
  fc.assert(
    fc.property(sqlText, (text) => {
      const { expression } = parseSql(text)
      const printed = parseSql(printSql(expression))
      expect(printed.faults).toEqual([])
      expect(bare(printed.expression)).toEqual(bare(expression))
    }),
    { numRuns: 2000 },
  )
})
