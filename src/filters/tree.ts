import type { Numeric } from "../formats/decimal.ts"
import type { Glob } from "./glob.ts"
import type { PathPattern } from "./path/pattern.ts"
import type { Expression } from "./sql/expression.ts"
import type { DataPath } from "./view.ts"

/** The checked tree that every filter language parses to. It is plain data: compiling, indexing and explaining read it. */
export type Node = AllNode | AnyNode | NotNode | TestNode | ObjectNode | SqlNode

/** True where every part is. No part: true. */
export interface AllNode {
  readonly kind: "all"
  readonly of: readonly Node[]
}

/** True where some part is. No part: false. */
export interface AnyNode {
  readonly kind: "any"
  readonly of: readonly Node[]
}

export interface NotNode {
  readonly kind: "not"
  readonly of: Node
}

/** One field of the event against one test. A field that the event does not have passes `absent` only. */
export interface TestNode {
  readonly kind: "test"
  readonly field: Field
  readonly test: Test
}

/**
 * Some object at a place in data passes: the object itself, or any object of an array there. The fields of data within
 * `of` are places in that object. This is how several conditions hold for the same element of an array.
 */
export interface ObjectNode {
  readonly kind: "object"
  readonly path: DataPath
  readonly of: Node
}

/** A CloudEvents SQL expression: true where it yields true and no error. */
export interface SqlNode {
  readonly kind: "sql"
  readonly expression: Expression
  readonly text: string
}

/** A context attribute, by name; tests see its canonical text, or its number where they ask for one. */
export interface AttributeField {
  readonly from: "attribute"
  readonly name: string
}

/**
 * A place in JSON data. With `each`, arrays on the way and at the end stand for their elements, and a test passes where
 * it does for any of them; values are then strings, numbers, booleans and nulls only.
 */
export interface DataField {
  readonly from: "data"
  readonly path: DataPath
  readonly each: boolean
  /** Within an object node: a place in the event's data all the same. */
  readonly whole?: true
}

export type Field = AttributeField | DataField

export type Comparison = "<" | "<=" | ">" | ">="

/** What is asked of a value. */
export type Test =
  | { readonly is: "text"; readonly text: string }
  | { readonly is: "prefix"; readonly text: string; readonly fold?: boolean }
  | { readonly is: "suffix"; readonly text: string; readonly fold?: boolean }
  /** Equal when both are in lower case. */
  | { readonly is: "fold"; readonly text: string }
  | { readonly is: "glob"; readonly glob: Glob }
  | { readonly is: "path"; readonly pattern: PathPattern }
  | { readonly is: "constant"; readonly value: boolean | null }
  /** A number in a range; a limit that is not given is none. `Open`: the limit itself is outside. */
  | RangeTest
  | { readonly is: "order"; readonly operator: Comparison; readonly text: string }
  | InstantTest
  | { readonly is: "contains"; readonly value: string | Numeric | boolean | null }
  | { readonly is: "cidr"; readonly text: string }
  /** Present, and none of `tests` passes. */
  | { readonly is: "except"; readonly tests: readonly Test[] }
  | { readonly is: "present" }
  | { readonly is: "absent" }
  /** The value in another type; a value that has no such form passes nothing. */
  | { readonly is: "cast"; readonly to: "number" | "text" | "boolean"; readonly test: Test }

export interface RangeTest {
  readonly is: "range"
  readonly low?: Numeric
  readonly lowOpen?: boolean
  readonly high?: Numeric
  readonly highOpen?: boolean
}

/** A point in time: texts are read as RFC 3339, or as a date; compared with `ms` of Unix time, which may have a fraction. */
export interface InstantTest {
  readonly is: "instant"
  readonly operator: Comparison | "=" | "!="
  readonly ms: number
}

/** All of `parts` as one node. */
export function allOf(parts: readonly Node[]): Node {
  return parts.length === 1 ? parts[0]! : { kind: "all", of: parts }
}

/** Any of `parts` as one node. */
export function anyOf(parts: readonly Node[]): Node {
  return parts.length === 1 ? parts[0]! : { kind: "any", of: parts }
}

/** A number equal to `value`. */
export function equalNumber(value: Numeric): RangeTest {
  return { is: "range", low: value, high: value }
}
