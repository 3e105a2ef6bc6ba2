import { compareNumeric, type Numeric, negated } from "../../formats/decimal.ts"
import type { Json } from "../view.ts"
import { longMin, type Work } from "../work.ts"
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
    evaluate: (...texts: string[]) => join("CONCAT", texts, ""),
  },
  {
    name: "CONCAT_WS",
    parameters: ["string"],
    rest: "string",
    returns: "string",
    signature: "CONCAT_WS(delimiter, x, …)",
    description: "The texts one after another, with the delimiter between them.",
    evaluate: (delimiter: string, ...texts: string[]) => join("CONCAT_WS", texts, delimiter),
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
      return n >= x.length ? x : x.slice(0, offsetOf(x, n))
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
      return x.slice(offsetOf(x, Math.max(0, lengthOf(x) - n)))
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
    evaluate(x: Numeric) {
      if (x === integerMin) return new FunctionFailure(integerMax, "math", `ABS(${integerMin}) has no integer`)
      return compareNumeric(x, 0) < 0 ? negated(x) : x
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

/** What a function makes of its arguments; in turns where their texts are long. */
export function callFunction(
  call: Call,
  { evaluate }: SqlFunction,
  values: readonly Json[],
  work: Work,
): FunctionResult {
  const characters = values.reduce<number>((sum, value) => sum + (typeof value === "string" ? value.length : 0), 0)
  if (characters < longMin) return evaluate(...(values as never[]))
  // The arguments of a call follow from the event, so that it has one result.
  return work.once(call, "", characters, () => evaluate(...(values as never[])))
}

/** Characters are code points; a text without surrogates has one for each code unit. */
function lengthOf(x: string): number {
  if (!surrogate.test(x)) return x.length
  let length = 0
  for (let at = 0; at < x.length; at += x.codePointAt(at)! > 0xffff ? 2 : 1) length++
  return length
}

/** Where the text goes on after its first `characters`; its end where it has no more. */
function offsetOf(x: string, characters: number): number {
  if (!surrogate.test(x)) return Math.min(characters, x.length)
  let at = 0
  for (let left = characters; left > 0 && at < x.length; left--) at += x.codePointAt(at)! > 0xffff ? 2 : 1
  return at
}

function substring(x: string, position: number, length: number): FunctionResult {
  const all = lengthOf(x)
  if (position > all || position < -all) {
    return new FunctionFailure("", "functionEvaluation", `SUBSTRING has no position ${position} in ${all} characters`)
  }
  if (length < 0) return new FunctionFailure("", "functionEvaluation", `SUBSTRING cannot take ${length} characters`)
  if (position === 0) return ""
  const from = position > 0 ? position - 1 : all + position
  return x.slice(offsetOf(x, from), offsetOf(x, from + length))
}

/** Characters that joined texts may have: as many as the largest event of the usual limit has bytes. */
const joinedMax = 2 ** 20

/** The texts in a row; their length is known before they are joined. */
function join(name: string, texts: readonly string[], delimiter: string): FunctionResult {
  const length = texts.reduce((sum, text) => sum + text.length, delimiter.length * Math.max(0, texts.length - 1))
  if (length <= joinedMax) return texts.join(delimiter)
  return new FunctionFailure("", "functionEvaluation", `${name} makes more than ${joinedMax} characters`)
}

/** Not String.trim, which also removes U+FEFF and keeps U+0085. */
function trim(x: string): string {
  let from = 0
  let to = x.length
  while (from < to && whiteSpace.test(x[from]!)) from++
  while (to > from && whiteSpace.test(x[to - 1]!)) to--
  return x.slice(from, to)
}
