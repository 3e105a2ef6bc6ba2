import { reportFaults } from "../cursor.ts"
import { limits } from "../limits.ts"
import { type Dialect, describe } from "../reading.ts"
import { parseSql } from "./parser.ts"

/** CloudEvents SQL 1.0, and beyond it access to JSON data. */
export const sqlDialect: Dialect = {
  name: "sql",
  read(value, field, reading) {
    if (typeof value !== "string") return reading.fault(field, `must be a string, not ${describe(value)}`)
    if (value.length > limits.expressionCharactersMax) {
      return reading.fault(field, `is longer than ${limits.expressionCharactersMax} characters`)
    }
    const { expression, faults, nodes } = parseSql(value)
    reportFaults(faults, value, field, reading)
    if (faults.length > 0 || !reading.count(field, nodes)) return undefined
    return { kind: "sql", expression, text: value }
  },
}
