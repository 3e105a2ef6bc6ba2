import { isUtf8 } from "node:buffer"

/** Levels of arrays and objects that a JSON text may nest. */
export const jsonDepthMax = 128

const tooDeep = `nested deeper than ${jsonDepthMax} levels`

/** Members of an object whose places are kept. More are checked all the same, and counted. */
export const jsonMembersMax = 512

/** What a value is; the low three bits of a member's `bits`. */
export const jsonKind = { string: 1, number: 2, true: 3, false: 4, null: 5, object: 6, array: 7 } as const

/** Set in `bits` when a string, or the key, holds an escape or anything outside U+0020 to U+007E. */
export const jsonBits = { kind: 7, valueEscaped: 8, valueOdd: 16, keyEscaped: 32, keyOdd: 64 } as const

/** Why a scan ended early, and where. */
export interface JsonFault {
  readonly message: string
  /** Index in the scanned bytes. */
  readonly at: number
}

// Classes of bytes inside a string.
const plain = 0
const quote = 1
const backslash = 2
const forbidden = 3
const classes = new Uint8Array(256)
classes.fill(forbidden, 0, 0x20)
classes.fill(4, 0x7f)
classes[0x22] = quote
classes[0x5c] = backslash

const escapes = new Uint8Array(256)
for (const letter of '"\\/bfnrt') escapes[letter.charCodeAt(0)] = 1
const hexDigits = new Uint8Array(256)
for (const digit of "0123456789abcdefABCDEF") hexDigits[digit.charCodeAt(0)] = 1

const escapeSeen = 1
const oddSeen = 2
const highSeen = 4

/**
 * Checks JSON in bytes without building values (RFC 8259, and nothing beyond it; {@link jsonDepthMax} levels).
 *
 * The `scan…` methods answer the index after what they read, or -1 with the reason in `fault`. Member `i` of the last
 * object is at `members[5 * i]`: the key without its quotes (start, end), the value (start, end), its bits. The arrays
 * and offsets are overwritten by the next scan. A scanner costs nothing to reuse and is not re-entrant.
 */
export class JsonScanner {
  readonly members = new Int32Array(5 * jsonMembersMax)
  /** Members of the last object; it may have more than are kept. */
  count = 0
  /** No whitespace between the last object's own tokens. */
  compact = true
  fault: JsonFault = { message: "", at: 0 }
  #seen = 0
  #depth = 0

  /** Reads one object at `start` (whitespace allowed on both sides) that ends where the bytes do. */
  scanWhole(bytes: Uint8Array, start: number, end: number): number {
    const open = skipSpace(bytes, start, end)
    if (open < end && bytes[open] !== 0x7b) return this.#fail("not a JSON object", open)
    const at = this.scanObject(bytes, open, end)
    if (at < 0) return at
    const rest = skipSpace(bytes, at, end)
    return rest < end ? this.#fail("unexpected text after the JSON object", rest) : at
  }

  /** Reads the object that begins at `start` and keeps its members' places. */
  scanObject(bytes: Uint8Array, start: number, end: number): number {
    this.count = 0
    this.compact = true
    this.#seen = 0
    // The object itself does not count: its members may nest as deep as values that stand alone.
    this.#depth = 0
    let high = 0
    if (start >= end || bytes[start] !== 0x7b) return this.#unexpected(start, end)
    let at = start + 1
    if (at < end && bytes[at]! <= 0x20) at = this.#gap(bytes, at, end)
    if (at < end && bytes[at] === 0x7d) return at + 1
    // Ends: at `end`: each turn takes a member.
    for (;;) {
      if (at >= end || bytes[at] !== 0x22) return this.#unexpected(at, end)
      const keyStart = at + 1
      this.#seen = 0
      at = this.#string(bytes, keyStart, end)
      if (at < 0) return -1
      const keySeen = this.#seen
      const keyEnd = at - 1
      if (at < end && bytes[at]! <= 0x20) at = this.#gap(bytes, at, end)
      if (at >= end || bytes[at] !== 0x3a) return this.#unexpected(at, end)
      at++
      if (at < end && bytes[at]! <= 0x20) at = this.#gap(bytes, at, end)
      const valueStart = at
      this.#seen = 0
      at = this.#value(bytes, at, end)
      if (at < 0) return -1
      high |= keySeen | this.#seen
      this.#keep(keyStart, keyEnd, valueStart, at, kindOf(bytes[valueStart]!) | bitsOf(keySeen, this.#seen))
      if (at < end && bytes[at]! <= 0x20) at = this.#gap(bytes, at, end)
      if (at >= end) return this.#unexpected(at, end)
      const next = bytes[at]
      at++
      if (next === 0x7d) break
      if (next !== 0x2c) return this.#unexpected(at - 1, end)
      if (at < end && bytes[at]! <= 0x20) at = this.#gap(bytes, at, end)
    }
    return (high & highSeen) !== 0 ? this.#checkUtf8(bytes, start, at) : at
  }

  /** Reads the value that begins at `start`, whatever it is. */
  scanValue(bytes: Uint8Array, start: number, end: number): number {
    this.#seen = 0
    this.#depth = 0
    const at = this.#value(bytes, start, end)
    return at >= 0 && (this.#seen & highSeen) !== 0 ? this.#checkUtf8(bytes, start, at) : at
  }

  /** Reads one value of any kind (whitespace allowed on both sides) that ends where the bytes do. */
  scanText(bytes: Uint8Array, start: number, end: number): number {
    const at = this.scanValue(bytes, skipSpace(bytes, start, end), end)
    if (at < 0) return at
    const rest = skipSpace(bytes, at, end)
    return rest < end ? this.#fail("unexpected text after the JSON value", rest) : at
  }

  #checkUtf8(bytes: Uint8Array, start: number, end: number): number {
    return isUtf8(bytes.subarray(start, end)) ? end : this.#fail("not UTF-8", start)
  }

  #keep(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number, bits: number): void {
    const at = 5 * this.count++
    if (at >= this.members.length) return
    const members = this.members
    members[at] = keyStart
    members[at + 1] = keyEnd
    members[at + 2] = valueStart
    members[at + 3] = valueEnd
    members[at + 4] = bits
  }

  #gap(bytes: Uint8Array, start: number, end: number): number {
    this.compact = false
    return skipSpace(bytes, start, end)
  }

  #value(bytes: Uint8Array, start: number, end: number): number {
    if (start >= end) return this.#unexpected(start, end)
    switch (bytes[start]) {
      case 0x22:
        return this.#string(bytes, start + 1, end)
      case 0x7b:
        return this.#object(bytes, start + 1, end)
      case 0x5b:
        return this.#array(bytes, start + 1, end)
      case 0x74:
        return this.#literal(bytes, start, end, "true")
      case 0x66:
        return this.#literal(bytes, start, end, "false")
      case 0x6e:
        return this.#literal(bytes, start, end, "null")
      default:
        return this.#number(bytes, start, end)
    }
  }

  #object(bytes: Uint8Array, start: number, end: number): number {
    if (++this.#depth > jsonDepthMax) return this.#fail(tooDeep, start - 1)
    let at = start
    if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
    if (at < end && bytes[at] === 0x7d) {
      this.#depth--
      return at + 1
    }
    // Ends: at `end`: each turn takes a member.
    for (;;) {
      if (at >= end || bytes[at] !== 0x22) return this.#unexpected(at, end)
      at = this.#string(bytes, at + 1, end)
      if (at < 0) return -1
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
      if (at >= end || bytes[at] !== 0x3a) return this.#unexpected(at, end)
      at++
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
      at = this.#value(bytes, at, end)
      if (at < 0) return -1
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
      if (at >= end) return this.#unexpected(at, end)
      const next = bytes[at]
      at++
      if (next === 0x7d) break
      if (next !== 0x2c) return this.#unexpected(at - 1, end)
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
    }
    this.#depth--
    return at
  }

  #array(bytes: Uint8Array, start: number, end: number): number {
    if (++this.#depth > jsonDepthMax) return this.#fail(tooDeep, start - 1)
    let at = start
    if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
    if (at < end && bytes[at] === 0x5d) {
      this.#depth--
      return at + 1
    }
    // Ends: at `end`: each turn takes an element.
    for (;;) {
      at = this.#value(bytes, at, end)
      if (at < 0) return -1
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
      if (at >= end) return this.#unexpected(at, end)
      const next = bytes[at]
      at++
      if (next === 0x5d) break
      if (next !== 0x2c) return this.#unexpected(at - 1, end)
      if (at < end && bytes[at]! <= 0x20) at = skipSpace(bytes, at, end)
    }
    this.#depth--
    return at
  }

  /** From after the opening quote to after the closing one. */
  #string(bytes: Uint8Array, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      const kind = classes[bytes[at]!]!
      if (kind === plain) continue
      if (kind === quote) return at + 1
      if (kind === forbidden) return this.#fail("a control character in a string", at)
      if (kind === backslash) {
        at = this.#escape(bytes, at + 1, end)
        if (at < 0) return -1
      } else this.#seen |= bytes[at] === 0x7f ? oddSeen : oddSeen | highSeen
    }
    return this.#unexpected(end, end)
  }

  /** From after the backslash to the last character of the escape. */
  #escape(bytes: Uint8Array, start: number, end: number): number {
    this.#seen |= escapeSeen
    if (start >= end) return this.#unexpected(start, end)
    if (escapes[bytes[start]!] === 1) return start
    if (bytes[start] !== 0x75) return this.#fail("an unknown escape in a string", start)
    for (let at = start + 1; at <= start + 4; at++) {
      if (at >= end) return this.#unexpected(at, end)
      if (hexDigits[bytes[at]!] === 0) return this.#fail("a \\u escape without four hexadecimal digits", at)
    }
    return start + 4
  }

  #literal(bytes: Uint8Array, start: number, end: number, word: string): number {
    for (let i = 1; i < word.length; i++) {
      const at = start + i
      if (at >= end || bytes[at] !== word.charCodeAt(i)) return this.#unexpected(at, end)
    }
    return start + word.length
  }

  #number(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    if (bytes[at] === 0x2d) at++
    if (at < end && bytes[at] === 0x30) at++
    else {
      const digits = skipDigits(bytes, at, end)
      if (digits === at) return this.#unexpected(at, end)
      at = digits
    }
    if (at < end && bytes[at] === 0x2e) {
      const digits = skipDigits(bytes, at + 1, end)
      if (digits === at + 1) return this.#unexpected(digits, end)
      at = digits
    }
    if (at < end && (bytes[at]! | 0x20) === 0x65) {
      at++
      if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++
      const digits = skipDigits(bytes, at, end)
      if (digits === at) return this.#unexpected(at, end)
      at = digits
    }
    return at
  }

  /** Whether the last scan that failed did so for the depth alone. */
  get tooDeep(): boolean {
    return this.fault.message === tooDeep
  }

  #unexpected(at: number, end: number): number {
    return this.#fail(at >= end ? "the JSON text ends early" : "an unexpected character", at)
  }

  #fail(message: string, at: number): number {
    this.fault = { message, at }
    return -1
  }
}

/** The index of the first byte from `start` that is no JSON whitespace, or `end`. */
export function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end) {
    const byte = bytes[at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

function skipDigits(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++
  return at
}

function kindOf(first: number): number {
  switch (first) {
    case 0x22:
      return jsonKind.string
    case 0x7b:
      return jsonKind.object
    case 0x5b:
      return jsonKind.array
    case 0x74:
      return jsonKind.true
    case 0x66:
      return jsonKind.false
    case 0x6e:
      return jsonKind.null
    default:
      return jsonKind.number
  }
}

function bitsOf(keySeen: number, valueSeen: number): number {
  if ((keySeen | valueSeen) === 0) return 0
  return ((valueSeen & 3) << 3) | ((keySeen & 3) << 5)
}
