import type { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { compileNode, treeOf } from "./compile.ts"
import { describeNode } from "./describe.ts"
import { evaluateSql, type SqlError } from "./sql/evaluate.ts"
import type { Expression } from "./sql/expression.ts"
import { printSql } from "./sql/print.ts"
import type { Field, Node, SqlNode } from "./tree.ts"
import { EventView, type Json, memberOf } from "./view.ts"

/** Why an event passes filters, or why not. */
export interface Explanation {
  readonly pass: boolean
  /** The clause that decided it, in a sentence. */
  readonly sentence: string
  readonly tree: Clause
}

/** One clause of the filters and what it came to. */
export interface Clause {
  /** In words, or as SQL. */
  readonly clause: string
  /** What it yields; absent where it was not evaluated. */
  readonly value?: Json
  /** What the event has where the clause looks; absent where it has nothing there, or the clause looks nowhere. */
  readonly actual?: Json
  /** What went wrong in it, of SQL. */
  readonly error?: string
  readonly of?: readonly Clause[]
  /** The clause that decided the whole. */
  readonly decided?: true
}

/** Explains filters that have passed parseFilters; throws where they have not. */
export function explainFilters(filters: readonly Filter[], event: Event): Explanation {
  return explainNode(treeOf(filters), new EventView(event))
}

function explainNode(node: Node, view: EventView): Explanation {
  const pass = compileNode(node)(view)
  const tree = clauseOf(node, view)
  const path = decidingPath(tree)
  const decider = path.at(-1)!
  return { pass, sentence: sentenceOf(pass, decider), tree: marked(tree, path) }
}

function clauseOf(node: Node, view: EventView): Clause {
  if (node.kind === "sql") return sqlClause(node, view)
  const clause = describeNode(node)
  const value = compileNode(node)(view)
  if (node.kind === "all" || node.kind === "any") {
    return { clause, value, of: node.of.map((part) => clauseOf(part, view)) }
  }
  if (node.kind === "not") return { clause, value, of: [clauseOf(node.of, view)] }
  const actual = actualOf(node.kind === "test" ? node.field : { from: "data", path: node.path, each: true }, view)
  return actual === undefined ? { clause, value } : { clause, value, actual }
}

function actualOf(field: Field, view: EventView): Json | undefined {
  return field.from === "attribute"
    ? view.attribute(field.name)
    : field.path.reduce<Json | undefined>(memberOf, view.data())
}

function sqlClause({ expression }: SqlNode, view: EventView): Clause {
  const values = new Map<Expression, Json>()
  const { errors } = evaluateSql(expression, view, (each, value) => values.set(each, value))
  return expressionClause(expression, values, errors)
}

function expressionClause(
  expression: Expression,
  values: ReadonlyMap<Expression, Json>,
  errors: readonly SqlError[],
): Clause {
  const value = values.get(expression)
  const parts = partsOf(expression).filter((part) => part.kind !== "literal")
  const error = errors.find(({ at }) => at === expression.at)
  return {
    clause: printSql(expression),
    ...(value === undefined ? {} : { value }),
    ...(error === undefined ? {} : { error: error.message }),
    ...(parts.length === 0 ? {} : { of: parts.map((part) => expressionClause(part, values, errors)) }),
  }
}

function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "not":
    case "negate":
    case "like":
    case "isNull":
      return [expression.of]
    case "binary":
      return [expression.left, expression.right]
    case "in":
      return [expression.of, ...expression.elements]
    case "call":
      return expression.arguments
    default:
      return []
  }
}

/**
 * From the whole down to the clause that decided it: as long as exactly one part gives a clause its value, that part did.
 * An error decides before any value.
 */
function decidingPath(clause: Clause): readonly Clause[] {
  const parts = clause.of ?? []
  const failed = parts.find(hasError)
  if (failed !== undefined) return [clause, ...decidingPath(failed)]
  const boolean = parts.filter(({ value }) => typeof value === "boolean")
  if (
    typeof clause.value !== "boolean" ||
    clause.error !== undefined ||
    boolean.length !== parts.length - unasked(parts)
  ) {
    return [clause]
  }
  const same = boolean.filter(({ value }) => value === clause.value)
  const decides = parts.length === 1 ? boolean[0] : same.length === 1 || clause.value === false ? same[0] : undefined
  if (decides === undefined || (same.length > 1 && !/^all of| AND /.test(clause.clause))) return [clause]
  return [clause, ...decidingPath(decides)]
}

function unasked(parts: readonly Clause[]): number {
  return parts.filter(({ value }) => value === undefined).length
}

function hasError(clause: Clause): boolean {
  return clause.error !== undefined || (clause.of ?? []).some(hasError)
}

function marked(clause: Clause, path: readonly Clause[]): Clause {
  if (clause === path.at(-1)) return { ...clause, decided: true }
  if (!path.includes(clause) || clause.of === undefined) return clause
  return { ...clause, of: clause.of.map((part) => marked(part, path)) }
}

function sentenceOf(pass: boolean, { clause, value, actual, error, of }: Clause): string {
  const verdict = pass ? "The event passes" : "The event does not pass"
  if (error !== undefined) return `${verdict}: in ${clause}, ${error}.`
  if (of === undefined && actual !== undefined) {
    return `${verdict}: ${clause} is ${value}, for it is ${shorten(JSON.stringify(actual))}.`
  }
  const reads = (of ?? []).filter((part) => part.of === undefined && part.value !== undefined)
  if (typeof value === "boolean" && reads.length > 0 && !/^(not|any|all)\b/.test(clause)) {
    const has = reads.map((part) => `${part.clause} is ${shorten(JSON.stringify(part.value))}`).join(" and ")
    return `${verdict}: ${clause} is ${value}, for ${has}.`
  }
  if (typeof value === "boolean") return `${verdict}: ${clause}: ${value}.`
  return `${verdict}: ${clause} is ${shorten(JSON.stringify(value))}, which is not true.`
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
