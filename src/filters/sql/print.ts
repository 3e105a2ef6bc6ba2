import { formatPath, quote } from "../view.ts"
import type { Binary, Expression, Literal } from "./expression.ts"

/** The expression as text that parses to the same expression: canonical, with only the parentheses that it needs. */
export function printSql(expression: Expression): string {
  return print(expression, 0)
}

const atom = 9

/** `least`: how tightly what stands here must bind to need no parentheses. */
function print(expression: Expression, least: number): string {
  const binds = bindsOf(expression)
  const text = printBare(expression, binds)
  return binds < least ? `(${text})` : text
}

function bindsOf(expression: Expression): number {
  switch (expression.kind) {
    case "not":
    case "negate":
      return 8
    case "like":
    case "isNull":
      return 7
    case "in":
      return 6
    case "binary":
      return bindsOfOperator(expression.operator)
    default:
      return atom
  }
}

function bindsOfOperator(operator: Binary["operator"]): number {
  switch (operator) {
    case "*":
    case "/":
    case "%":
      return 5
    case "+":
    case "-":
      return 4
    case "AND":
    case "OR":
    case "XOR":
      return 2
    default:
      return 3
  }
}

function printBare(expression: Expression, binds: number): string {
  switch (expression.kind) {
    case "literal":
      return printLiteral(expression)
    case "attribute":
      return expression.name
    case "data":
      return formatPath(expression.path)
    case "exists":
      return `EXISTS ${print(expression.of, atom)}`
    case "not":
      return `NOT ${print(expression.of, 8)}`
    case "negate":
      return `- ${print(expression.of, 8)}`
    case "isNull":
      return `${print(expression.of, binds)} IS ${expression.negated ? "NOT " : ""}NULL`
    case "like":
      return `${print(expression.of, binds)} ${expression.negated ? "NOT " : ""}LIKE ${quote(expression.pattern)}`
    case "in": {
      const elements = expression.elements.map((element) => print(element, 0)).join(", ")
      return `${print(expression.of, binds)} ${expression.negated ? "NOT " : ""}IN (${elements})`
    }
    case "binary":
      return `${print(expression.left, binds)} ${expression.operator} ${print(expression.right, binds + 1)}`
    case "call":
      return `${expression.name}(${expression.arguments.map((argument) => print(argument, 0)).join(", ")})`
  }
}

function printLiteral({ type, value }: Literal): string {
  if (typeof value === "string") return quote(value)
  if (typeof value === "boolean") return value ? "TRUE" : "FALSE"
  const text = String(value)
  return type !== "number" || text.includes(".") ? text : text.replace(/^-?\d+/, "$&.0")
}
