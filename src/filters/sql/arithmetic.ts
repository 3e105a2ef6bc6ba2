import type { ArithmeticOperator, ComparisonOperator } from "./expression.ts"
import { isInteger32 } from "./values.ts"

export interface ArithmeticResult {
  readonly value: number
  /** What is wrong with the value, for people. */
  readonly problem?: string
}

/** 32-bit integers that wrap around where they overflow, or, with `wide`, numbers with a fraction. */
export function arithmetic(operator: ArithmeticOperator, x: number, y: number, wide: boolean): ArithmeticResult {
  if (y === 0 && (operator === "/" || operator === "%")) return { value: 0, problem: `${x} ${operator} 0 has no value` }
  const exact = compute(operator, x, y)
  if (wide) {
    return Number.isFinite(exact) ? { value: exact + 0 } : { value: 0, problem: `${x} ${operator} ${y} is too large` }
  }
  const whole = Math.trunc(exact)
  if (isInteger32(whole)) return { value: whole | 0 }
  const value = operator === "*" ? Math.imul(x, y) : whole | 0
  return { value, problem: `${x} ${operator} ${y} does not fit in 32 bits` }
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

export function compareNumbers(operator: Exclude<ComparisonOperator, "=" | "!=">, x: number, y: number): boolean {
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
