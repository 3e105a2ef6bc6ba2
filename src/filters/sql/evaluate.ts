import { isSame, type Numeric } from "../../formats/decimal.ts"
import { compileGlob } from "../glob.ts"
import { showValue } from "../shown.ts"
import { onLong } from "../tests.ts"
import { type EventView, formatPath, type Json, memberOf } from "../view.ts"
import { arithmetic, compareNumbers } from "./arithmetic.ts"
import {
  type ArithmeticOperator,
  type Binary,
  type Call,
  type Expression,
  type InExpression,
  isArithmetic,
  isLogic,
  isWide,
  type LikeExpression,
  type Unary,
} from "./expression.ts"
import { callFunction, FunctionFailure, findFunction, typeOf } from "./functions.ts"
import { likeGlob } from "./like.ts"
import { castLike, equalByRight, toBoolean, toInteger, toNumber, toText } from "./values.ts"

export type SqlErrorKind =
  | "parse"
  | "math"
  | "cast"
  | "missingFunction"
  | "functionEvaluation"
  | "missingAttribute"
  | "generic"

/** What went wrong while an expression was evaluated, and where in its text (an offset). */
export interface SqlError {
  readonly kind: SqlErrorKind
  readonly message: string
  readonly at: number
}

export interface SqlResult {
  readonly value: Json
  readonly errors: readonly SqlError[]
}

/** Is told every node's value, inner ones first. */
export type Observer = (expression: Expression, value: Json, failed: boolean) => void

/**
 * Evaluates an expression completely: a value and every error on the way. An operation with an error in an operand is
 * not computed and yields the zero value of its type. AND and OR evaluate their right side only where it can matter.
 */
export function evaluateSql(expression: Expression, view: EventView, observe?: Observer): SqlResult {
  const evaluation = new Evaluation(view, observe)
  return { value: evaluation.value(expression), errors: evaluation.errors }
}

class Evaluation {
  readonly errors: SqlError[] = []
  readonly #view: EventView
  readonly #observe: Observer | undefined

  constructor(view: EventView, observe: Observer | undefined) {
    this.#view = view
    this.#observe = observe
  }

  value(expression: Expression): Json {
    const before = this.errors.length
    const value = this.#compute(expression)
    this.#observe?.(expression, value, this.errors.length > before)
    return value
  }

  #compute(expression: Expression): Json {
    switch (expression.kind) {
      case "literal":
        return expression.value
      case "attribute":
      case "data": {
        const value = this.#read(expression)
        return value === undefined ? this.#missing(expression) : value
      }
      case "exists":
        return expression.of.kind === "data"
          ? this.#read(expression.of) !== undefined
          : required.has(expression.of.name) || this.#read(expression.of) !== undefined
      case "isNull":
        return this.#with([expression.of], false, ([value]) => (value === null) !== expression.negated)
      case "not":
      case "negate":
        return this.#unary(expression)
      case "binary":
        return this.#binary(expression)
      case "like":
        return this.#like(expression)
      case "in":
        return this.#in(expression)
      case "call":
        return this.#call(expression)
    }
  }

  #error(kind: SqlErrorKind, at: number, message: string): void {
    this.errors.push({ kind, message, at })
  }

  #read(expression: Extract<Expression, { kind: "attribute" | "data" }>): Json | undefined {
    if (expression.kind === "attribute") return this.#view.attribute(expression.name)
    return expression.path.reduce<Json | undefined>(memberOf, this.#view.data())
  }

  #missing(expression: Extract<Expression, { kind: "attribute" | "data" }>): boolean {
    const name = expression.kind === "attribute" ? expression.name : formatPath(expression.path)
    this.#error("missingAttribute", expression.at, `the event has no ${name}`)
    return false
  }

  /** Evaluates all operands, then computes; `zero` where any of them has an error. */
  #with(operands: readonly Expression[], zero: Json, compute: (values: readonly Json[]) => Json): Json {
    const before = this.errors.length
    const values = operands.map((operand) => this.value(operand))
    return this.errors.length > before ? zero : compute(values)
  }

  /** The cast value; `zero` and an error where there is none. */
  #cast<T extends Json>(cast: T | undefined, value: Json, type: string, at: number): T | undefined {
    if (cast === undefined) this.#error("cast", at, `${showValue(value)} is no ${type}`)
    return cast
  }

  #boolean(value: Json, at: number): boolean | undefined {
    return this.#cast(toBoolean(value), value, "boolean", at)
  }

  #number(value: Json, wide: boolean, at: number): Numeric | undefined {
    return wide ? this.#cast(toNumber(value), value, "number", at) : this.#cast(toInteger(value), value, "integer", at)
  }

  #unary(expression: Unary): Json {
    const { of, at } = expression
    if (expression.kind === "not") {
      return this.#with([of], false, ([value]) => {
        const boolean = this.#boolean(value!, of.at)
        return boolean === undefined ? false : !boolean
      })
    }
    const wide = isWide(typeOf(of))
    return this.#with([of], 0, ([value]) => {
      const number = this.#number(value!, wide, of.at)
      return number === undefined ? 0 : this.#arithmetic("-", 0, number, wide, at)
    })
  }

  #arithmetic(operator: ArithmeticOperator, x: Numeric, y: Numeric, wide: boolean, at: number): Numeric {
    const result = arithmetic(operator, x, y, wide)
    if (result.problem !== undefined) this.#error("math", at, result.problem)
    return result.value
  }

  #binary(expression: Binary): Json {
    const { operator, left, right, at } = expression
    if (isLogic(operator)) return this.#logic(expression)
    const wide = isWide(typeOf(left)) || isWide(typeOf(right))
    const zero = isArithmetic(operator) ? 0 : false
    return this.#with([left, right], zero, ([x, y]) => {
      if (operator === "=" || operator === "!=") {
        const equal = equalByRight(x!, y!, wide)
        if (equal === undefined) this.#error("cast", left.at, `${showValue(x!)} does not compare with ${showValue(y!)}`)
        return equal === undefined ? false : equal === (operator === "=")
      }
      const before = this.errors.length
      const a = this.#number(x!, wide, left.at)
      const b = this.#number(y!, wide, right.at)
      if (this.errors.length > before) return zero
      return isArithmetic(operator) ? this.#arithmetic(operator, a!, b!, wide, at) : compareNumbers(operator, a!, b!)
    })
  }

  #logic({ operator, left, right }: Binary): boolean {
    const before = this.errors.length
    const x = this.#boolean(this.value(left), left.at)
    if (operator !== "XOR") {
      if (this.errors.length > before || x === undefined) return false
      if (x === (operator === "OR")) return x
    }
    const y = this.#boolean(this.value(right), right.at)
    if (this.errors.length > before) return false
    return operator === "XOR" ? x !== y : y!
  }

  #like(expression: LikeExpression): Json {
    const { of, negated } = expression
    return this.#with([of], false, ([value]) => {
      const text = this.#cast(toText(value!), value!, "text", of.at)
      return text === undefined ? false : likeMatcher(expression)(text, this.#view) !== negated
    })
  }

  /** Elements are compared in order up to the first that is equal. */
  #in({ of, elements, negated }: InExpression): Json {
    return this.#with([of], false, ([value]) => {
      for (const element of elements) {
        const before = this.errors.length
        const candidate = this.value(element)
        if (this.errors.length > before) return false
        const wide = isWide(typeOf(of)) || isWide(typeOf(element))
        const cast = this.#cast(
          castElement(candidate, value!, wide),
          candidate,
          `value like ${showValue(value!)}`,
          element.at,
        )
        if (cast === undefined) return false
        if (isSame(cast, value)) return !negated
      }
      return negated
    })
  }

  #call(call: Call): Json {
    const found = findFunction(call)
    if (found === undefined) {
      const count = call.arguments.length
      this.#error("missingFunction", call.at, `there is no function ${call.name} of ${count} arguments`)
      return false
    }
    const zero = found.returns === "string" ? "" : found.returns === "integer" ? 0 : false
    return this.#with(call.arguments, zero, (values) => {
      const before = this.errors.length
      const cast = values.map((value, index) => {
        const argument = call.arguments[index]!
        const type = found.parameters[index] ?? found.rest!
        return this.#argument(value, type, argument)
      })
      if (this.errors.length > before) return zero
      const result = callFunction(call, found, cast as readonly Json[], this.#view)
      if (!(result instanceof FunctionFailure)) return result
      this.#error(result.kind, call.at, result.message)
      return result.value
    })
  }

  #argument(value: Json, type: string, argument: Expression): Json | undefined {
    switch (type) {
      case "string":
        return this.#cast(toText(value), value, "text", argument.at)
      case "boolean":
        return this.#boolean(value, argument.at)
      default:
        return this.#number(value, type === "number" && isWide(typeOf(argument)), argument.at)
    }
  }
}

/** Attributes that every event has. */
const required: ReadonlySet<string> = new Set(["id", "source", "specversion", "type"])

/** An element of a set in the type of the value that is looked for; null equals only null. */
export function castElement(element: Json, target: Json, wide: boolean): Json | undefined {
  if (element === null || target === null) return element
  return castLike(element, target, wide)
}

const matchers = new WeakMap<LikeExpression, ReturnType<typeof onLong>>()

/** Made once for each expression. */
function likeMatcher(like: LikeExpression): ReturnType<typeof onLong> {
  const known = matchers.get(like)
  if (known !== undefined) return known
  const made = onLong(compileGlob(likeGlob(like.pattern)))
  matchers.set(like, made)
  return made
}
