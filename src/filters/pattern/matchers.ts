import { isNumeric } from "../../formats/decimal.ts"
import { compileCidr } from "../cidr.ts"
import { type Glob, type GlobPart, normalGlob, run, wildcardsOf } from "../glob.ts"
import { limits } from "../limits.ts"
import { describe, isObject, member, type Reading } from "../reading.ts"
import { showValue } from "../shown.ts"
import { equalNumber, type RangeTest, type Test } from "../tree.ts"
import type { Json } from "../view.ts"

/** Reads the value of one operator of a pattern. */
type OperatorReader = (value: unknown, field: string, reading: Reading) => Test | undefined

const operators: Readonly<Record<string, OperatorReader>> = {
  prefix: (value, field, reading) => affix("prefix", value, field, reading),
  suffix: (value, field, reading) => affix("suffix", value, field, reading),
  "equals-ignore-case": fold,
  wildcard,
  "anything-but": anythingBut,
  numeric,
  exists(value, field, reading) {
    if (typeof value === "boolean") return { is: value ? "present" : "absent" }
    return reading.fault(field, `must be true or false, not ${describe(value)}`)
  },
  cidr(value, field, reading) {
    if (!reading.text(value, field)) return undefined
    if (compileCidr(value) !== undefined) return { is: "cidr", text: value }
    return reading.fault(field, "must be a block of addresses: 10.0.0.0/24 or 2001:db8::/32", {
      found: value,
      expected: "address/bits",
    })
  },
}

/** The operators of a pattern, by name. */
export const operatorNames: readonly string[] = Object.keys(operators)

/** Whether a name is an operator, which no member of an `$or` may be named. */
export function isOperator(name: string): boolean {
  return Object.hasOwn(operators, name)
}

/** Characters of what was found that a fault repeats. */
const foundMax = 256

/** One matcher of a field: a value, or an object with one operator. */
export function readMatcher(value: unknown, field: string, reading: Reading): Test | undefined {
  if (!reading.count(field)) return undefined
  if (typeof value === "string") return literalText(value, field, reading)
  if (isNumeric(value)) return equalTo(value, field, reading)
  if (typeof value === "boolean" || value === null) return { is: "constant", value }
  if (!isObject(value)) return reading.fault(field, `must be a value or an operator, not ${describe(value)}`)
  const names = Object.keys(value)
  const known = names.filter(isOperator)
  const list = operatorNames.join(", ")
  reading.each(names, (name) => {
    if (isOperator(name)) return name
    const found = name.slice(0, foundMax)
    return reading.fault(member(field, name), `unknown operator; known are ${list}`, { found, expected: list })
  })
  if (names.length !== 1) return reading.fault(field, `must have one operator, not ${names.length}`)
  return known.length === 1 ? operators[known[0]!]!(value[known[0]!], member(field, known[0]!), reading) : undefined
}

function equalTo(value: unknown, field: string, reading: Reading): Test | undefined {
  return reading.number(value, field) ? equalNumber(value) : undefined
}

/** Equality takes the empty text too. */
function literalText(text: string, field: string, reading: Reading): Test | undefined {
  if (text !== "" && !reading.text(text, field)) return undefined
  return { is: "text", text }
}

function fold(value: unknown, field: string, reading: Reading): Test | undefined {
  if (typeof value !== "string") return reading.fault(field, `must be a string, not ${describe(value)}`)
  if (value !== "" && !reading.text(value, field)) return undefined
  return { is: "fold", text: value }
}

function affix(is: "prefix" | "suffix", value: unknown, field: string, reading: Reading): Test | undefined {
  if (!isObject(value)) return reading.text(value, field) ? { is, text: value } : undefined
  const name = "equals-ignore-case"
  const names = Object.keys(value)
  if (names.length !== 1 || names[0] !== name) return reading.fault(field, `must be a string or an object with ${name}`)
  const text = value[name]
  return reading.text(text, member(field, name)) ? { is, text, fold: true } : undefined
}

/** `*` is any run of characters; `\*` and `\\` are themselves. */
function wildcard(value: unknown, field: string, reading: Reading): Test | undefined {
  if (!reading.text(value, field)) return undefined
  const glob = readWildcard(value)
  if (typeof glob === "string") return reading.fault(field, glob, { found: value })
  if (wildcardsOf(glob) <= limits.wildcardsMax) return { is: "glob", glob }
  return reading.fault(field, `has more than ${limits.wildcardsMax} wildcards; use fewer *`)
}

/** The glob, or what is wrong. */
function readWildcard(text: string): Glob | string {
  const parts: GlobPart[] = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === "*") {
      if (text[at + 1] === "*") return "has two * in a row; one is enough"
      parts.push(run)
    } else if (character === "\\") {
      const next = text[++at]
      if (next !== "*" && next !== "\\") return "has a backslash before something else than * or \\"
      parts.push(next)
    } else parts.push(character)
  }
  return normalGlob(parts)
}

const exceptions: readonly string[] = ["prefix", "suffix", "wildcard", "equals-ignore-case"]

function anythingBut(value: unknown, field: string, reading: Reading): Test | undefined {
  if (isObject(value)) {
    const names = Object.keys(value)
    const name = names[0]!
    if (names.length !== 1 || !exceptions.includes(name)) {
      return reading.fault(field, `must have one of ${exceptions.join(", ")}`)
    }
    return exceptOf(listOf(value[name]), member(field, name), reading, operators[name]!)
  }
  const values = listOf(value)
  const kinds = new Set(values.map((item) => (isNumeric(item) ? "number" : typeof item)))
  if (kinds.size > 1 || !(kinds.has("string") || kinds.has("number"))) {
    return reading.fault(field, "must be a string, a number, or an array of only the one or the other")
  }
  return exceptOf(values, field, reading, (item, at) =>
    isNumeric(item) ? equalTo(item, at, reading) : literalText(String(item), at, reading),
  )
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function exceptOf(values: readonly unknown[], field: string, reading: Reading, read: OperatorReader): Test | undefined {
  if (values.length === 0) return reading.fault(field, "must hold at least one value")
  if (!reading.count(field, values.length)) return undefined
  const tests = reading.each(values, (value, index) =>
    read(value, values.length > 1 ? `${field}[${index}]` : field, reading),
  )
  return tests && { is: "except", tests }
}

/** `["=", n]`, or one or two limits: `[">", 0, "<=", 5]`. */
function numeric(value: unknown, field: string, reading: Reading): Test | undefined {
  const expected = '["=", n], [">", n] or [">=", n, "<", m]'
  const bad = (why: string) => reading.fault(field, `${why}; write it as ${expected}`, { expected })
  if (!Array.isArray(value) || value.length === 0 || value.length % 2 !== 0) return bad("must be operators and numbers")
  let range: RangeTest = { is: "range" }
  for (let at = 0; at < value.length; at += 2) {
    const [operator, number] = [value[at], value[at + 1]]
    if (!isNumeric(number)) return bad(`${describe(number)} is no number`)
    if (!reading.number(number, `${field}[${at + 1}]`)) return undefined
    if (operator === "=" && value.length === 2) return equalNumber(number)
    const limit = limitOf(operator, number)
    if (limit === undefined) return bad(`${showValue(operator as Json)} does not stand here`)
    if (
      (limit.low !== undefined && range.low !== undefined) ||
      (limit.high !== undefined && range.high !== undefined)
    ) {
      return bad("has two limits on the same side")
    }
    range = { ...range, ...limit }
  }
  if (isEmpty(range)) return bad("no number is in this range")
  return range
}

function limitOf(operator: unknown, number: number): Omit<RangeTest, "is"> | undefined {
  switch (operator) {
    case ">":
      return { low: number, lowOpen: true }
    case ">=":
      return { low: number }
    case "<":
      return { high: number, highOpen: true }
    case "<=":
      return { high: number }
    default:
      return undefined
  }
}

function isEmpty({ low, lowOpen, high, highOpen }: RangeTest): boolean {
  if (low === undefined || high === undefined) return false
  return low > high || (low === high && (lowOpen === true || highOpen === true))
}
