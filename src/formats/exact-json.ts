import { type Decimal, exactNumber, type Numeric } from "./decimal.ts"

/** A parsed JSON value. To JavaScript a Decimal is an object, but it has no members. */
export type Json = string | number | boolean | null | Decimal | readonly Json[] | { readonly [name: string]: Json }

/** What of a JSON text would not be there any more in the value that it parses to. */
export interface Loss {
  /** Where: names of members and numbers of elements; of both no more than anybody reads. */
  readonly path: readonly (string | number)[]
  readonly kind: "number" | "repeated"
  /** The number as it is written; of a member that is there more than once, its name. */
  readonly text: string
}

/**
 * As JSON.parse, and hardly slower, but that nothing is changed: a number that no double stands for is a {@link Decimal}; and
 * a name with an escape is what it says, where V8 takes it for one with a backslash that it has met before in a like object,
 * whoever that was of. Throws SyntaxError.
 */
export function parseExact(text: string): Json {
  const value = JSON.parse(text) as Json
  return holdsLongNumber(text) || holdsEscapedName(text) ? new ExactReader(text).read() : value
}

/** Whether a member's name is written with an escape, in a text that is JSON. */
function holdsEscapedName(text: string): boolean {
  for (let at = text.indexOf("\\"); at >= 0; at = text.indexOf("\\", at)) {
    at = endOfString(text, at) + 1
    while (isSpace(text.charCodeAt(at))) at++
    if (text.charCodeAt(at) === 0x3a) return true
  }
  return false
}

/** Where the quote is that ends a string. */
function endOfString(text: string, within: number): number {
  let at = within
  for (let code = text.charCodeAt(at); code !== 0x22; code = text.charCodeAt(at)) at += code === 0x5c ? 2 : 1
  return at
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** Losses that are told at most. */
const lossesMax = 100

/** Steps of a loss's path that are told at most, from the outermost on, and characters of a name in it. */
const [stepsMax, nameMax] = [256, 256]

/**
 * As {@link parseExact}, with what would be lost of the text if its value were saved: numbers that become others, and all
 * but the last members of one name. Throws SyntaxError.
 */
export function parseWithLosses(text: string): { readonly value: Json; readonly losses: readonly Loss[] } {
  JSON.parse(text)
  const losses: Loss[] = []
  const value = new ExactReader(text, losses).read()
  return { value, losses }
}

/** What is wrong with it and what to do, for people; `inFilter`: it is a number of a filter, which may be a query as well. */
export function describeLoss({ kind, text }: Pick<Loss, "kind" | "text">, inFilter: boolean): string {
  if (kind === "repeated") return "is there more than once"
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text
  const kept = JSON.stringify(Number(text))
  const wrong = `${shown} would be saved as ${kept}`
  if (inFilter) return `${wrong}: compare it in a query, such as data.total == ${shown}, which takes all digits`
  return kept === "null" ? `${wrong}: write a number that is nearer to 0` : `${wrong}: write that, or fewer digits`
}

/** A number of fewer characters is a double's, unless its exponent has three digits. */
const longMin = 16
const longExponent = /[0-9][eE][+-]?[0-9]{3}/
const before = " \t\n\r[:,"
const after = " \t\n\r]},"

/**
 * Whether a text may hold a number that no double stands for. Looks at one character of sixteen, for a number that has as
 * many, and for exponents: a tenth of the time that parsing takes.
 */
export function holdsLongNumber(text: string): boolean {
  for (let at = longMin - 1; at < text.length; at += longMin) {
    if (!isOfNumber(text.charCodeAt(at))) continue
    const [from, end] = numberAround(text, at)
    if (end - from >= longMin && isInexact(text, from, end)) return true
    at = end - 1
  }
  return holdsLongExponent(text)
}

/** Goes on behind what was looked at, so that no character is looked at more than twice. */
function holdsLongExponent(text: string): boolean {
  const pattern = new RegExp(longExponent, "g")
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [from, end] = numberAround(text, match.index)
    if (isInexact(text, from, end)) return true
    pattern.lastIndex = end
  }
  return false
}

/** What could be a number around a character of one. */
function numberAround(text: string, at: number): readonly [from: number, end: number] {
  let from = at
  while (from > 0 && isOfNumber(text.charCodeAt(from - 1))) from--
  let end = at + 1
  while (end < text.length && isOfNumber(text.charCodeAt(end))) end++
  return [from, end]
}

function isInexact(text: string, from: number, end: number): boolean {
  if (from > 0 && !before.includes(text[from - 1]!)) return false
  if (end < text.length && !after.includes(text[end]!)) return false
  return typeof exactNumber(text.slice(from, end)) !== "number"
}

/** Digits, the point, signs and the letter of an exponent. */
function isOfNumber(code: number): boolean {
  return code <= 0x39 ? code >= 0x2b && code !== 0x2c && code !== 0x2f : (code | 0x20) === 0x65
}

type Members = { [name: string]: Json }

/** Reads a text that JSON.parse takes. Depth takes no stack. */
class ExactReader {
  readonly #text: string
  readonly #losses: Loss[] | undefined
  /** The arrays and objects that are open, outermost first, and the name in each where the next value goes. */
  readonly #open: (Json[] | Members)[] = []
  readonly #names: string[] = []
  #at = 0

  /** `losses`: where what is lost is put; nothing is noted without. */
  constructor(text: string, losses?: Loss[]) {
    this.#text = text
    this.#losses = losses
  }

  read(): Json {
    // Ends: with the text: each turn takes a value or opens one.
    for (;;) {
      const code = this.#next()
      if (code !== 0x7b && code !== 0x5b) {
        const value = this.#put(this.#scalar(code))
        if (value !== undefined) return value
        continue
      }
      this.#at++
      const empty: Json[] | Members = code === 0x7b ? {} : []
      if (this.#next() === code + 2) {
        this.#at++
        const value = this.#put(empty)
        if (value !== undefined) return value
        continue
      }
      this.#open.push(empty)
      this.#names.push("")
      if (code === 0x7b) this.#name()
    }
  }

  /** Puts a value where it belongs, and closes what ends behind it; the whole, where that is all. */
  #put(scalar: Json): Json | undefined {
    let value = scalar
    for (let parent = this.#open.at(-1); parent !== undefined; parent = this.#open.at(-1)) {
      if (Array.isArray(parent)) parent.push(value)
      else this.#member(parent, this.#names.at(-1)!, value)
      const code = this.#next()
      this.#at++
      if (code === 0x2c) {
        if (!Array.isArray(parent)) this.#name()
        return undefined
      }
      value = parent
      this.#open.pop()
      this.#names.pop()
    }
    return value
  }

  #member(parent: Members, name: string, value: Json): void {
    if (this.#losses !== undefined && Object.hasOwn(parent, name)) this.#lose("repeated", name)
    if (name !== "__proto__") parent[name] = value
    else Object.defineProperty(parent, name, { value, enumerable: true, writable: true, configurable: true })
  }

  /** The name of the next member, and the colon behind it. */
  #name(): void {
    this.#next()
    this.#names[this.#names.length - 1] = this.#string()
    this.#next()
    this.#at++
  }

  /** The next character that is no space. */
  #next(): number {
    const text = this.#text
    let code = text.charCodeAt(this.#at)
    while (isSpace(code)) code = text.charCodeAt(++this.#at)
    return code
  }

  #scalar(code: number): Json {
    switch (code) {
      case 0x22:
        return this.#string()
      case 0x74:
        this.#at += 4
        return true
      case 0x66:
        this.#at += 5
        return false
      case 0x6e:
        this.#at += 4
        return null
      default:
        return this.#number()
    }
  }

  #string(): string {
    const text = this.#text
    const from = this.#at
    const to = endOfString(text, from + 1)
    this.#at = to + 1
    const inner = text.slice(from + 1, to)
    return inner.includes("\\") ? (JSON.parse(text.slice(from, to + 1)) as string) : inner
  }

  #number(): Numeric {
    const from = this.#at
    while (isOfNumber(this.#text.charCodeAt(this.#at))) this.#at++
    const text = this.#text.slice(from, this.#at)
    const number = exactNumber(text)
    if (typeof number !== "number") this.#lose("number", text)
    return number
  }

  /** Takes as long as the path that is told, and none where no more are. */
  #lose(kind: Loss["kind"], text: string): void {
    if (this.#losses === undefined || this.#losses.length >= lossesMax) return
    const open = this.#open.slice(0, stepsMax)
    const path = open.map((each, at) => (Array.isArray(each) ? each.length : this.#names[at]!.slice(0, nameMax)))
    this.#losses.push({ path, kind, text })
  }
}
