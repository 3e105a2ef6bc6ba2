/**
 * A number of a JSON text that no double stands for: one that is not the shortest text of any, such as 9007199254740993,
 * 0.1000000000000000055 or 1e400. All others are numbers, so that a Decimal equals none of them. Immutable.
 *
 * The value is ±0.digits × 10^exponent, without zeros at the ends of the digits. Exponents beyond ±10^15 count as that.
 */
export class Decimal {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The parts of a number. */
  static partsOf(value: Numeric): Parts {
    return typeof value === "number" ? partsOf(String(value)) : value.#parts
  }

  /** Shortest: digits as long as they are few, else with an exponent. A JSON text. */
  toString(): string {
    const { negative, digits, exponent } = this.#parts
    return (negative ? "-" : "") + print(digits, exponent)
  }

  /** JSON.stringify writes it exactly. */
  toJSON(): unknown {
    return rawJson(String(this))
  }
}

/** A number of a JSON text, exactly. */
export type Numeric = number | Decimal

/** What a number is made of: ±0.digits × 10^exponent; zero has no digits. */
export interface Parts {
  readonly negative: boolean
  readonly digits: string
  readonly exponent: number
}

const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

/** Fewer characters than this always are a number's, but for very large and very small ones. */
const longMin = 16

/** The number that a text stands for, which is one of JSON's or has a plus sign or zeros before it. */
export function exactNumber(text: string): Numeric {
  const number = Number(text)
  if (text.length < longMin && (text === "0" || isMiddling(number))) return number
  const shortest = String(number)
  if (shortest === text) return number
  const parts = partsOf(text)
  return isSameParts(parts, partsOf(shortest)) ? number : new Decimal(parts)
}

/** Whether no text of a few digits is nearest to this number that is not its own. */
function isMiddling(number: number): boolean {
  const size = Math.abs(number)
  return size > 1e-290 && size < 1e290
}

/** Whether a value is a number. */
export function isNumeric(value: unknown): value is Numeric {
  return typeof value === "number" || value instanceof Decimal
}

/** Below 0 where `a` is less than `b`, 0 where they are equal, else above. */
export function compareNumeric(a: Numeric, b: Numeric): number {
  if (typeof a === "number" && typeof b === "number") return a < b ? -1 : a > b ? 1 : 0
  const [x, y] = [Decimal.partsOf(a), Decimal.partsOf(b)]
  const [signX, signY] = [signOf(x), signOf(y)]
  if (signX !== signY || signX === 0) return signX - signY
  const sizes = x.exponent === y.exponent ? order(x.digits, y.digits) : x.exponent - y.exponent
  return sizes * signX
}

/** Whether two values that are no arrays or objects are the same one. */
export function isSame(a: unknown, b: unknown): boolean {
  return a === b || (a instanceof Decimal && b instanceof Decimal && compareNumeric(a, b) === 0)
}

/** The double next to it, which may be infinite. */
export function nearest(value: Numeric): number {
  return typeof value === "number" ? value : Number(String(value))
}

/** Without its fraction, in as far as 15 digits hold that; else infinite. */
export function truncated(value: Numeric): number {
  if (typeof value === "number") return Math.trunc(value)
  const { negative, digits, exponent } = Decimal.partsOf(value)
  const size = exponent > 15 ? Number.POSITIVE_INFINITY : exponent <= 0 ? 0 : Number(whole(digits, exponent))
  return negative ? 0 - size : size
}

/** The number on the other side of zero. */
export function negated(value: Numeric): Numeric {
  if (typeof value === "number") return 0 - value
  const parts = Decimal.partsOf(value)
  return new Decimal({ ...parts, negative: !parts.negative })
}

function signOf({ negative, digits }: Parts): number {
  return digits === "" ? 0 : negative ? -1 : 1
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function isSameParts(a: Parts, b: Parts): boolean {
  return a.digits === b.digits && (a.digits === "" || (a.negative === b.negative && a.exponent === b.exponent))
}

const exponentMax = 1e15

/** Takes time linear in the text. An infinite one has digits that no text has. */
function partsOf(text: string): Parts {
  const negative = text.startsWith("-")
  const from = negative || text.startsWith("+") ? 1 : 0
  const e = Math.max(text.indexOf("e", from), text.indexOf("E", from))
  const mantissa = text.slice(from, e < 0 ? text.length : e)
  const point = mantissa.indexOf(".")
  const all = point < 0 ? mantissa : mantissa.slice(0, point) + mantissa.slice(point + 1)
  let [start, end] = [0, all.length]
  while (start < end && all.charCodeAt(start) === 0x30) start++
  while (end > start && all.charCodeAt(end - 1) === 0x30) end--
  const power = e < 0 ? 0 : Math.max(-exponentMax, Math.min(exponentMax, Number(text.slice(e + 1))))
  return { negative, digits: all.slice(start, end), exponent: (point < 0 ? all.length : point) - start + power }
}

/** Digits of an integer that is written without an exponent, at most. */
const integerDigitsMax = 40

function print(digits: string, exponent: number): string {
  if (exponent >= digits.length && exponent <= integerDigitsMax) return whole(digits, exponent)
  if (exponent > 0 && exponent <= integerDigitsMax) return `${digits.slice(0, exponent)}.${digits.slice(exponent)}`
  if (exponent > -6 && exponent <= 0) return `0.${"0".repeat(-exponent)}${digits}`
  const power = exponent - 1
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : ""
  return `${digits[0]}${fraction}e${power < 0 ? "-" : "+"}${Math.abs(power)}`
}

function whole(digits: string, exponent: number): string {
  return digits.slice(0, exponent).padEnd(exponent, "0")
}

/** Digits that a sum or a product is calculated with, at most. */
const calculatedMax = 1_000

/** A sum, difference, product or remainder, exactly; undefined where it would have too many digits. `y` is not 0 for `%`. */
export function calculateExactly(operator: "+" | "-" | "*" | "%", x: Numeric, y: Numeric): Numeric | undefined {
  const [a, b] = [Decimal.partsOf(x), Decimal.partsOf(y)]
  const [scaleA, scaleB] = [a.exponent - a.digits.length, b.exponent - b.digits.length]
  const scale = Math.min(scaleA, scaleB)
  if (operator === "*" ? a.digits.length + b.digits.length > calculatedMax : isLong(a, scale) || isLong(b, scale)) {
    return undefined
  }
  if (operator === "*") return scaled(coefficient(a) * coefficient(b), scaleA + scaleB)
  const m = coefficient(a) * 10n ** BigInt(scaleA - scale)
  const n = coefficient(b) * 10n ** BigInt(scaleB - scale)
  return scaled(operator === "+" ? m + n : operator === "-" ? m - n : m % n, scale)
}

function isLong({ exponent }: Parts, scale: number): boolean {
  return exponent - scale > calculatedMax
}

function coefficient({ negative, digits }: Parts): bigint {
  const size = BigInt(digits)
  return negative ? -size : size
}

function scaled(value: bigint, scale: number): Numeric {
  return exactNumber(`${value}e${scale}`)
}
