import { decisionAttribute } from "../core/delayed.ts"
import { editAttribute } from "../core/edits.ts"
import { isUri, isUriReference } from "./uri.ts"

/** What is wrong with one field, in words for its sender. */
export interface Fault {
  /** The attribute's name, or the place in the request. */
  readonly field: string
  readonly message: string
}

/** Attributes that one event may have; more are refused. */
export const attributesMax = 256

/** Whose rules hold: of what is published now, or of what was stored by those of before, which is read as it was. */
export type Rules = "published" | "stored"

/** Attributes that the hub adds to what is read; dropped from what is published, so that what was read can be published. */
const readAttributes: readonly string[] = ["redcarcursor", "redcartime"]

/** Attributes that only the hub writes: dropped from what is published. */
export const hubAttributes: readonly string[] = [...readAttributes, editAttribute, decisionAttribute]

/** Whether an attribute is left out of an event that is decoded by these rules: what is stored keeps those that the hub has set. */
export function isDropped(name: string, rules: Rules): boolean {
  return (rules === "published" ? hubAttributes : readAttributes).includes(name)
}

/** Attributes without which there is no event. */
export const requiredAttributes: readonly string[] = ["specversion", "id", "source", "type"]

const attributeName = /^[a-z0-9]+$/
const printableAscii = /^[\x20-\x7e]*$/
const outsideStrings = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u
const mediaType =
  /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+=(?:[\w!#$%&'*+.^`|~-]+|"(?:[^"\\]|\\.)*"))*[ \t]*;?$/

/** What is wrong with an attribute's name; undefined where nothing is. */
export function nameFault(name: string): string | undefined {
  if (!attributeName.test(name)) return "is no attribute name: these are of a-z and 0-9 only"
  if (name === "data") return "is no attribute name: it is kept for the event's data"
  return undefined
}

/** What is wrong with an attribute's value (CloudEvents 1.0, the core's rules and types); undefined where nothing is. */
export function valueFault(name: string, value: unknown): string | undefined {
  switch (name) {
    case "specversion":
      return value === "1.0" ? undefined : 'must be "1.0"'
    case "id":
    case "type":
    case "subject":
      return textFault(value)
    case "source":
      return textFault(value) ?? (isUriReference(value as string) ? undefined : notUriReference)
    case "time":
      return textFault(value) ?? (isTimestamp(value as string) ? undefined : notTimestamp)
    case "datacontenttype":
      return (
        textFault(value) ?? (isMediaType(value as string) ? undefined : "must be a media type, like application/json")
      )
    case "dataschema":
      return textFault(value) ?? (isUri(value as string) ? undefined : "must be an absolute URI")
    default:
      return extensionFault(value)
  }
}

const notUriReference =
  "must be a URI-reference (RFC 3986), such as /shop or https://shop.example/orders, with other characters percent-encoded"
const notTimestamp = "must be an RFC 3339 time, like 2026-01-31T12:00:00Z"

/**
 * Everything that is wrong with these attributes: names, values, and what is missing. A null or undefined value counts
 * as absent. Empty: they make a valid event.
 */
export function attributeFaults(attributes: Readonly<Record<string, unknown>>): readonly Fault[] {
  const faults: Fault[] = []
  const names = Object.keys(attributes)
  for (const name of names) {
    const value = attributes[name]
    if (value === null || value === undefined) continue
    const message = nameFault(name) ?? valueFault(name, value)
    if (message !== undefined) faults.push({ field: name, message })
  }
  if (names.length > attributesMax) faults.push(tooManyAttributes)
  for (const name of requiredAttributes) {
    if (!Object.hasOwn(attributes, name) || attributes[name] === null || attributes[name] === undefined) {
      faults.push(missing(name))
    }
  }
  return faults
}

/** The fault of an event with more than {@link attributesMax} attributes. */
export const tooManyAttributes: Fault = { field: "", message: `has more than ${attributesMax} attributes` }

/** The fault of an attribute that had to be there. */
export function missing(name: string): Fault {
  return { field: name, message: "is required" }
}

function textFault(value: unknown): string | undefined {
  if (typeof value !== "string") return "must be a string"
  if (value === "") return "must not be empty"
  return stringFault(value)
}

/** What is wrong with a String attribute's characters, apart from its rules by name. */
export function stringFault(value: string): string | undefined {
  if (printableAscii.test(value) || !outsideStrings.test(value)) return undefined
  return "must not hold control characters, noncharacters or lone surrogates"
}

function extensionFault(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
      return stringFault(value)
    case "boolean":
      return undefined
    case "number":
      return (value | 0) === value ? undefined : "must be a whole number from -2147483648 to 2147483647"
    default:
      return "must be a string, a number, true or false"
  }
}

/** Whether the text is a media type with or without parameters (RFC 2045). */
export function isMediaType(text: string): boolean {
  return mediaType.test(text) && printableAscii.test(text)
}

const monthDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether the text is an RFC 3339 time: an existing day, with its offset; a leap second where one can be. */
export function isTimestamp(text: string): boolean {
  if (text.length < 20 || !punctuated(text)) return false
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 7)
  const day = digits(text, 8, 10)
  const hour = digits(text, 11, 13)
  const minute = digits(text, 14, 16)
  const second = digits(text, 17, 19)
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > monthDays[month - 1]!) return false
  if (month === 2 && day === 29 && !(year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0))) return false
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false
  const offset = offsetMinutes(text, afterFraction(text))
  if (Number.isNaN(offset)) return false
  return second < 60 || (hour * 60 + minute - offset + 2880) % 1440 === 1439
}

function punctuated(text: string): boolean {
  return (
    text.charCodeAt(4) === 0x2d &&
    text.charCodeAt(7) === 0x2d &&
    (text.charCodeAt(10) | 0x20) === 0x74 &&
    text.charCodeAt(13) === 0x3a &&
    text.charCodeAt(16) === 0x3a
  )
}

/** The number that the characters from `start` to `end` are; -1 where one is no digit. */
function digits(text: string, start: number, end: number): number {
  let number = 0
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (!(digit >= 0 && digit <= 9)) return -1
    number = number * 10 + digit
  }
  return number
}

/** Where the offset begins: after the seconds and their fraction; -1 where that has no digits. */
function afterFraction(text: string): number {
  if (text.charCodeAt(19) !== 0x2e) return 19
  let at = 20
  while (digits(text, at, at + 1) >= 0) at++
  return at > 20 ? at : -1
}

/** Minutes east of UTC; NaN where the rest of the text is no offset. */
function offsetMinutes(text: string, at: number): number {
  if (at < 0) return Number.NaN
  const sign = text.charCodeAt(at)
  if ((sign | 0x20) === 0x7a) return text.length === at + 1 ? 0 : Number.NaN
  if ((sign !== 0x2b && sign !== 0x2d) || text.length !== at + 6 || text.charCodeAt(at + 3) !== 0x3a) return Number.NaN
  const hours = digits(text, at + 1, at + 3)
  const minutes = digits(text, at + 4, at + 6)
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return Number.NaN
  return (sign === 0x2b ? 1 : -1) * (hours * 60 + minutes)
}
