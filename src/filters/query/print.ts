import { isNumeric, type Numeric } from "../../formats/decimal.ts"
import type { Node, Test, TestNode } from "../tree.ts"
import { formatPath, quote } from "../view.ts"

/** A query's tree as a query that parses to the same tree. Other dialects' trees have no such form: undefined. */
export function printQuery(node: Node): string | undefined {
  switch (node.kind) {
    case "all":
    case "any": {
      const parts = node.of.map(printPart)
      return parts.includes(undefined) ? undefined : parts.join(node.kind === "all" ? " and " : " or ")
    }
    case "not": {
      const of = printPart(node.of)
      return of && `not ${of}`
    }
    case "test":
      return printTest(node)
    default:
      return undefined
  }
}

function printPart(node: Node): string | undefined {
  const text = printQuery(node)
  return text !== undefined && (node.kind === "all" || node.kind === "any") ? `(${text})` : text
}

const castName = { number: "NUMBER", text: "TEXT", boolean: "BOOLEAN" } as const

function printTest({ field, test }: TestNode): string | undefined {
  const name = field.from === "attribute" ? field.name : formatPath(field.path)
  if (test.is === "present") return `exists ${name}`
  const subject = test.is === "cast" ? `${name}::${castName[test.to]}` : name
  const asked = printAsked(test.is === "cast" ? test.test : test)
  return asked && `${subject} ${asked}`
}

/** What follows the field. */
function printAsked(test: Test): string | undefined {
  const equal = printConstant(test)
  if (equal !== undefined) return `== ${equal}`
  switch (test.is) {
    case "range": {
      if (test.low !== undefined && test.high !== undefined) return undefined
      return test.low !== undefined
        ? `${test.lowOpen ? ">" : ">="} ${printNumber(test.low)}`
        : `${test.highOpen ? "<" : "<="} ${printNumber(test.high!)}`
    }
    case "order":
      return `${test.operator} ${quote(test.text)}`
    case "instant":
      return `${test.operator} ${printInstant(test.ms)}`
    case "contains":
      return `contains ${printValue(test.value)}`
    case "except": {
      const [only] = test.tests
      if (only?.is === "contains") return `not contains ${printValue(only.value)}`
      const constants = test.tests.map(printConstant)
      return constants.includes(undefined) ? undefined : `not in [${constants.join(", ")}]`
    }
    default:
      return undefined
  }
}

/** The constant that a test asks equality with. */
function printConstant(test: Test): string | undefined {
  switch (test.is) {
    case "text":
      return quote(test.text)
    case "constant":
      return String(test.value)
    case "absent":
      return "null"
    case "instant":
      return test.operator === "=" ? printInstant(test.ms) : undefined
    case "range":
      return test.low !== undefined && test.low === test.high ? printNumber(test.low) : undefined
    default:
      return undefined
  }
}

function printValue(value: string | Numeric | boolean | null): string {
  return typeof value === "string" ? quote(value) : isNumeric(value) ? printNumber(value) : String(value)
}

/** The language has exponents only behind a point. */
function printNumber(value: Numeric): string {
  return String(value).replace(/^-?\d+(?=e)/, "$&.0")
}

function printInstant(ms: number): string {
  return `${quote(new Date(ms).toISOString())}::DATETIME`
}
