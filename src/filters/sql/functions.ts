import type { Json } from "../view.ts"
import { type Call, type Expression, isWide, type StaticType, staticType } from "./expression.ts"
import { integerMax, integerMin } from "./values.ts"

type ParameterType = "string" | "integer" | "boolean" | "number" | "any"

/** A function that does not fail says its value; one that does says a value and an error's kind too. */
export type FunctionResult = Json | FunctionFailure

export class FunctionFailure {
  readonly value: Json
  readonly kind: "math" | "functionEvaluation" | "cast"
  readonly message: string
  constructor(value: Json, kind: FunctionFailure["kind"], message: string) {
    this.value = value
    this.kind = kind
    this.message = message
  }
}

/** One overload of a function. Arguments come cast to the parameters' types. */
export interface SqlFunction {
  readonly name: string
  readonly parameters: readonly ParameterType[]
  /** The type of any further arguments; without it there are none. */
  readonly rest?: ParameterType
  readonly returns: "string" | "integer" | "boolean"
  readonly signature: string
  readonly description: string
  evaluate(...values: never[]): FunctionResult
}

const whiteSpace = /^\p{White_Space}$/u
const surrogate = /[\ud800-\udfff]/

export const functions: readonly SqlFunction[] = [
  {
    name: "LENGTH",
    parameters: ["string"],
    returns: "integer",
    signature: "LENGTH(x)",
    description: "The number of characters of x.",
    evaluate: (x: string) => lengthOf(x),
  },
  {
    name: "CONCAT",
    parameters: [],
    rest: "string",
    returns: "string",
    signature: "CONCAT(x, …)",
    description: "The texts one after another.",
    evaluate: (...texts: string[]) => texts.join(""),
  },
  {
    name: "CONCAT_WS",
    parameters: ["string"],
    rest: "string",
    returns: "string",
    signature: "CONCAT_WS(delimiter, x, …)",
    description: "The texts one after another, with the delimiter between them.",
    evaluate: (delimiter: string, ...texts: string[]) => texts.join(delimiter),
  },
  {
    name: "LOWER",
    parameters: ["string"],
    returns: "string",
    signature: "LOWER(x)",
    description: "x in lower case.",
    evaluate: (x: string) => x.toLowerCase(),
  },
  {
    name: "UPPER",
    parameters: ["string"],
    returns: "string",
    signature: "UPPER(x)",
    description: "x in upper case.",
    evaluate: (x: string) => x.toUpperCase(),
  },
  {
    name: "TRIM",
    parameters: ["string"],
    returns: "string",
    signature: "TRIM(x)",
    description: "x without white space at its ends.",
    evaluate: trim,
  },
  {
    name: "LEFT",
    parameters: ["string", "integer"],
    returns: "string",
    signature: "LEFT(x, n)",
    description: "The first n characters of x.",
    evaluate(x: string, n: number) {
      if (n < 0) return new FunctionFailure(x, "functionEvaluation", `LEFT cannot take ${n} characters`)
      return n >= x.length ? x : characters(x).slice(0, n).join("")
    },
  },
  {
    name: "RIGHT",
    parameters: ["string", "integer"],
    returns: "string",
    signature: "RIGHT(x, n)",
    description: "The last n characters of x.",
    evaluate(x: string, n: number) {
      if (n < 0) return new FunctionFailure(x, "functionEvaluation", `RIGHT cannot take ${n} characters`)
      if (n >= x.length) return x
      const all = characters(x)
      return all.slice(Math.max(0, all.length - n)).join("")
    },
  },
  {
    name: "SUBSTRING",
    parameters: ["string", "integer"],
    returns: "string",
    signature: "SUBSTRING(x, position)",
    description: "x from a position on, counted from 1, or from the end where it is negative.",
    evaluate: (x: string, position: number) => substring(x, position, Number.POSITIVE_INFINITY),
  },
  {
    name: "SUBSTRING",
    parameters: ["string", "integer", "integer"],
    returns: "string",
    signature: "SUBSTRING(x, position, length)",
    description: "At most length characters of x from a position on.",
    evaluate: substring,
  },
  {
    name: "ABS",
    parameters: ["number"],
    returns: "integer",
    signature: "ABS(x)",
    description: "x without its sign.",
    evaluate(x: number) {
      return x === integerMin
        ? new FunctionFailure(integerMax, "math", `ABS(${integerMin}) has no integer`)
        : Math.abs(x)
    },
  },
  {
    name: "INT",
    parameters: ["integer"],
    returns: "integer",
    signature: "INT(x)",
    description: "x as an integer.",
    evaluate: (x: number) => x,
  },
  {
    name: "BOOL",
    parameters: ["boolean"],
    returns: "boolean",
    signature: "BOOL(x)",
    description: "x as a boolean.",
    evaluate: (x: boolean) => x,
  },
  {
    name: "STRING",
    parameters: ["string"],
    returns: "string",
    signature: "STRING(x)",
    description: "x as a text.",
    evaluate: (x: string) => x,
  },
]

const byName: ReadonlyMap<string, readonly SqlFunction[]> = Map.groupBy(functions, ({ name }) => name)

/** The overload that a call means; undefined where there is none, by name or by number of arguments. */
export function findFunction(call: Pick<Call, "name" | "arguments">): SqlFunction | undefined {
  const count = call.arguments.length
  const overloads = byName.get(call.name)
  return (
    overloads?.find(({ parameters, rest }) => rest === undefined && parameters.length === count) ??
    overloads?.find(({ parameters, rest }) => rest !== undefined && parameters.length <= count)
  )
}

/** The type a call yields: of an unknown function a boolean, of one over numbers what its argument is. */
export function returnType(call: Call): StaticType {
  const found = findFunction(call)
  if (found?.parameters[0] === "number" && isWide(typeOf(call.arguments[0]!))) return "number"
  return found?.returns ?? "boolean"
}

/** What an expression can be known to yield. */
export function typeOf(expression: Expression): StaticType {
  return staticType(expression, returnType)
}

/** Characters are code points; a text without surrogates has one for each code unit. */
function characters(x: string): readonly string[] {
  return surrogate.test(x) ? [...x] : x.split("")
}

function lengthOf(x: string): number {
  return surrogate.test(x) ? [...x].length : x.length
}

function substring(x: string, position: number, length: number): FunctionResult {
  const all = characters(x)
  if (position > all.length || position < -all.length) {
    return new FunctionFailure(
      "",
      "functionEvaluation",
      `SUBSTRING has no position ${position} in ${all.length} characters`,
    )
  }
  if (length < 0) return new FunctionFailure("", "functionEvaluation", `SUBSTRING cannot take ${length} characters`)
  if (position === 0) return ""
  const from = position > 0 ? position - 1 : all.length + position
  return all.slice(from, from + length).join("")
}

/** Not String.trim, which also removes U+FEFF and keeps U+0085. */
function trim(x: string): string {
  let from = 0
  let to = x.length
  while (from < to && whiteSpace.test(x[from]!)) from++
  while (to > from && whiteSpace.test(x[to - 1]!)) to--
  return x.slice(from, to)
}
