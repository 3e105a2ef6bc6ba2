import { type Dialect, describe, isObject, member, type Reading } from "./reading.ts"
import { allOf, anyOf, type Node, type Test } from "./tree.ts"

/** The dialects that the CloudEvents Subscriptions API makes mandatory. */
export const subscriptionDialects: readonly Dialect[] = [
  attributes("exact", (text) => ({ is: "text", text })),
  attributes("prefix", (text) => ({ is: "prefix", text })),
  attributes("suffix", (text) => ({ is: "suffix", text })),
  { name: "all", read: (value, field, reading) => several(value, field, reading, allOf) },
  { name: "any", read: (value, field, reading) => several(value, field, reading, anyOf) },
  {
    name: "not",
    read(value, field, reading) {
      const of = reading.filter(value, field)
      return of && { kind: "not", of }
    },
  },
]

/** A dialect that gives each of one or more attributes a text to be tested by; all must hold. */
function attributes(name: string, testOf: (text: string) => Test): Dialect {
  return {
    name,
    read(value, field, reading) {
      if (!isObject(value)) {
        return reading.fault(field, `must be an object of attribute names and texts, not ${describe(value)}`)
      }
      const entries = Object.entries(value)
      if (entries.length === 0) return reading.fault(field, "must name at least one attribute")
      if (entries.length > 1 && !reading.count(field, entries.length)) return undefined
      const nodes = reading.each(entries, ([attribute, text]): Node | undefined => {
        const at = member(field, attribute)
        const named = reading.attributeName(attribute, at)
        if (!reading.text(text, at) || !named) return undefined
        return { kind: "test", field: { from: "attribute", name: attribute }, test: testOf(text) }
      })
      return nodes && allOf(nodes)
    },
  }
}

function several(
  value: unknown,
  field: string,
  reading: Reading,
  join: (nodes: readonly Node[]) => Node,
): Node | undefined {
  if (!Array.isArray(value)) return reading.fault(field, `must be an array of filters, not ${describe(value)}`)
  if (value.length === 0) return reading.fault(field, "must hold at least one filter")
  const nodes = reading.filters(value, field)
  return nodes && join(nodes)
}
