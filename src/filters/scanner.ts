/** A piece of a filter's text. `at` and `end` are offsets in UTF-16 code units. */
export interface Token {
  readonly kind: TokenKind
  /** As written; of a string, its value. */
  readonly text: string
  readonly at: number
  readonly end: number
}

/**
 * `word`: letters, digits, `_`, `$` and whatever is not ASCII. `integer`: digits only. `decimal`: digits with a point.
 * `broken`: something that begins no token, or a string without its end.
 */
export type TokenKind = "word" | "integer" | "decimal" | "string" | "mark" | "broken" | "end"

/**
 * Cuts a text into tokens; always ends with one `end`. `marks` are the operators and punctuation, longest first.
 * A string stands in single or double quotes; a backslash escapes its own quote only and is otherwise kept.
 */
export function scan(text: string, marks: readonly string[]): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d) {
      at++
      continue
    }
    const token = next(text, at, code, marks)
    tokens.push(token)
    at = token.end
  }
  tokens.push({ kind: "end", text: "", at: text.length, end: text.length })
  return tokens
}

function next(text: string, at: number, code: number, marks: readonly string[]): Token {
  if (isWord(code)) return word(text, at)
  if (code === 0x22 || code === 0x27) return string(text, at, code)
  for (const mark of marks)
    if (text.startsWith(mark, at)) return { kind: "mark", text: mark, at, end: at + mark.length }
  const broken = String.fromCodePoint(text.codePointAt(at)!)
  return { kind: "broken", text: broken, at, end: at + broken.length }
}

function word(text: string, at: number): Token {
  let end = at
  let digits = true
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (!isWord(code)) break
    if (!isDigit(code)) digits = false
  }
  if (!digits) return { kind: "word", text: text.slice(at, end), at, end }
  if (text.charCodeAt(end) !== 0x2e || !isDigit(text.charCodeAt(end + 1))) {
    return { kind: "integer", text: text.slice(at, end), at, end }
  }
  end++
  while (isDigit(text.charCodeAt(end))) end++
  if ((text.charCodeAt(end) | 0x20) === 0x65) end = exponent(text, end)
  return { kind: "decimal", text: text.slice(at, end), at, end }
}

/** The end of an exponent that begins with the `e` at `at`; `at` where none does. */
function exponent(text: string, at: number): number {
  const sign = text.charCodeAt(at + 1)
  let end = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1
  if (!isDigit(text.charCodeAt(end))) return at
  while (isDigit(text.charCodeAt(end))) end++
  return end
}

function string(text: string, at: number, quote: number): Token {
  let value = ""
  let from = at + 1
  for (let end = from; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (code === 0x5c && end + 1 < text.length) {
      if (text.charCodeAt(end + 1) === quote) {
        value += text.slice(from, end)
        from = end + 1
      }
      end++
    } else if (code === quote) {
      return { kind: "string", text: value + text.slice(from, end), at, end: end + 1 }
    }
  }
  return { kind: "broken", text: text.slice(at), at, end: text.length }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isWord(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    code === 0x5f ||
    code === 0x24 ||
    (code > 0x7f && code !== 0xa0)
  )
}

/** The line and column of an offset, both from 1; columns count characters, not code units. */
export function placeOf(text: string, at: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, at)
  const lineStart = before.lastIndexOf("\n") + 1
  let line = 1
  for (let i = 0; i < lineStart; i++) if (before.charCodeAt(i) === 0x0a) line++
  return { line, column: [...before.slice(lineStart)].length + 1 }
}

/** A token as messages name it. */
export function nameToken(token: Token): string {
  switch (token.kind) {
    case "end":
      return "the end"
    case "string":
      return `the string ${JSON.stringify(shorten(token.text))}`
    case "broken":
      return token.text.length > 1 && /^['"]/.test(token.text) ? "a string without its end" : JSON.stringify(token.text)
    default:
      return shorten(token.text)
  }
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
