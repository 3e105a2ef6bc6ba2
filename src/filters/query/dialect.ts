import { reportFaults } from "../cursor.ts"
import { limits } from "../limits.ts"
import { type Dialect, describe } from "../reading.ts"
import { parseQuery } from "./parser.ts"

/** One line for people and URLs. */
export const queryDialect: Dialect = {
  name: "query",
  read(value, field, reading) {
    if (typeof value !== "string") return reading.fault(field, `must be a string, not ${describe(value)}`)
    if (value.length > limits.expressionCharactersMax) {
      return reading.fault(field, `is longer than ${limits.expressionCharactersMax} characters`)
    }
    const { node, faults, nodes } = parseQuery(value)
    reportFaults(faults, value, field, reading)
    return faults.length > 0 || !reading.count(field, nodes) ? undefined : node
  },
}
