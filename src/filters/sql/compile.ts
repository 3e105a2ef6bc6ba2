import { isNumeric, isSame, type Numeric } from "../../formats/decimal.ts"
import { compileGlob } from "../glob.ts"
import { onLong } from "../tests.ts"
import { compilePath, type EventView, type Json } from "../view.ts"
import { arithmetic, compareNumbers } from "./arithmetic.ts"
import { castElement } from "./evaluate.ts"
import {
  type Binary,
  type Call,
  type ComparisonOperator,
  type Expression,
  type InExpression,
  isArithmetic,
  isLogic,
  isWide,
  type Unary,
} from "./expression.ts"
import { callFunction, FunctionFailure, findFunction, typeOf } from "./functions.ts"
import { likeGlob } from "./like.ts"
import { equalByRight, toBoolean, toInteger, toNumber, toText } from "./values.ts"

/** Answers a value, or undefined as soon as anything is wrong: as a filter, an expression with an error does not pass. */
type Compiled<T extends Json = Json> = (view: EventView) => T | undefined

/** An expression as a filter: true where it evaluates to true without an error, the same as evaluateSql says. */
export function compileSql(expression: Expression): (view: EventView) => boolean {
  const compiled = typeOf(expression) === "boolean" ? compileBoolean(expression) : compile(expression)
  return (view) => compiled(view) === true
}

function compile(expression: Expression): Compiled {
  switch (expression.kind) {
    case "literal": {
      const { value } = expression
      return () => value
    }
    case "attribute": {
      const { name } = expression
      return (view) => view.attribute(name)
    }
    case "data": {
      const read = compilePath(expression.path)
      return (view) => read(view.data())
    }
    case "negate":
      return compileNegate(expression)
    case "binary":
      return isArithmetic(expression.operator) ? compileArithmetic(expression) : compileBoolean(expression)
    case "call":
      return compileCall(expression)
    default:
      return compileBoolean(expression)
  }
}

/** An expression cast to Boolean. */
function compileBoolean(expression: Expression): Compiled<boolean> {
  switch (expression.kind) {
    case "literal": {
      const value = toBoolean(expression.value)
      return () => value
    }
    case "not": {
      const of = compileBoolean(expression.of)
      return (view) => {
        const value = of(view)
        return value === undefined ? undefined : !value
      }
    }
    case "binary":
      if (isLogic(expression.operator)) return compileLogic(expression)
      if (isArithmetic(expression.operator)) break
      return compileComparison(expression)
    case "like": {
      const of = compileText(expression.of)
      const matches = onLong(compileGlob(likeGlob(expression.pattern)))
      const { negated } = expression
      return (view) => {
        const text = of(view)
        return text === undefined ? undefined : matches(text, view) !== negated
      }
    }
    case "in":
      return compileIn(expression)
    case "exists": {
      if (expression.of.kind === "attribute" && required.has(expression.of.name)) return () => true
      const read = compile(expression.of)
      return (view) => read(view) !== undefined
    }
    case "isNull": {
      const of = compile(expression.of)
      const { negated } = expression
      return (view) => {
        const value = of(view)
        return value === undefined ? undefined : (value === null) !== negated
      }
    }
  }
  const of = compile(expression)
  return (view) => {
    const value = of(view)
    return value === undefined || typeof value === "boolean" ? value : toBoolean(value)
  }
}

const required: ReadonlySet<string> = new Set(["id", "source", "specversion", "type"])

function compileLogic({ operator, left, right }: Binary): Compiled<boolean> {
  const x = compileBoolean(left)
  const y = compileBoolean(right)
  if (operator === "AND") {
    return (view) => {
      const value = x(view)
      return value === true ? y(view) : value
    }
  }
  if (operator === "OR") {
    return (view) => {
      const value = x(view)
      return value === false ? y(view) : value
    }
  }
  return (view) => {
    const first = x(view)
    if (first === undefined) return undefined
    const second = y(view)
    return second === undefined ? undefined : first !== second
  }
}

function compileText(expression: Expression): Compiled<string> {
  if (expression.kind === "attribute") {
    const { name } = expression
    return (view) => view.text(name)
  }
  const of = compile(expression)
  return (view) => {
    const value = of(view)
    return value === undefined || typeof value === "string" ? value : toText(value)
  }
}

function compileNumber(expression: Expression, wide: boolean): Compiled<Numeric> {
  const of = compile(expression)
  if (wide) {
    return (view) => {
      const value = of(view)
      return value === undefined || typeof value === "number" ? value : toNumber(value)
    }
  }
  return (view) => {
    const value = of(view)
    return value === undefined ? undefined : toInteger(value)
  }
}

function compileComparison(expression: Binary): Compiled<boolean> {
  const { left, right } = expression
  const operator = expression.operator as ComparisonOperator
  const wide = isWide(typeOf(left)) || isWide(typeOf(right))
  if (operator === "=" || operator === "!=") return compileEquality(left, right, operator === "=", wide)
  const x = compileNumber(left, wide)
  const y = compileNumber(right, wide)
  return (view) => {
    const a = x(view)
    if (a === undefined) return undefined
    const b = y(view)
    return b === undefined ? undefined : compareNumbers(operator, a, b)
  }
}

/** Where the right side is a literal, its type is known now. */
function compileEquality(left: Expression, right: Expression, wanted: boolean, wide: boolean): Compiled<boolean> {
  if (right.kind === "literal" && right.value !== null && left.kind !== "data") {
    return compileEqualLiteral(left, right.value, wanted, wide)
  }
  const x = compile(left)
  const y = compile(right)
  return (view) => {
    const a = x(view)
    if (a === undefined) return undefined
    const b = y(view)
    if (b === undefined) return undefined
    const equal = equalByRight(a, b, wide)
    return equal === undefined ? undefined : equal === wanted
  }
}

function compileEqualLiteral(
  left: Expression,
  value: string | Numeric | boolean,
  wanted: boolean,
  wide: boolean,
): Compiled<boolean> {
  const x: Compiled =
    typeof value === "string" ? compileText(left) : isNumeric(value) ? compileNumber(left, wide) : compileBoolean(left)
  return (view) => {
    const a = x(view)
    return a === undefined ? undefined : isSame(a, value) === wanted
  }
}

function compileIn(expression: InExpression): Compiled<boolean> {
  const { negated } = expression
  const of = compile(expression.of)
  const ofWide = isWide(typeOf(expression.of))
  const texts = literalTexts(expression.elements)
  const elements = expression.elements.map((element) => ({
    read: compile(element),
    wide: ofWide || isWide(typeOf(element)),
  }))
  return (view) => {
    const value = of(view)
    if (value === undefined) return undefined
    if (texts !== undefined && typeof value === "string") return texts.has(value) !== negated
    for (const { read, wide } of elements) {
      const element = read(view)
      if (element === undefined) return undefined
      const cast = castElement(element, value, wide)
      if (cast === undefined) return undefined
      if (isSame(cast, value)) return !negated
    }
    return negated
  }
}

/** The elements' canonical texts where all are literals: a text is looked up among them at once. */
function literalTexts(elements: readonly Expression[]): ReadonlySet<string> | undefined {
  const texts = elements.map((element) =>
    element.kind === "literal" && element.value !== null ? String(element.value) : undefined,
  )
  return texts.includes(undefined) ? undefined : new Set(texts as string[])
}

function compileNegate({ of }: Unary): Compiled<Numeric> {
  const wide = isWide(typeOf(of))
  const value = compileNumber(of, wide)
  return (view) => {
    const number = value(view)
    return number === undefined ? undefined : calculate("-", 0, number, wide)
  }
}

function compileArithmetic(expression: Binary): Compiled<Numeric> {
  const operator = expression.operator as Parameters<typeof arithmetic>[0]
  const wide = isWide(typeOf(expression))
  const x = compileNumber(expression.left, wide)
  const y = compileNumber(expression.right, wide)
  return (view) => {
    const a = x(view)
    if (a === undefined) return undefined
    const b = y(view)
    return b === undefined ? undefined : calculate(operator, a, b, wide)
  }
}

function calculate(
  operator: Parameters<typeof arithmetic>[0],
  x: Numeric,
  y: Numeric,
  wide: boolean,
): Numeric | undefined {
  const { value, problem } = arithmetic(operator, x, y, wide)
  return problem === undefined ? value : undefined
}

function compileCall(call: Call): Compiled {
  const found = findFunction(call)
  if (found === undefined) return () => undefined
  const values = call.arguments.map((argument, index): Compiled => {
    const type = found.parameters[index] ?? found.rest!
    if (type === "string") return compileText(argument)
    if (type === "boolean") return compileBoolean(argument)
    return compileNumber(argument, type === "number" && isWide(typeOf(argument)))
  })
  return (view) => {
    const read: Json[] = []
    for (const value of values) {
      const argument = value(view)
      if (argument === undefined) return undefined
      read.push(argument)
    }
    const result = callFunction(call, found, read, view)
    return result instanceof FunctionFailure ? undefined : result
  }
}
