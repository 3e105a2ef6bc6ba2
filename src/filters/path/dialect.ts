import { limits } from "../limits.ts"
import { type Dialect, describe, isObject, member, type Reading } from "../reading.ts"
import { allOf, type Node } from "../tree.ts"
import { parsePath } from "./pattern.ts"

/** Path patterns as Eventarc has them, each over a whole attribute: `{"subject": "/projects/{project}/logs/**"}`. */
export const pathDialect: Dialect = {
  name: "path",
  read(value, field, reading) {
    if (!isObject(value)) {
      return reading.fault(field, `must be an object of attribute names and path patterns, not ${describe(value)}`)
    }
    const entries = Object.entries(value)
    if (entries.length === 0) return reading.fault(field, "must name at least one attribute")
    if (!reading.count(field, entries.length)) return undefined
    const nodes = entries.map(([name, text]) => readOne(name, text, member(field, name), reading))
    return nodes.includes(undefined) ? undefined : allOf(nodes as Node[])
  },
}

function readOne(name: string, text: unknown, field: string, reading: Reading): Node | undefined {
  const named = reading.attributeName(name, field)
  if (!reading.text(text, field)) return undefined
  const pattern = parsePath(text)
  if ("segments" in pattern) {
    const wild = text.split("*").length - 1
    if (wild > limits.wildcardsMax) return reading.fault(field, `has more than ${limits.wildcardsMax} wildcards`)
    return named ? { kind: "test", field: { from: "attribute", name }, test: { is: "path", pattern } } : undefined
  }
  for (const { at, found, expected } of pattern) {
    const column = [...text.slice(0, at)].length + 1
    const message = `line 1, column ${column}: found ${found}, expected ${expected}`
    reading.fault(field, message, { line: 1, column, found, expected })
  }
  return undefined
}
