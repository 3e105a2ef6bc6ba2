import { calculateExactly, compareNumeric, type Numeric, nearest, negated } from "../../formats/decimal.ts"
import { showValue } from "../shown.ts"
import type { ArithmeticOperator, ComparisonOperator } from "./expression.ts"
import { isInteger32 } from "./values.ts"

export interface ArithmeticResult {
  readonly value: Numeric
  /** What is wrong with the value, for people. */
  readonly problem?: string
}

/** 32-bit integers that wrap around where they overflow, or, with `wide`, numbers with a fraction. */
export function arithmetic(operator: ArithmeticOperator, x: Numeric, y: Numeric, wide: boolean): ArithmeticResult {
  if (y === 0 && (operator === "/" || operator === "%"))
    return { value: 0, problem: `${showValue(x)} ${operator} 0 has no value` }
  if (typeof x !== "number" || typeof y !== "number") return exactly(operator, x, y)
  const exact = compute(operator, x, y)
  if (wide) {
    // Whole numbers that a double rounds.
    if (!Number.isSafeInteger(exact) && operator !== "/" && Number.isInteger(x) && Number.isInteger(y)) {
      return exactly(operator, x, y)
    }
    return finite(operator, x, y, exact)
  }
  const whole = Math.trunc(exact)
  if (isInteger32(whole)) return { value: whole | 0 }
  const value = operator === "*" ? Math.imul(x, y) : whole | 0
  return { value, problem: `${written(operator, x, y)} does not fit in 32 bits` }
}

/** A quotient has no end of digits: it is that of the nearest doubles. */
function exactly(operator: ArithmeticOperator, x: Numeric, y: Numeric): ArithmeticResult {
  if (operator === "-" && x === 0) return { value: negated(y) }
  if (operator === "/") return finite(operator, x, y, nearest(x) / nearest(y))
  const value = calculateExactly(operator, x, y)
  return value === undefined ? { value: 0, problem: `${written(operator, x, y)} has too many digits` } : { value }
}

function finite(operator: ArithmeticOperator, x: Numeric, y: Numeric, value: number): ArithmeticResult {
  return Number.isFinite(value)
    ? { value: value + 0 }
    : { value: 0, problem: `${written(operator, x, y)} is too large` }
}

/** The calculation, with as much of its numbers as is shown. */
function written(operator: ArithmeticOperator, x: Numeric, y: Numeric): string {
  return `${showValue(x)} ${operator} ${showValue(y)}`
}

function compute(operator: ArithmeticOperator, x: number, y: number): number {
  switch (operator) {
    case "+":
      return x + y
    case "-":
      return x - y
    case "*":
      return x * y
    case "/":
      return x / y
    case "%":
      return x % y
  }
}

export function compareNumbers(operator: Exclude<ComparisonOperator, "=" | "!=">, x: Numeric, y: Numeric): boolean {
  if (typeof x !== "number" || typeof y !== "number") return compareNumbers(operator, compareNumeric(x, y), 0)
  switch (operator) {
    case "<":
      return x < y
    case "<=":
      return x <= y
    case ">":
      return x > y
    case ">=":
      return x >= y
  }
}
