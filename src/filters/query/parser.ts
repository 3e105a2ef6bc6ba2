import { exactNumber } from "../../formats/decimal.ts"
import { type TextFault, TokenCursor } from "../cursor.ts"
import { parseInstant } from "../instant.ts"
import { parseSteps } from "../paths.ts"
import { isAttributeName } from "../reading.ts"
import { scan, type Token } from "../scanner.ts"
import { toBoolean, toNumber, toText } from "../sql/values.ts"
import type { Comparison, Field, Node, Test } from "../tree.ts"
import { type CastType, type Constant, castNames, containsTest, equalTest, orderTest } from "./constants.ts"

export interface ParsedQuery {
  /** Meaningful only where there are no faults. */
  readonly node: Node
  readonly faults: readonly TextFault[]
  /** Clauses of the query. */
  readonly nodes: number
}

const depthMax = 32

const marks = [
  "::",
  "==",
  "!=",
  "<>",
  ">=",
  "<=",
  "&&",
  "||",
  "(",
  ")",
  "[",
  "]",
  ",",
  ".",
  "=",
  "<",
  ">",
  "!",
  "-",
  "+",
] as const

/** Words that name no field, in any case. */
export const queryKeywords = ["and", "or", "not", "in", "contains", "exists", "true", "false", "null"] as const
const keywordSet: ReadonlySet<string> = new Set(queryKeywords)

type Operator = "==" | "!=" | Comparison

/** One side of a comparison. */
type Operand =
  | { readonly kind: "field"; readonly field: Field; readonly cast: CastType | undefined; readonly token: Token }
  | { readonly kind: "constant"; readonly constant: Constant; readonly token: Token }

/** Parses a query. Never throws; goes on after a fault to find the next one. */
export function parseQuery(text: string): ParsedQuery {
  return new QueryParser(text).parse()
}

class QueryParser {
  readonly #cursor: TokenCursor
  #nodes = 0

  constructor(text: string) {
    this.#cursor = new TokenCursor(scan(text, marks), depthMax)
  }

  parse(): ParsedQuery {
    const cursor = this.#cursor
    let node = this.#or()
    while (!cursor.ended) {
      cursor.fail("and, or, or the end")
      this.#recover()
      if (cursor.ended) break
      cursor.take()
      node = this.#or()
    }
    return { node, faults: cursor.faults, nodes: this.#nodes }
  }

  #or(): Node {
    return this.#chain("any", ["or", "||"], () => this.#chain("all", ["and", "&&"], () => this.#unary()))
  }

  /** Parts joined by one operator; a single part is itself. */
  #chain(kind: "all" | "any", names: readonly string[], part: () => Node): Node {
    const parts = [part()]
    while (names.includes(this.#cursor.peek().text.toLowerCase()) && isOperatorToken(this.#cursor.peek())) {
      this.#cursor.take()
      parts.push(part())
    }
    return parts.length === 1 ? parts[0]! : { kind, of: parts }
  }

  #unary(): Node {
    return this.#cursor.nested(() => this.#unaryHere()) ?? broken
  }

  #unaryHere(): Node {
    const cursor = this.#cursor
    if (this.#takeWord("not") || cursor.takeMark("!")) {
      this.#nodes++
      return { kind: "not", of: this.#unary() }
    }
    if (cursor.takeMark("(")) {
      const inner = this.#or()
      if (!cursor.takeMark(")")) {
        cursor.fail("and, or, or )")
        cursor.skip((token) => token.kind === "mark" && token.text === ")")
        cursor.takeMark(")")
      }
      return inner
    }
    this.#nodes++
    return this.#clause() ?? this.#broken()
  }

  /** A broken clause: goes to where the next one may begin. */
  #broken(): Node {
    this.#recover()
    return broken
  }

  #recover(): void {
    this.#cursor.skip((token) => {
      const text = token.text.toLowerCase()
      return (
        isOperatorToken(token) && (text === "and" || text === "or" || text === "&&" || text === "||" || text === ")")
      )
    })
  }

  #takeWord(word: string): boolean {
    const token = this.#cursor.peek()
    if (token.kind !== "word" || token.text.toLowerCase() !== word) return false
    this.#cursor.take()
    return true
  }

  /** One comparison; undefined, once told as a fault, where there is none. */
  #clause(): Node | undefined {
    if (this.#takeWord("exists")) {
      const field = this.#field()
      return field && { kind: "test", field, test: { is: "present" } }
    }
    const left = this.#operand()
    if (left === undefined) return undefined
    const at = this.#cursor.peek()
    const negated = this.#takeWord("not")
    if (this.#takeWord("in")) return this.#in(left, negated)
    if (this.#takeWord("contains")) return this.#contains(left, negated)
    if (negated) return this.#fail("in or contains")
    const operator = operatorOf(at)
    if (operator === undefined) return this.#alone(left)
    this.#cursor.take()
    const right = this.#operand(left.kind === "field")
    return right && this.#comparison(left, operator, right)
  }

  #fail(expected: string, message?: string, token?: Token): undefined {
    this.#cursor.fail(expected, message, token)
    return undefined
  }

  /** A field by itself is asked for `true`. */
  #alone(left: Operand): Node | undefined {
    if (left.kind === "constant") return this.#fail("a comparison: ==, !=, <, <=, >, >=, in or contains")
    return testOf(left, { is: "constant", value: true })
  }

  #comparison(left: Operand, operator: Operator, right: Operand): Node | undefined {
    if (left.kind === right.kind) {
      const expected = left.kind === "field" ? "a value" : "a field on one side"
      const two = power.test(left.token.text) ? "; begin with the field" : "; two fields are compared in sql"
      const hint = left.kind === "field" ? two : ""
      return this.#fail(expected, `compare a field with a value${hint}`, right.token)
    }
    if (left.kind === "constant") return this.#comparison(right, turned[operator], left)
    const constant = this.#constantFor(left, right)
    if (constant === undefined) return undefined
    if (operator === "==") return testOf(left, equalTest(constant))
    if (operator === "!=") return testOf(left, { is: "except", tests: [equalTest(constant)] })
    const test = orderTest(operator, constant)
    if (test === undefined) return this.#fail("a number, a text or a ::DATETIME", "has no order", right.token)
    return testOf(left, test)
  }

  /** The constant in the type that the field was cast to. */
  #constantFor(left: Operand, right: Operand): Constant | undefined {
    if (right.kind !== "constant") return this.#fail("a value", undefined, right.token)
    if (left.kind !== "field" || left.cast === undefined) return right.constant
    return this.#cast(right.constant, left.cast, right.token)
  }

  #cast(constant: Constant, type: CastType, token: Token): Constant | undefined {
    if (constant.type === type) return constant
    const cast = castConstant(constant, type)
    return cast ?? this.#fail(type, `${token.text} is no ${type}`, token)
  }

  #in(left: Operand, negated: boolean): Node | undefined {
    if (!this.#cursor.expectMark("[")) return undefined
    const tests: Test[] = []
    do {
      const operand = this.#operand(true)
      const constant = operand && this.#constantFor(left, operand)
      if (constant === undefined) return undefined
      this.#nodes++
      tests.push(equalTest(constant))
    } while (this.#cursor.takeMark(","))
    if (!this.#cursor.takeMark("]")) return this.#fail(", or ]")
    if (left.kind === "constant") return this.#fail("a field before in", undefined, left.token)
    if (negated) return testOf(left, { is: "except", tests })
    return tests.length === 1 ? testOf(left, tests[0]!) : { kind: "any", of: tests.map((test) => testOf(left, test)) }
  }

  #contains(left: Operand, negated: boolean): Node | undefined {
    const right = this.#operand(true)
    if (right === undefined) return undefined
    if (left.kind === "constant") return this.#fail("a field before contains", undefined, left.token)
    if (right.kind === "field") return this.#fail("a value", undefined, right.token)
    const test = containsTest(right.constant)
    if (test === undefined) return this.#fail("a text, a number, a boolean or null", undefined, right.token)
    return testOf(left, negated ? { is: "except", tests: [test] } : test)
  }

  /** With `asValue` no field stands here: `1e400`, which could be the name of one, is a number. */
  #operand(asValue = false): Operand | undefined {
    const token = this.#cursor.peek()
    const word = token.kind === "word" ? token.text.toLowerCase() : undefined
    if (word !== undefined && !keywordSet.has(word) && !(asValue && this.#numberAt(0) !== undefined)) {
      const field = this.#field()
      if (field === undefined) return undefined
      const cast = this.#castName()
      return cast === "none" ? undefined : { kind: "field", field, cast, token }
    }
    const constant = this.#constant(token, word)
    if (constant === undefined) return undefined
    const type = this.#castName()
    if (type === "none") return undefined
    const cast = type === undefined ? constant : this.#cast(constant, type, token)
    return cast && { kind: "constant", constant: cast, token }
  }

  #constant(token: Token, word: string | undefined): Constant | undefined {
    const cursor = this.#cursor
    if (word === "true" || word === "false") return cursor.take() && { type: "boolean", value: word === "true" }
    if (word === "null") return cursor.take() && { type: "null", value: null }
    if (token.kind === "string") return cursor.take() && { type: "text", value: token.text }
    const from = cursor.isMark("-") || cursor.isMark("+") ? 1 : 0
    const number = this.#numberAt(from)
    if (number === undefined) return this.#fail("a field or a value")
    for (let left = from + number.tokens; left > 0; left--) cursor.take()
    const value = exactNumber(token.text === "-" ? `-${number.text}` : number.text)
    return { type: "number", value: typeof value === "number" ? value + 0 : value }
  }

  /** The number without a sign that is so many tokens ahead, and how many it is: where an exponent has a sign, three. */
  #numberAt(ahead: number): { readonly text: string; readonly tokens: number } | undefined {
    const token = this.#cursor.peek(ahead)
    const { kind, text } = token
    if (kind === "integer" || kind === "decimal") return { text, tokens: 1 }
    if (kind !== "word" || !power.test(text)) return undefined
    if (!/e$/i.test(text)) return { text, tokens: 1 }
    const [sign, digits] = [this.#cursor.peek(ahead + 1), this.#cursor.peek(ahead + 2)]
    const isSigned = (sign.text === "-" || sign.text === "+") && digits.kind === "integer"
    const isOne = sign.at === token.end && digits.at === sign.end
    return isSigned && isOne ? { text: text + sign.text + digits.text, tokens: 3 } : undefined
  }

  /** The type after `::`; undefined where there is no `::`, "none" where it is no type. */
  #castName(): CastType | "none" | undefined {
    if (!this.#cursor.takeMark("::")) return undefined
    const token = this.#cursor.peek()
    const type = token.kind === "word" ? castNames.get(token.text.toUpperCase()) : undefined
    if (type === undefined) {
      this.#cursor.fail([...castNames.keys()].join(", "))
      return "none"
    }
    this.#cursor.take()
    return type
  }

  /** An attribute, or a place in data: what follows `data`, and any name that no attribute can have. */
  #field(): Field | undefined {
    const token = this.#cursor.peek()
    if (token.kind !== "word" || keywordSet.has(token.text.toLowerCase())) return this.#fail("a field")
    this.#cursor.take()
    const deeper = this.#cursor.isMark(".") || this.#cursor.isMark("[")
    if (!deeper && isAttributeName(token.text)) return { from: "attribute", name: token.text }
    const steps = deeper ? parseSteps(this.#cursor) : []
    const path = token.text === "data" ? steps : [token.text, ...steps]
    return { from: "data", path, each: false }
  }
}

/** A number with an exponent and without a point, up to the sign of the exponent where it has one: a word. */
const power = /^[0-9]+e[0-9]*$/i

const broken: Node = { kind: "any", of: [] }

const turned: Readonly<Record<Operator, Operator>> = {
  "==": "==",
  "!=": "!=",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
}

function operatorOf(token: Token): Operator | undefined {
  if (token.kind !== "mark") return undefined
  if (token.text === "=" || token.text === "==") return "=="
  if (token.text === "<>" || token.text === "!=") return "!="
  return Object.hasOwn(turned, token.text) ? (token.text as Operator) : undefined
}

function isOperatorToken(token: Token): boolean {
  return token.kind === "word" || token.kind === "mark"
}

function testOf(operand: Operand & { readonly kind: "field" }, test: Test): Node {
  const { field, cast } = operand
  if (field.from === "attribute") return { kind: "test", field, test: castTest(cast, absentNull(test)) }
  return { kind: "test", field, test: castTest(cast, test) }
}

function castTest(cast: CastType | undefined, test: Test): Test {
  return cast === undefined || cast === "datetime" ? test : { is: "cast", to: cast, test }
}

/** An attribute that is null is one that is not there. */
function absentNull(test: Test): Test {
  if (test.is === "except") return { is: "except", tests: test.tests.map(absentNull) }
  return test.is === "constant" && test.value === null ? { is: "absent" } : test
}

function castConstant({ value }: Constant, type: CastType): Constant | undefined {
  switch (type) {
    case "number": {
      const number = toNumber(value)
      return number === undefined ? undefined : { type, value: number }
    }
    case "text": {
      const text = toText(value)
      return text === undefined ? undefined : { type, value: text }
    }
    case "boolean": {
      const boolean = toBoolean(value)
      return boolean === undefined ? undefined : { type, value: boolean }
    }
    case "datetime": {
      const instant = typeof value === "string" ? parseInstant(value) : undefined
      return instant === undefined ? undefined : { type, value: instant, text: String(value) }
    }
  }
}
