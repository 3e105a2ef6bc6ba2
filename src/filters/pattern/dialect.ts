import { limits } from "../limits.ts"
import { type Dialect, describe, isObject, member, type Reading } from "../reading.ts"
import { allOf, anyOf, type DataField, type Field, type Node, type Test } from "../tree.ts"
import type { DataPath } from "../view.ts"
import { isOperator, readMatcher } from "./matchers.ts"

/** EventBridge event patterns over the whole event: its attributes, and under `data` its JSON data. */
export const patternDialect: Dialect = {
  name: "pattern",
  read(value, field, reading) {
    if (!isObject(value)) return reading.fault(field, `must be an object, not ${describe(value)}`)
    return readEvent(value, field, reading)
  },
}

type Members = Readonly<Record<string, unknown>>

/** The top of a pattern: attributes, `data` and `$or`. */
function readEvent(pattern: Members, field: string, reading: Reading): Node | undefined {
  return readMembers(pattern, field, reading, readEvent, (name, value, at) => {
    if (name === "data")
      return isObject(value) ? readObject(top, value, at, reading) : readLeaf(data([]), value, at, reading)
    if (!reading.attributeName(name, at)) return undefined
    if (isObject(value)) return reading.fault(at, "must be an array of values: an attribute has no members")
    return readLeaf({ from: "attribute", name }, value, at, reading)
  })
}

/** A place in data as the pattern goes down to it: from the event's data, and from the object that it is asked of. */
interface Place {
  readonly whole: DataPath
  readonly here: DataPath
}

const top: Place = { whole: [], here: [] }

function below({ whole, here }: Place, name: string): Place {
  return { whole: [...whole, name], here: [...here, name] }
}

/**
 * What is asked of an object in data. One question alone is asked of every value at its place; several are asked of the
 * same object, so that in an array of objects one of them must answer all. What must not exist must not do so anywhere.
 */
function readObject(place: Place, pattern: Members, field: string, reading: Reading): Node | undefined {
  const names = Object.keys(pattern)
  const only = names.length === 1 ? names[0]! : undefined
  if (only !== undefined && !isOr(only, pattern[only])) {
    const at = member(field, only)
    if (only.length > limits.nameCharactersMax) return reading.longName(at)
    return readMember(below(place, only), pattern[only], at, reading)
  }
  const of = readWithin({ whole: place.whole, here: [] })(pattern, field, reading)
  return of && { kind: "object", path: place.here, of }
}

/** The same, relative to the object. */
function readWithin(place: Place) {
  const read = (pattern: Members, field: string, reading: Reading): Node | undefined =>
    readMembers(pattern, field, reading, read, (name, value, at) => readMember(below(place, name), value, at, reading))
  return read
}

function readMember(place: Place, value: unknown, field: string, reading: Reading): Node | undefined {
  if (!isObject(value)) return readLeaf(data(place.here), value, field, reading, place.whole)
  return reading.nested(field, () => readObject(place, value, field, reading))
}

/** Every member must hold; `$or` is an alternative of whole patterns. */
function readMembers(
  pattern: Members,
  field: string,
  reading: Reading,
  readOne: (pattern: Members, field: string, reading: Reading) => Node | undefined,
  readNamed: (name: string, value: unknown, field: string) => Node | undefined,
): Node | undefined {
  const names = Object.keys(pattern)
  if (names.length === 0) return reading.fault(field, "must name at least one field")
  const nodes = reading.each(names, (name) => {
    const value = pattern[name]
    const at = member(field, name)
    if (name.length > limits.nameCharactersMax) return reading.longName(at)
    return isOr(name, value)
      ? reading.nested(at, () => readOr(value as readonly Members[], at, reading, readOne))
      : readNamed(name, value, at)
  })
  return nodes && allOf(nodes)
}

function readOr(
  patterns: readonly Members[],
  field: string,
  reading: Reading,
  readOne: (pattern: Members, field: string, reading: Reading) => Node | undefined,
): Node | undefined {
  if (!reading.count(field, patterns.length)) return undefined
  const nodes = reading.each(patterns, (pattern, index) => readOne(pattern, `${field}[${index}]`, reading))
  return nodes && anyOf(nodes)
}

/** `$or` is an alternative where it holds two or more objects without an operator; otherwise it is a field like any other. */
function isOr(name: string, value: unknown): boolean {
  if (name !== "$or" || !Array.isArray(value) || value.length < 2) return false
  return value.every((item) => isObject(item) && !Object.keys(item).some(isOperator))
}

/** The matchers of one field, any of which may hold. `whole`: where a field in data is from the event's data. */
function readLeaf(field: Field, value: unknown, at: string, reading: Reading, whole: DataPath = []): Node | undefined {
  if (!Array.isArray(value)) {
    return reading.fault(at, `must be an array of values and operators, not ${describe(value)}`)
  }
  if (value.length === 0) return reading.fault(at, "must hold at least one value or operator")
  const tests = reading.each(value as readonly unknown[], (item, index) =>
    readMatcher(item, `${at}[${index}]`, reading),
  )
  return tests && anyOf(tests.map((test) => leafOf(field, test, whole)))
}

/** An attribute that is null is one that is not there; what is not there in data is nowhere at its place. */
function leafOf(field: Field, test: Test, whole: DataPath): Node {
  if (field.from === "attribute") {
    return { kind: "test", field, test: test.is === "constant" && test.value === null ? { is: "absent" } : test }
  }
  if (test.is !== "absent") return { kind: "test", field, test }
  return { kind: "test", field: { ...field, path: whole, whole: true }, test }
}

function data(path: DataPath): DataField {
  return { from: "data", path, each: true }
}
