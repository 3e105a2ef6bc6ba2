import type { DataKind } from "../core/event.ts"
import type { Fault, Rules } from "./attributes.ts"
import { decodeBase64 } from "./base64.ts"
import { JsonScanner, jsonBits, jsonDepthMax, jsonKind } from "./json-scan.ts"

/** An event's data and how it reads in JSON. */
export interface Payload {
  readonly data: Uint8Array | undefined
  readonly kind: DataKind
}

const surrogate = /\p{Cs}/u
const nothing: Payload = { data: undefined, kind: "none" }
const both: Fault = { field: "data_base64", message: "must not stand beside data" }
const notBase64: Fault = { field: "data_base64", message: "must be a string in base64, padded" }
const notText: Fault = {
  field: "data",
  message: "must be a string, for datacontenttype is no JSON type; send another datacontenttype, or data_base64",
}
const tooDeep: Fault = {
  field: "data",
  message: `is nested deeper than ${jsonDepthMax} levels; nest it less, or send it under a type that is not JSON`,
}
const loneSurrogate: Fault = { field: "data", message: "holds a lone surrogate, which no text can" }

/** Where `data` and `data_base64` stand among the members that a scan found; -1 for absent. */
export interface DataPlaces {
  readonly data: number
  readonly base64: number
}

/** What an event's content type says of its data; `absent`: it has none, which in the JSON format means JSON. */
export type DeclaredType = "json" | "other" | "absent"

/**
 * The data of a structured event (CloudEvents JSON format, section 3.1.2). Where its type is JSON or absent, `data` is the
 * JSON text itself; otherwise it is text. `data_base64` holds bytes, which are JSON where the type says so and they are. The
 * bytes of a JSON text, or of a text without escapes, are not copied.
 */
export function payloadOf(
  bytes: Buffer,
  members: Int32Array,
  places: DataPlaces,
  type: DeclaredType,
  rules: Rules,
): Payload | Fault {
  if (places.base64 >= 0) {
    const bits = members[places.base64 * 5 + 4]!
    if ((bits & jsonBits.kind) !== jsonKind.null) {
      return places.data >= 0 ? both : fromBase64(bytes, members, places.base64 * 5, type, rules)
    }
  }
  if (places.data < 0) return nothing
  const at = places.data * 5
  const start = members[at + 2]!
  const end = members[at + 3]!
  const bits = members[at + 4]!
  const isText = (bits & jsonBits.kind) === jsonKind.string
  if (type !== "other" || (!isText && rules === "stored")) return { data: bytes.subarray(start, end), kind: "json" }
  if (!isText) return notText
  if ((bits & jsonBits.valueEscaped) === 0) return { data: bytes.subarray(start + 1, end - 1), kind: "text" }
  const text = JSON.parse(bytes.toString("utf8", start, end)) as string
  return surrogate.test(text) ? loneSurrogate : { data: Buffer.from(text), kind: "text" }
}

function fromBase64(bytes: Buffer, members: Int32Array, at: number, type: DeclaredType, rules: Rules): Payload | Fault {
  const decoded = binary(bytes, members, at, members[at + 4]!)
  if (type !== "json" || rules === "stored" || "message" in decoded) return decoded
  const kind = jsonKindOf(decoded.data!)
  return typeof kind === "string" ? { data: decoded.data, kind } : { field: "data_base64", message: kind.message }
}

const scanner = new JsonScanner()

/** How bytes that are declared to be JSON read: as what they are. */
export function jsonKindOf(data: Uint8Array): "json" | "binary" | Fault {
  if (scanner.scanText(data, 0, data.length) >= 0) return "json"
  return scanner.tooDeep ? tooDeep : "binary"
}

function binary(bytes: Buffer, members: Int32Array, at: number, bits: number): Payload | Fault {
  if ((bits & jsonBits.kind) !== jsonKind.string || (bits & jsonBits.valueOdd) !== 0) return notBase64
  const start = members[at + 2]!
  const end = members[at + 3]!
  const text =
    (bits & jsonBits.valueEscaped) === 0
      ? bytes.toString("latin1", start + 1, end - 1)
      : (JSON.parse(bytes.toString("latin1", start, end)) as string)
  const data = decodeBase64(text)
  return data === undefined ? notBase64 : { data, kind: "binary" }
}
