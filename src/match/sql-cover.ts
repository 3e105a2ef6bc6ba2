import type { AttributeRead, Binary, DataRead, Expression, Literal } from "../filters/sql/expression.ts"
import { likeGlob } from "../filters/sql/like.ts"
import { exactNumber, isNumeric, type Numeric, nearest } from "../formats/decimal.ts"
import type { Interval } from "./intervals.ts"
import { type Cover, eitherCover, globKey, inexact, type Key, type KeyField, type KeyKind, namesOf } from "./keys.ts"

/** Attributes that are texts in every event, so that no cast can make another text equal to theirs. */
const texts: ReadonlySet<string> = new Set([
  "id",
  "source",
  "specversion",
  "type",
  "datacontenttype",
  "dataschema",
  "subject",
  "time",
])

/** Conditions of an SQL expression, all necessary for it to be true. */
export function sqlCovers(expression: Expression): readonly Cover[] {
  switch (expression.kind) {
    case "binary":
      return binaryCovers(expression)
    case "like": {
      if (expression.negated || expression.of.kind !== "attribute") return []
      const found = globKey(likeGlob(expression.pattern))
      return found === undefined ? [] : [coverOf([keyOf(expression.of, found.by)], found.exact)]
    }
    case "in":
      return expression.negated ? [] : inCovers(expression.of, expression.elements)
    default:
      return []
  }
}

function binaryCovers({ operator, left, right }: Binary): readonly Cover[] {
  switch (operator) {
    case "AND":
      return [...sqlCovers(left), ...sqlCovers(right)].map(inexact)
    case "OR":
      // An error on the left decides against the whole, whatever the right side is.
      return eitherCover([sqlCovers(left), sqlCovers(right)]).map(inexact)
    case "=":
      return equalCovers(left, right)
    case "<":
    case "<=":
    case ">":
    case ">=":
      if (isRead(left) && isNumber(right)) return [rangeCover(left, operator, right.value as Numeric)]
      if (isNumber(left) && isRead(right)) return [rangeCover(right, turned[operator], left.value as Numeric)]
      return []
    default:
      return []
  }
}

const turned = { "<": ">", "<=": ">=", ">": "<", ">=": "<=" } as const

function equalCovers(left: Expression, right: Expression): readonly Cover[] {
  if (isRead(left) && right.kind === "literal") return literalCovers(left, right)
  // The right side's type decides: only of an attribute that is a text is it known.
  if (left.kind === "literal" && right.kind === "attribute" && texts.has(right.name) && left.value !== null) {
    return [coverOf([keyOf(right, { kind: "value", value: String(left.value) })], true)]
  }
  return []
}

function literalCovers(left: AttributeRead | DataRead, { value }: Literal): readonly Cover[] {
  if (isNumeric(value)) return [rangeCover(left, "=", value)]
  if (typeof value !== "string") return []
  if (left.kind === "attribute") return [coverOf([keyOf(left, { kind: "value", value })], true)]
  const keys = [keyOf(left, { kind: "value", value })]
  const number = /^-?[0-9][0-9.]*(e[+-][0-9]+)?$/.test(value) ? exactNumber(value) : undefined
  if (number !== undefined && String(number) === value) {
    keys.push(keyOf(left, { kind: "range", loose: false, interval: intervalOf("=", number) }))
  }
  if (value === "true" || value === "false") keys.push(keyOf(left, { kind: "value", value: value === "true" }))
  return [coverOf(keys, false)]
}

/**
 * The left side's type decides what the elements are cast to. A text element that is the only text of its value is found
 * by that text whatever the attribute's type is.
 */
function inCovers(of: Expression, elements: readonly Expression[]): readonly Cover[] {
  if (of.kind !== "attribute") return []
  const keys: Key[] = []
  for (const element of elements) {
    if (element.kind !== "literal" || element.value === null) return []
    const text = String(element.value)
    const found = texts.has(of.name) || (typeof element.value === "string" && isOnlyText(text))
    if (!found) return []
    keys.push(keyOf(of, { kind: "value", value: text }))
  }
  return keys.length > 64 ? [] : [coverOf(keys, false)]
}

function isOnlyText(text: string): boolean {
  if (/^[+-]?[0-9]+$/.test(text)) return String(Number(text)) === text
  const lower = text.toLowerCase()
  return lower === text || (lower !== "true" && lower !== "false")
}

type RangeOperator = "=" | "<" | "<=" | ">" | ">="

function rangeCover(read: AttributeRead | DataRead, operator: RangeOperator, value: Numeric): Cover {
  return coverOf([keyOf(read, { kind: "range", loose: true, interval: intervalOf(operator, value) })], false)
}

/** A limit that no double stands for is the next one, which is then within. */
function intervalOf(operator: RangeOperator, value: Numeric): Interval {
  const limit = nearest(value) + 0
  return {
    low: operator === "<" || operator === "<=" ? Number.NEGATIVE_INFINITY : limit,
    lowOpen: operator === ">" && typeof value === "number",
    high: operator === ">" || operator === ">=" ? Number.POSITIVE_INFINITY : limit,
    highOpen: operator === "<" && typeof value === "number",
  }
}

function coverOf(keys: readonly Key[], exact: boolean): Cover {
  return { keys, exact }
}

function keyOf(read: AttributeRead | DataRead, by: KeyKind): Key {
  const field: KeyField =
    read.kind === "attribute" ? { from: "attribute", name: read.name } : { from: "data", path: namesOf(read.path) }
  return { field, by }
}

function isRead(expression: Expression): expression is AttributeRead | DataRead {
  return expression.kind === "attribute" || expression.kind === "data"
}

function isNumber(expression: Expression): expression is Literal {
  return expression.kind === "literal" && isNumeric(expression.value)
}
