import { limits } from "./limits.ts"
import type { Reading } from "./reading.ts"
import { nameToken, placeOf, type Token } from "./scanner.ts"

/** One thing that is wrong with a text, by its offset. */
export interface TextFault {
  readonly at: number
  readonly message: string
  readonly found: string
  readonly expected: string
}

/** A parser's place among tokens. Collects faults, at most one for each token, and bounds the depth of what is parsed. */
export class TokenCursor {
  readonly faults: TextFault[] = []
  readonly #tokens: readonly Token[]
  readonly #depthMax: number
  #index = 0
  #depth = 0
  #faultedAt = -1

  constructor(tokens: readonly Token[], depthMax: number) {
    this.#tokens = tokens
    this.#depthMax = depthMax
  }

  /** The token `ahead` places from here; the end again past the end. */
  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#index + ahead, this.#tokens.length - 1)]!
  }

  take(): Token {
    const token = this.peek()
    if (this.#index < this.#tokens.length - 1) this.#index++
    return token
  }

  get ended(): boolean {
    return this.peek().kind === "end"
  }

  /** Whether a mark stands here. */
  isMark(text: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === "mark" && token.text === text
  }

  /** Takes a mark where it stands here. */
  takeMark(text: string): boolean {
    if (!this.isMark(text)) return false
    this.#index++
    return true
  }

  /** Takes the mark, or notes that it is missing. */
  expectMark(text: string): boolean {
    if (this.takeMark(text)) return true
    this.fail(`${text}`)
    return false
  }

  /** Notes that something else was expected here. Only the first fault at a token counts; later ones follow from it. */
  fail(expected: string, message?: string, token = this.peek()): void {
    if (this.#faultedAt === token.at) return
    this.#faultedAt = token.at
    const found = nameToken(token)
    this.faults.push({ at: token.at, message: message ?? `found ${found}, expected ${expected}`, found, expected })
    if (this.faults.length === limits.faultsMax) this.#giveUp()
  }

  /** Leaves the rest of the text unread. */
  #giveUp(): void {
    this.#index = this.#tokens.length - 1
    this.#faultedAt = this.peek().at
  }

  /** Runs `parse` one level deeper; past the limit notes a fault, gives up on the rest of the text and answers undefined. */
  nested<T>(parse: () => T): T | undefined {
    if (this.#depth >= this.#depthMax) {
      this.fail("a flatter expression", `expressions are nested more than ${this.#depthMax} deep`)
      this.#giveUp()
      return undefined
    }
    this.#depth++
    const result = parse()
    this.#depth--
    return result
  }

  /** Skips to the first token for which `until` holds, or to the end; over what stands in parentheses on the way. */
  skip(until: (token: Token) => boolean): void {
    let depth = 0
    while (!this.ended && (depth > 0 || !until(this.peek()))) {
      if (this.isMark("(")) depth++
      if (this.isMark(")")) depth--
      this.#index++
    }
  }
}

/** Tells a text's faults to a reading, with line and column. */
export function reportFaults(faults: readonly TextFault[], text: string, field: string, reading: Reading): void {
  for (const { at, message, found, expected } of faults) {
    const place = placeOf(text, at)
    reading.fault(field, `line ${place.line}, column ${place.column}: ${message}`, { ...place, found, expected })
  }
}
