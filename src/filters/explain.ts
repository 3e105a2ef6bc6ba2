import type { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { compileNode, treeOf } from "./compile.ts"
import { describeNode } from "./describe.ts"
import { showJson } from "./shown.ts"
import { evaluateSql, type SqlError, type SqlErrorKind } from "./sql/evaluate.ts"
import type { Expression } from "./sql/expression.ts"
import { printSql } from "./sql/print.ts"
import type { Field, Node } from "./tree.ts"
import { EventView, type Json, memberOf } from "./view.ts"

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
export interface Clause {
  /** In words, or as SQL. */
  readonly clause: string
  /** What it yields; absent where it was not evaluated. */
  readonly value?: Json
  /** What the event has where the clause looks; of SQL, that is the value of a part. */
  readonly actual?: Json
  /** The event has nothing where the clause looks. */
  readonly absent?: true
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
    const tree = explain(view, errors)
    const path = decidingPath(tree)
    const decider = path.at(-1)!
    return { pass, sentence: sentenceOf(pass, decider), clause: decider.clause, tree: marked(tree, path), errors }
  }
}

type Explain = (view: EventView, errors: ClauseError[]) => Clause

function compileClause(node: Node): Explain {
  if (node.kind === "sql") {
    const root = printed(node.expression)
    return (view, errors) => sqlClause(root, view, errors)
  }
  const clause = describeNode(node)
  const passes = compileNode(node)
  if (node.kind === "all" || node.kind === "any") {
    const parts = node.of.map(compileClause)
    return (view, errors) => ({ clause, value: passes(view), of: parts.map((part) => part(view, errors)) })
  }
  if (node.kind === "not") {
    const of = compileClause(node.of)
    return (view, errors) => ({ clause, value: passes(view), of: [of(view, errors)] })
  }
  const field: Field = node.kind === "test" ? node.field : { from: "data", path: node.path, each: true }
  return (view) => {
    const actual = actualOf(field, view)
    return { clause, value: passes(view), ...(actual === undefined ? { absent: true } : { actual }) }
  }
}

function actualOf(field: Field, view: EventView): Json | undefined {
  return field.from === "attribute"
    ? view.attribute(field.name)
    : field.path.reduce<Json | undefined>(memberOf, view.data())
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

function sqlClause(root: Printed, view: EventView, told: ClauseError[]): Clause {
  const values = new Map<Expression, Json>()
  const { errors } = evaluateSql(root.expression, view, (each, value) => values.set(each, value))
  const clauses = new Map<number, string>()
  const clause = expressionClause(root, values, errors, clauses)
  for (const { kind, message, at } of errors) told.push({ kind, clause: clauses.get(at) ?? clause.clause, message })
  return clause
}

function expressionClause(
  { expression, clause, parts }: Printed,
  values: ReadonlyMap<Expression, Json>,
  errors: readonly SqlError[],
  clauses: Map<number, string>,
): Clause {
  const value = values.get(expression)
  const error = errors.length === 0 ? undefined : errors.find(({ at }) => at === expression.at)
  if (error !== undefined) clauses.set(expression.at, clause)
  return {
    clause,
    ...(value === undefined ? {} : { value }),
    ...(error === undefined ? {} : { error: error.message }),
    ...(parts.length === 0 ? {} : { of: parts.map((part) => expressionClause(part, values, errors, clauses)) }),
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

function sentenceOf(pass: boolean, { clause, value, actual, absent, error, of }: Clause): string {
  const verdict = pass ? "The event passes" : "The event does not pass"
  if (error !== undefined) return `${verdict}: in ${clause}, ${error}.`
  if (of?.length === 0) return pass ? "The event passes: every event does." : `${verdict}: no event does.`
  if (absent) return `${verdict}: ${clause} is ${value}, for it is not there.`
  if (of === undefined && actual !== undefined) {
    return `${verdict}: ${clause} is ${value}, for it is ${showJson(actual, shownMax)}.`
  }
  const reads = (of ?? []).filter((part) => part.of === undefined && part.value !== undefined)
  if (typeof value === "boolean" && reads.length > 0 && !/^(not|any|all)\b/.test(clause)) {
    const has = reads.map((part) => `${part.clause} is ${showJson(part.value!, shownMax)}`).join(" and ")
    return `${verdict}: ${clause} is ${value}, for ${has}.`
  }
  if (typeof value === "boolean") return `${verdict}: ${clause}: ${value}.`
  return `${verdict}: ${clause} is ${showJson(value!, shownMax)}, which is not true.`
}

/** Characters of a value in a sentence. */
const shownMax = 80
