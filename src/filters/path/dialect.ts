import { wildcardsOf } from "../glob.ts"
import { limits } from "../limits.ts"
import { type Dialect, describe, isObject, member, type Reading } from "../reading.ts"
import { allOf, type Node } from "../tree.ts"
import { type PathPattern, parsePath } from "./pattern.ts"

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
    const nodes = reading.each(entries, ([name, text]) => readOne(name, text, member(field, name), reading))
    return nodes && allOf(nodes)
  },
}

function readOne(name: string, text: unknown, field: string, reading: Reading): Node | undefined {
  const named = reading.attributeName(name, field)
  if (!reading.text(text, field)) return undefined
  const pattern = parsePath(text)
  if ("segments" in pattern) {
    const tooMany = costFault(pattern)
    if (tooMany !== undefined) return reading.fault(field, tooMany)
    return named ? { kind: "test", field: { from: "attribute", name }, test: { is: "path", pattern } } : undefined
  }
  for (const { at, found, expected } of pattern) {
    const column = [...text.slice(0, at)].length + 1
    const message = `line 1, column ${column}: found ${found}, expected ${expected}`
    reading.fault(field, message, { line: 1, column, found, expected })
  }
  return undefined
}

/** What makes a pattern cost too much to match; undefined where nothing does. */
function costFault({ segments }: PathPattern): string | undefined {
  const { wildcardsMax, segmentsMax } = limits
  if (segments.length > segmentsMax) return `has more than ${segmentsMax} segments; use fewer`
  const wild = segments.reduce((sum, segment) => sum + (segment === "deep" ? 1 : wildcardsOf(segment)), 0)
  return wild > wildcardsMax ? `has more than ${wildcardsMax} wildcards; use fewer` : undefined
}
