import { FailedError } from "./failures.ts"

/** One event of a bulk input: its JSON on one line, and its place. */
export interface Piece {
  readonly json: Uint8Array
  /** The line it stands on, or which element of its array it is; from 1. */
  readonly place: number
}

/** How a bulk input is written. */
export type BulkFormat = "ndjson" | "json"

/** The largest event that is read into memory. */
const pieceBytesMax = 16 * 2 ** 20

const newline = 0x0a
const carriageReturn = 0x0d
const space = 0x20
const tab = 0x09
const comma = 0x2c
const quotationMark = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** Splits an input into the events of each part that was read, so that what has come can go on at once. */
export interface Splitter {
  /** What is complete now, to be taken to its end: what is too large is thrown once everything before it was taken. */
  push(part: Uint8Array): Iterable<Piece>
  /** What is left at the end. */
  end(): readonly Piece[]
}

/** The events of NDJSON: each line that is not empty. */
export function splitLines(): Splitter {
  const rest = createRest()
  let line = 0
  const piece = (bytes: Uint8Array): readonly Piece[] => {
    line++
    return isBlank(bytes) ? [] : [{ json: bytes, place: line }]
  }
  return {
    *push(part) {
      let from = 0
      for (let at = part.indexOf(newline); at >= 0; at = part.indexOf(newline, from)) {
        yield* piece(rest.take(part.subarray(from, at)))
        from = at + 1
      }
      rest.keep(part.subarray(from))
    },
    end: () => piece(rest.take(new Uint8Array(0))),
  }
}

/** The events of JSON: the elements of top-level arrays, and every other top-level value. */
export function splitJson(): Splitter {
  const rest = createRest()
  const scan = createScan()
  let place = 0
  const piece = (bytes: Uint8Array): readonly Piece[] => {
    if (isBlank(bytes)) return []
    place++
    return [{ json: onOneLine(bytes), place }]
  }
  return {
    *push(part) {
      let from = 0
      for (let at = 0; at < part.length; at++) {
        const step = scan(part[at]!)
        if (step === "inside") continue
        const until = step === "last" ? at + 1 : at
        yield* piece(rest.take(part.subarray(from, until)))
        from = at + 1
      }
      rest.keep(part.subarray(from))
    },
    end: () => piece(rest.take(new Uint8Array(0))),
  }
}

/** What a byte is to the value around it: within it, its last one, or between values. */
type Step = "inside" | "last" | "between"

function createScan(): (byte: number) => Step {
  let depth = 0
  let inArray = false
  let inString = false
  let escaped = false
  let begun = false
  const close = (): Step => {
    begun = false
    return "last"
  }
  return (byte) => {
    if (inString) {
      if (escaped) escaped = false
      else if (byte === backslash) escaped = true
      else if (byte === quotationMark) {
        inString = false
        if (depth === 0) return close()
      }
      return "inside"
    }
    if (
      depth === 0 &&
      !begun &&
      (byte === openBracket || byte === closeBracket) &&
      inArray === (byte === closeBracket)
    ) {
      inArray = byte === openBracket
      return "between"
    }
    if (depth === 0 && (byte === comma || byte === closeBracket || isSpace(byte))) {
      if (byte === closeBracket) inArray = false
      begun = false
      return "between"
    }
    begun = true
    if (byte === quotationMark) inString = true
    else if (byte === openBrace || byte === openBracket) depth++
    else if ((byte === closeBrace || byte === closeBracket) && --depth <= 0) {
      depth = 0
      return close()
    }
    return "inside"
  }
}

/** The beginning of a value whose end is in a later part. */
function createRest() {
  let parts: Uint8Array[] = []
  let bytes = 0
  return {
    keep(part: Uint8Array): void {
      if (part.length === 0) return
      bytes += part.length
      if (bytes > pieceBytesMax) {
        throw new FailedError(`one event of the input is larger than ${pieceBytesMax / 2 ** 20} MiB`, [
          "Is it NDJSON, or one JSON array? --format says.",
        ])
      }
      parts.push(part)
    },
    take(end: Uint8Array): Uint8Array {
      if (parts.length === 0) return end
      const whole = Buffer.concat([...parts, end])
      parts = []
      bytes = 0
      return whole
    },
  }
}

/** Which of the two an input is, by how it begins; undefined: neither. */
export function sniff(start: Uint8Array): BulkFormat | undefined {
  const first = start.find((byte) => !isSpace(byte))
  if (first === openBracket) return "json"
  if (first !== openBrace) return undefined
  const from = start.indexOf(openBrace)
  const end = start.indexOf(newline, from)
  return end >= 0 && isJson(start.subarray(from, end)) ? "ndjson" : "json"
}

/** Without the mark that some editors put before UTF-8. */
export function withoutByteOrderMark(start: Uint8Array): Uint8Array {
  return start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf ? start.subarray(3) : start
}

/** Whether the bytes are one JSON text. */
export function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"))
    return true
  } catch {
    return false
  }
}

function isSpace(byte: number): boolean {
  return byte === space || byte === newline || byte === carriageReturn || byte === tab
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every(isSpace)
}

/** JSON has no newline inside its strings, so each is space between tokens. */
function onOneLine(bytes: Uint8Array): Uint8Array {
  return bytes.includes(newline) || bytes.includes(carriageReturn)
    ? bytes.map((byte) => (byte === newline || byte === carriageReturn ? space : byte))
    : bytes
}
