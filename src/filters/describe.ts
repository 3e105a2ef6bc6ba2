import type { Glob } from "./glob.ts"
import { printPath } from "./path/pattern.ts"
import { printSql } from "./sql/print.ts"
import type { Field, Node, RangeTest, Test } from "./tree.ts"
import { formatPath } from "./view.ts"

/** A clause in words: `type is "order.created"`. */
export function describeNode(node: Node): string {
  switch (node.kind) {
    case "all":
      return node.of.length === 0 ? "every event passes" : `all of ${node.of.length} clauses`
    case "any":
      return `any of ${node.of.length} clauses`
    case "not":
      return `not: ${describeNode(node.of)}`
    case "test":
      return `${describeField(node.field)} ${describeTest(node.test)}`
    case "object":
      return `some object at ${formatPath(node.path)} where ${describeWithin(node.of)}`
    case "sql":
      return printSql(node.expression)
  }
}

function describeWithin(node: Node): string {
  if (node.kind !== "all" && node.kind !== "any") return describeNode(node)
  return node.of.map(describeWithin).join(node.kind === "all" ? " and " : " or ")
}

/** A field as filters name it. */
export function describeField(field: Field): string {
  return field.from === "attribute" ? field.name : formatPath(field.path)
}

function describeTest(test: Test): string {
  switch (test.is) {
    case "text":
      return `is ${JSON.stringify(test.text)}`
    case "prefix":
      return `begins with ${JSON.stringify(test.text)}${test.fold ? " in any case" : ""}`
    case "suffix":
      return `ends with ${JSON.stringify(test.text)}${test.fold ? " in any case" : ""}`
    case "fold":
      return `is ${JSON.stringify(test.text)} in any case`
    case "glob":
      return `matches ${JSON.stringify(describeGlob(test.glob))}`
    case "path":
      return `matches the path ${printPath(test.pattern)}`
    case "constant":
      return `is ${test.value}`
    case "range":
      return describeRange(test)
    case "order":
      return `${test.operator} ${JSON.stringify(test.text)}`
    case "instant":
      return `${test.operator} ${new Date(test.ms).toISOString()}`
    case "contains":
      return `contains ${JSON.stringify(test.value)}`
    case "cidr":
      return `is an address in ${test.text}`
    case "except":
      return `is there and none of: ${test.tests.map(describeTest).join(", ")}`
    case "present":
      return "is there"
    case "absent":
      return "is not there"
    case "cast":
      return `as ${test.to} ${describeTest(test.test)}`
  }
}

function describeGlob(glob: Glob): string {
  return glob.map((part) => (typeof part === "string" ? part : part.wild === "run" ? "*" : "?")).join("")
}

function describeRange({ low, lowOpen, high, highOpen }: RangeTest): string {
  if (low !== undefined && low === high) return `is ${low}`
  const from = low === undefined ? [] : [`${lowOpen ? ">" : ">="} ${low}`]
  const to = high === undefined ? [] : [`${highOpen ? "<" : "<="} ${high}`]
  return `is ${[...from, ...to].join(" and ")}`
}
