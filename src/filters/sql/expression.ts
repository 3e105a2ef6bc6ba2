import type { Numeric } from "../../formats/decimal.ts"
import type { DataPath } from "../view.ts"

/** A CloudEvents SQL expression, parsed and checked. `at` is the offset of its operator or first character. */
export type Expression =
  | Literal
  | AttributeRead
  | DataRead
  | Unary
  | Binary
  | LikeExpression
  | InExpression
  | ExistsExpression
  | IsNullExpression
  | Call

/** `number` and `null` are not CESQL: they come with access to data. */
export interface Literal {
  readonly kind: "literal"
  readonly type: "string" | "integer" | "boolean" | "number" | "null"
  readonly value: string | Numeric | boolean | null
  readonly at: number
}

/** Names are lower case. */
export interface AttributeRead {
  readonly kind: "attribute"
  readonly name: string
  readonly at: number
}

export interface DataRead {
  readonly kind: "data"
  readonly path: DataPath
  readonly at: number
}

export interface Unary {
  readonly kind: "not" | "negate"
  readonly of: Expression
  readonly at: number
}

export type LogicOperator = "AND" | "OR" | "XOR"
export type ComparisonOperator = "=" | "!=" | "<" | "<=" | ">" | ">="
export type ArithmeticOperator = "+" | "-" | "*" | "/" | "%"

export interface Binary {
  readonly kind: "binary"
  readonly operator: LogicOperator | ComparisonOperator | ArithmeticOperator
  readonly left: Expression
  readonly right: Expression
  readonly at: number
}

export interface LikeExpression {
  readonly kind: "like"
  readonly of: Expression
  readonly pattern: string
  readonly negated: boolean
  readonly at: number
}

export interface InExpression {
  readonly kind: "in"
  readonly of: Expression
  readonly elements: readonly Expression[]
  readonly negated: boolean
  readonly at: number
}

export interface ExistsExpression {
  readonly kind: "exists"
  readonly of: AttributeRead | DataRead
  readonly at: number
}

export interface IsNullExpression {
  readonly kind: "isNull"
  readonly of: Expression
  readonly negated: boolean
  readonly at: number
}

/** Names are upper case. */
export interface Call {
  readonly kind: "call"
  readonly name: string
  readonly arguments: readonly Expression[]
  readonly at: number
}

/**
 * What an expression can be known to yield before any event is seen. `attribute`: one of the three CESQL types, by the
 * event. `data`: any JSON value. `number`: a number with a fraction, from data or a decimal literal.
 */
export type StaticType = "string" | "integer" | "boolean" | "number" | "null" | "attribute" | "data"

const logic: ReadonlySet<string> = new Set(["AND", "OR", "XOR"])
const arithmetic: ReadonlySet<string> = new Set(["+", "-", "*", "/", "%"])

export function isLogic(operator: Binary["operator"]): operator is LogicOperator {
  return logic.has(operator)
}

export function isArithmetic(operator: Binary["operator"]): operator is ArithmeticOperator {
  return arithmetic.has(operator)
}

export function staticType(expression: Expression, returns: (call: Call) => StaticType): StaticType {
  switch (expression.kind) {
    case "literal":
      return expression.type
    case "attribute":
      return "attribute"
    case "data":
      return "data"
    case "negate":
      return isWide(staticType(expression.of, returns)) ? "number" : "integer"
    case "binary":
      if (!isArithmetic(expression.operator)) return "boolean"
      return isWide(staticType(expression.left, returns)) || isWide(staticType(expression.right, returns))
        ? "number"
        : "integer"
    case "call":
      return returns(expression)
    default:
      return "boolean"
  }
}

/** Whether values of this type are outside CESQL, so that operators on them follow the rules for data. */
export function isWide(type: StaticType): boolean {
  return type === "data" || type === "number" || type === "null"
}
