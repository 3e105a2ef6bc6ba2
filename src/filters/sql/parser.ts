import { exactNumber } from "../../formats/decimal.ts"
import { type TextFault, TokenCursor } from "../cursor.ts"
import { parseSteps } from "../paths.ts"
import { isAttributeName } from "../reading.ts"
import { scan, type Token } from "../scanner.ts"
import { type AttributeRead, type Binary, type DataRead, type Expression, isLogic, type Literal } from "./expression.ts"
import { likeFault } from "./like.ts"
import { isInteger32 } from "./values.ts"

export interface ParsedSql {
  /** Meaningful only where there are no faults. */
  readonly expression: Expression
  readonly faults: readonly TextFault[]
  /** What parses but may not mean what its writer thinks. */
  readonly warnings: readonly TextFault[]
  /** Nodes of the expression. */
  readonly nodes: number
}

/** Nested expressions; the parser and whoever walks the tree recurse this deep at most, chains of operators apart. */
const depthMax = 64

const marks = ["<>", "!=", ">=", "<=", "(", ")", ",", ".", "[", "]", "=", "<", ">", "+", "-", "*", "/", "%"] as const

/** Words that name no attribute. */
export const keywords = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"] as const
const keywordSet: ReadonlySet<string> = new Set(keywords)

/** How tightly infix operators bind; NOT and the unary minus bind tighter than all of them. */
const precedence: Readonly<Record<string, number>> = {
  LIKE: 7,
  IS: 7,
  IN: 6,
  "*": 5,
  "/": 5,
  "%": 5,
  "+": 4,
  "-": 4,
  "=": 3,
  "!=": 3,
  "<>": 3,
  "<": 3,
  "<=": 3,
  ">": 3,
  ">=": 3,
  AND: 2,
  OR: 2,
  XOR: 2,
}

/** Parses CloudEvents SQL 1.0 and its extension to data. Never throws; goes on after a fault to find the next one. */
export function parseSql(text: string): ParsedSql {
  return new SqlParser(text).parse()
}

class SqlParser {
  readonly #cursor: TokenCursor
  readonly #warnings: TextFault[] = []
  readonly #grouped = new Set<Expression>()
  #nodes = 0

  constructor(text: string) {
    this.#cursor = new TokenCursor(scan(text, marks), depthMax)
  }

  parse(): ParsedSql {
    const cursor = this.#cursor
    let expression = this.#expression(0)
    while (!cursor.ended) {
      cursor.fail("an operator or the end")
      cursor.skip((token) => isLogicWord(token))
      if (cursor.ended) break
      cursor.take()
      expression = this.#expression(0)
    }
    return { expression, faults: cursor.faults, warnings: this.#warnings, nodes: this.#nodes }
  }

  #node<T extends Expression>(node: T): T {
    this.#nodes++
    return node
  }

  /** An expression whose infix operators bind at least as tightly as `least`. */
  #expression(least: number): Expression {
    return this.#cursor.nested(() => this.#infix(this.#prefix(), least)) ?? broken
  }

  #infix(first: Expression, least: number): Expression {
    let left = first
    // Ends: with the tokens: each turn takes one.
    for (;;) {
      const token = this.#cursor.peek()
      const negated = isWord(token, "NOT")
      const operator = operatorOf(negated ? this.#cursor.peek(1) : token)
      if (operator === undefined || (negated && operator !== "LIKE" && operator !== "IN")) return left
      const binds = precedence[operator]!
      if (binds < least) return left
      this.#cursor.take()
      if (negated) this.#cursor.take()
      left = this.#operation(left, operator, negated, token.at, binds)
    }
  }

  #operation(left: Expression, operator: string, negated: boolean, at: number, binds: number): Expression {
    if (operator === "LIKE") return this.#like(left, negated, at)
    if (operator === "IN") return this.#in(left, negated, at)
    if (operator === "IS") return this.#isNull(left, at)
    const right = this.#expression(binds + 1)
    const known = (operator === "<>" ? "!=" : operator) as Binary["operator"]
    if (isLogic(known) && left.kind === "binary" && isLogic(left.operator) && left.operator !== known) {
      if (!this.#grouped.has(left)) this.#warnMixed(left.operator, known, at)
    }
    return this.#node({ kind: "binary", operator: known, ...nullSides(left, right), at })
  }

  #warnMixed(first: string, second: string, at: number): void {
    const expected = "parentheses"
    const message = `${first} and ${second} bind equally, so ${first} comes first here; add parentheses to say what is meant`
    this.#warnings.push({ at, message, found: second, expected })
  }

  #like(of: Expression, negated: boolean, at: number): Expression {
    const token = this.#cursor.peek()
    if (token.kind !== "string") {
      this.#cursor.fail("a string")
      this.#recover()
      return of
    }
    const wrong = likeFault(token.text)
    if (wrong !== undefined) this.#cursor.fail("a shorter pattern", wrong)
    this.#cursor.take()
    return this.#node({ kind: "like", of, pattern: token.text, negated, at })
  }

  #in(of: Expression, negated: boolean, at: number): Expression {
    if (!this.#cursor.expectMark("(")) {
      this.#recover()
      return of
    }
    const elements = this.#list()
    return this.#node({ kind: "in", of, elements, negated, at })
  }

  /** Expressions up to the closing parenthesis, at least one. */
  #list(): Expression[] {
    const elements = [this.#expression(0)]
    while (this.#cursor.takeMark(",")) elements.push(this.#expression(0))
    this.#close()
    return elements
  }

  #close(): void {
    if (this.#cursor.takeMark(")")) return
    this.#cursor.fail("an operator or )")
    this.#cursor.skip((token) => token.kind === "mark" && token.text === ")")
    this.#cursor.takeMark(")")
  }

  #isNull(of: Expression, at: number): Expression {
    const negated = isWord(this.#cursor.peek(), "NOT")
    if (negated) this.#cursor.take()
    if (!isWord(this.#cursor.peek(), "NULL")) {
      this.#cursor.fail("NULL")
      this.#recover()
      return of
    }
    this.#cursor.take()
    return this.#node({ kind: "isNull", of, negated, at })
  }

  #prefix(): Expression {
    const cursor = this.#cursor
    const token = cursor.peek()
    if (isWord(token, "NOT")) {
      cursor.take()
      return this.#node({ kind: "not", of: this.#operand(), at: token.at })
    }
    if (cursor.isMark("-") || cursor.isMark("+")) {
      const next = cursor.peek(1)
      if ((next.kind === "integer" || next.kind === "decimal") && next.at === token.end) {
        cursor.take()
        return this.#number(cursor.take(), token)
      }
      if (token.text === "-") {
        cursor.take()
        return this.#node({ kind: "negate", of: this.#operand(), at: token.at })
      }
    }
    return this.#primary(token)
  }

  /** What NOT and the unary minus stand before. */
  #operand(): Expression {
    return this.#cursor.nested(() => this.#prefix()) ?? broken
  }

  #primary(token: Token): Expression {
    const cursor = this.#cursor
    switch (token.kind) {
      case "string":
        cursor.take()
        return this.#node({ kind: "literal", type: "string", value: token.text, at: token.at })
      case "integer":
      case "decimal":
        return this.#number(cursor.take())
      case "word":
        return this.#word(token)
      default:
        if (cursor.takeMark("(")) {
          const inner = this.#expression(0)
          this.#close()
          this.#grouped.add(inner)
          return inner
        }
        return this.#fail("a value")
    }
  }

  #number(token: Token, sign?: Token): Expression {
    const at = sign?.at ?? token.at
    const text = `${sign?.text ?? ""}${token.text}`
    if (token.kind === "decimal") return this.#node({ kind: "literal", type: "number", value: exactNumber(text), at })
    const value = Number(text)
    if (!isInteger32(value) && value !== 0) {
      const message = `the integer ${text} does not fit in 32 bits; beside data write it with a point, ${text}.0`
      this.#cursor.fail("an integer from -2147483648 to 2147483647", message, { ...token, at })
    }
    return this.#node({ kind: "literal", type: "integer", value: value + 0, at })
  }

  #word(token: Token): Expression {
    const cursor = this.#cursor
    const upper = token.text.toUpperCase()
    if (upper === "TRUE" || upper === "FALSE") {
      cursor.take()
      return this.#node({ kind: "literal", type: "boolean", value: upper === "TRUE", at: token.at })
    }
    if (upper === "EXISTS") {
      cursor.take()
      return this.#exists(token)
    }
    if (keywordSet.has(upper)) return this.#fail("a value")
    if (cursor.isMark("(", 1)) return this.#call(token)
    return this.#read() ?? this.#fail("a value")
  }

  #exists(token: Token): Expression {
    const next = this.#cursor.peek()
    const named = next.kind === "word" && !keywordSet.has(next.text.toUpperCase())
    const of = named ? this.#read() : undefined
    if (of === undefined) return this.#fail("an attribute's name")
    return this.#node({ kind: "exists", of, at: token.at })
  }

  /** An attribute or a place in data; undefined, once told as a fault, where the word names neither. */
  #read(): AttributeRead | DataRead | undefined {
    const cursor = this.#cursor
    const token = cursor.peek()
    const name = token.text.toLowerCase()
    if (name === "data" && (cursor.isMark(".", 1) || cursor.isMark("[", 1))) {
      cursor.take()
      return this.#node({ kind: "data", path: parseSteps(cursor), at: token.at })
    }
    if (!isAttributeName(name) && name !== "data") {
      cursor.fail("an attribute's name", `${token.text} is not an attribute's name, which is made of a-z and 0-9`)
      return undefined
    }
    cursor.take()
    return this.#node({ kind: "attribute", name, at: token.at })
  }

  #call(token: Token): Expression {
    const cursor = this.#cursor
    if (!/^[A-Za-z][A-Za-z_]*$/.test(token.text)) {
      cursor.fail("a function's name", `${token.text} is not a function's name, which is made of letters and _`)
    }
    cursor.take()
    cursor.take()
    const values = cursor.takeMark(")") ? [] : this.#list()
    return this.#node({ kind: "call", name: token.text.toUpperCase(), arguments: values, at: token.at })
  }

  #fail(expected: string): Expression {
    this.#cursor.fail(expected)
    this.#recover()
    return broken
  }

  /** Goes to where another operand or operator can be understood again. */
  #recover(): void {
    this.#cursor.skip(
      (token) => isLogicWord(token) || (token.kind === "mark" && (token.text === ")" || token.text === ",")),
    )
  }
}

/** Stands where no expression could be read. */
const broken: Literal = { kind: "literal", type: "boolean", value: false, at: 0 }

/** Beside data the word `null` is JSON's null: CESQL has no such expression, so it takes no attribute's name away. */
function nullSides(left: Expression, right: Expression): { readonly left: Expression; readonly right: Expression } {
  return {
    left: right.kind === "data" ? asNull(left) : left,
    right: left.kind === "data" ? asNull(right) : right,
  }
}

function asNull(expression: Expression): Expression {
  if (expression.kind !== "attribute" || expression.name !== "null") return expression
  return { kind: "literal", type: "null", value: null, at: expression.at }
}

function operatorOf(token: Token): string | undefined {
  if (token.kind !== "word" && token.kind !== "mark") return undefined
  const name = token.kind === "word" ? token.text.toUpperCase() : token.text
  return Object.hasOwn(precedence, name) ? name : undefined
}

function isWord(token: Token, word: string): boolean {
  return token.kind === "word" && token.text.toUpperCase() === word
}

function isLogicWord(token: Token): boolean {
  return isWord(token, "AND") || isWord(token, "OR") || isWord(token, "XOR")
}
