import type { Numeric } from "../../formats/decimal.ts"
import { type Comparison, equalNumber, type Test } from "../tree.ts"

export type CastType = "number" | "text" | "boolean" | "datetime"

/** What may stand after `::`. */
export const castNames: ReadonlyMap<string, CastType> = new Map([
  ["DATETIME", "datetime"],
  ["TIMESTAMP", "datetime"],
  ["NUMBER", "number"],
  ["INTEGER", "number"],
  ["INT", "number"],
  ["FLOAT", "number"],
  ["TEXT", "text"],
  ["STRING", "text"],
  ["BOOLEAN", "boolean"],
  ["BOOL", "boolean"],
])

/** A value in a query. A datetime is Unix milliseconds. */
export type Constant =
  | { readonly type: "number"; readonly value: Numeric }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "boolean"; readonly value: boolean }
  | { readonly type: "null"; readonly value: null }
  | { readonly type: "datetime"; readonly value: number; readonly text: string }

export function equalTest(constant: Constant): Test {
  switch (constant.type) {
    case "number":
      return equalNumber(constant.value)
    case "text":
      return { is: "text", text: constant.value }
    case "datetime":
      return { is: "instant", operator: "=", ms: constant.value }
    default:
      return { is: "constant", value: constant.value }
  }
}

/** Undefined for what has no order. */
export function orderTest(operator: Comparison, constant: Constant): Test | undefined {
  switch (constant.type) {
    case "number":
      return rangeOf(operator, constant.value)
    case "text":
      return { is: "order", operator, text: constant.value }
    case "datetime":
      return { is: "instant", operator, ms: constant.value }
    default:
      return undefined
  }
}

function rangeOf(operator: Comparison, value: Numeric): Test {
  switch (operator) {
    case "<":
      return { is: "range", high: value, highOpen: true }
    case "<=":
      return { is: "range", high: value }
    case ">":
      return { is: "range", low: value, lowOpen: true }
    case ">=":
      return { is: "range", low: value }
  }
}

/** Undefined for what nothing contains. */
export function containsTest(constant: Constant): Test | undefined {
  return constant.type === "datetime" ? undefined : { is: "contains", value: constant.value }
}
