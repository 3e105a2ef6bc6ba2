import type { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { type Actual, compileActual } from "./actual.ts"
import { compileNode, treeOf } from "./compile.ts"
import { decidingPath, sentenceOf, shownClause, type Told } from "./deciding.ts"
import { describeNode } from "./describe.ts"
import { evaluateSql, type SqlError, type SqlErrorKind } from "./sql/evaluate.ts"
import type { Expression } from "./sql/expression.ts"
import { printSql } from "./sql/print.ts"
import type { Node } from "./tree.ts"
import { EventView, type Json } from "./view.ts"

/** Why an event passes filters, or why not. */
export interface Explanation {
  readonly pass: boolean
  /** The clause that decided it, in a sentence. */
  readonly sentence: string
  /** That clause, in words or as SQL. */
  readonly clause: string
  readonly tree: Clause
  /** Everything that went wrong, of SQL; an error decides before any value. */
  readonly errors: readonly ClauseError[]
}

/** What went wrong in one clause. */
export interface ClauseError {
  readonly kind: SqlErrorKind
  readonly clause: string
  readonly message: string
}

/** One clause of the filters and what it came to. */
export interface Clause extends Actual {
  /** In words, or as SQL. */
  readonly clause: string
  /** What it yields; absent where it was not evaluated. */
  readonly value?: Json
  /** What went wrong in it, of SQL. */
  readonly error?: string
  readonly of?: readonly Clause[]
  /** The clause that decided the whole. */
  readonly decided?: true
}

/** Explains filters that have passed parseFilters; throws where they have not. */
export function explainFilters(filters: readonly Filter[], event: Event): Explanation {
  return compileExplainer(filters)(event)
}

/**
 * The same for many events: filters are compiled once. Throws where they have not passed parseFilters. `view` is the event's,
 * where it is to be explained in turns.
 */
export function compileExplainer(filters: readonly Filter[]): (event: Event, view?: EventView) => Explanation {
  const node = treeOf(filters)
  const passes = compileNode(node)
  const explain = compileClause(node)
  return (event, view = new EventView(event)) => {
    const pass = passes(view)
    const errors: ClauseError[] = []
    const told = explain(view, errors)
    const path = decidingPath(told)
    const decider = path.at(-1)!
    const tree = shownClause(told, path)
    return { pass, sentence: sentenceOf(pass, decider), clause: decider.clause.clause, tree, errors }
  }
}

type Explain = (view: EventView, errors: ClauseError[]) => Told

function compileClause(node: Node): Explain {
  if (node.kind === "sql") {
    const root = printed(node.expression)
    return (view, errors) => sqlClause(root, view, errors)
  }
  const clause = describeNode(node)
  const passes = compileNode(node)
  if (node.kind === "test" || node.kind === "object") {
    const actual = compileActual(node)
    return (view) => {
      const value = passes(view)
      return { clause: { clause, value, ...actual(view, value) }, parts: [] }
    }
  }
  const parts = (node.kind === "not" ? [node.of] : node.of).map(compileClause)
  return (view, errors) => {
    const told = parts.map((part) => part(view, errors))
    return { clause: { clause, value: passes(view) }, joins: node.kind, parts: told }
  }
}

/** An expression with its text, which is printed once, and the parts of it that are not literals. */
interface Printed {
  readonly expression: Expression
  readonly clause: string
  readonly parts: readonly Printed[]
}

function printed(expression: Expression): Printed {
  const parts = partsOf(expression).filter((part) => part.kind !== "literal")
  return { expression, clause: printSql(expression), parts: parts.map(printed) }
}

function sqlClause(root: Printed, view: EventView, errorsTold: ClauseError[]): Told {
  const values = new Map<Expression, Json>()
  const { errors } = evaluateSql(root.expression, view, (each, value) => values.set(each, value))
  const clauses = new Map<number, string>()
  const told = expressionClause(root, values, errors, clauses)
  for (const { kind, message, at } of errors) {
    errorsTold.push({ kind, clause: clauses.get(at) ?? root.clause, message })
  }
  return told
}

function expressionClause(
  { expression, clause, parts }: Printed,
  values: ReadonlyMap<Expression, Json>,
  errors: readonly SqlError[],
  clauses: Map<number, string>,
): Told {
  const value = values.get(expression)
  const error = errors.length === 0 ? undefined : errors.find(({ at }) => at === expression.at)
  if (error !== undefined) clauses.set(expression.at, clause)
  const joins = joinsOf(expression)
  return {
    clause: {
      clause,
      ...(value !== undefined && { value }),
      ...(error !== undefined && { error: error.message }),
    },
    ...(joins !== undefined && { joins }),
    parts: parts.map((part) => expressionClause(part, values, errors, clauses)),
  }
}

/** XOR is what it is by both sides. */
function joinsOf(expression: Expression): Told["joins"] {
  if (expression.kind === "not") return "not"
  if (expression.kind !== "binary") return undefined
  return expression.operator === "AND" ? "all" : expression.operator === "OR" ? "any" : undefined
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
