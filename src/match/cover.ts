import { equalNumber, type Field, type Node, type RangeTest, type Test } from "../filters/tree.ts"
import type { DataPath } from "../filters/view.ts"
import { Decimal, type Numeric, nearest } from "../formats/decimal.ts"
import type { Interval } from "./intervals.ts"
import { type Cover, eitherCover, type Found, globKey, inexact, type Key, type KeyField, namesOf } from "./keys.ts"
import { isDecided } from "./segments.ts"
import { sqlCovers } from "./sql-cover.ts"

/** Conditions of a tree, all necessary. None: nothing about the tree can be looked up. */
export function coversOf(node: Node): readonly Cover[] {
  switch (node.kind) {
    case "all":
      return node.of.length === 1 ? coversOf(node.of[0]!) : node.of.flatMap(coversOf).map(inexact)
    case "any":
      return eitherCover(node.of.map(coversOf))
    case "not":
      return []
    case "test":
      return testCovers(node.field, node.test)
    case "object":
      return coversOf(node.of).map(({ keys }) => ({ keys: keys.map((key) => within(node.path, key)), exact: false }))
    case "sql":
      return sqlCovers(node.expression)
  }
}

function testCovers(field: Field, test: Test): readonly Cover[] {
  if (field.from === "attribute") return toCovers(attributeKeys(test), { from: "attribute", name: field.name }, true)
  return toCovers(dataKeys(test), { from: "data", path: namesOf(field.path) }, field.each)
}

/** `whole`: the place is looked up just as the test reads it. */
function toCovers(found: Found | undefined, field: KeyField, whole: boolean): readonly Cover[] {
  return found === undefined ? [] : [{ keys: [{ field, by: found.by }], exact: found.exact && whole }]
}

function attributeKeys(test: Test): Found | undefined {
  if (test.is !== "constant") return textKeys(test)
  return test.value === null ? undefined : { by: { kind: "value", value: String(test.value) }, exact: true }
}

function dataKeys(test: Test): Found | undefined {
  switch (test.is) {
    case "constant":
      return { by: { kind: "value", value: test.value }, exact: true }
    case "contains":
      if (test.value instanceof Decimal) return rangeKey(equalNumber(test.value))
      return typeof test.value === "string" ? undefined : { by: { kind: "value", value: test.value }, exact: false }
    case "range":
      if (typeof test.low === "number" && test.low === test.high) {
        return { by: { kind: "value", value: test.low + 0 }, exact: true }
      }
      return rangeKey(test)
    default:
      return textKeys(test)
  }
}

function textKeys(test: Test): Found | undefined {
  switch (test.is) {
    case "text":
      return { by: { kind: "value", value: test.text }, exact: true }
    case "fold":
      return { by: { kind: "fold", text: test.text.toLowerCase() }, exact: true }
    case "prefix":
    case "suffix":
      return test.fold || test.text === "" ? undefined : { by: { kind: test.is, text: test.text }, exact: true }
    case "glob":
      return globKey(test.glob)
    case "path":
      return { by: { kind: "path", segments: test.pattern.segments }, exact: isDecided(test.pattern.segments) }
    case "range":
      return rangeKey(test)
    default:
      return undefined
  }
}

function rangeKey(test: RangeTest): Found {
  const exact = typeof test.low !== "object" && typeof test.high !== "object"
  return { by: { kind: "range", loose: false, interval: intervalOf(test) }, exact }
}

/** A limit that no double stands for is the next one, which is then within: what is found is asked all the same. */
function intervalOf({ low, lowOpen, high, highOpen }: RangeTest): Interval {
  return {
    low: limitOf(low ?? Number.NEGATIVE_INFINITY),
    lowOpen: typeof low === "number" && lowOpen === true,
    high: limitOf(high ?? Number.POSITIVE_INFINITY),
    highOpen: typeof high === "number" && highOpen === true,
  }
}

function limitOf(value: Numeric): number {
  return nearest(value) + 0
}

function within(path: DataPath, key: Key): Key {
  if (key.field.from === "attribute") return key
  return { ...key, field: { from: "data", path: [...namesOf(path), ...key.field.path] } }
}
