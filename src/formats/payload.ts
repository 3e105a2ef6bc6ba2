import type { DataKind } from "../core/event.ts"
import type { Fault } from "./attributes.ts"
import { decodeBase64 } from "./base64.ts"
import { jsonBits, jsonKind } from "./json-scan.ts"

/** An event's data and how it reads in JSON. */
export interface Payload {
  readonly data: Uint8Array | undefined
  readonly kind: DataKind
}

const surrogate = /\p{Cs}/u
const nothing: Payload = { data: undefined, kind: "none" }
const both: Fault = { field: "data_base64", message: "must not stand beside data" }
const notBase64: Fault = { field: "data_base64", message: "must be a string in base64, padded" }
const loneSurrogate: Fault = { field: "data", message: "holds a lone surrogate, which no text can" }

/** Where `data` and `data_base64` stand among the members that a scan found; -1 for absent. */
export interface DataPlaces {
  readonly data: number
  readonly base64: number
}

/**
 * The data of a structured event. `json`: its datacontenttype is a JSON one or absent, so that `data` is the JSON text
 * itself; otherwise a string is text. The bytes of a JSON text, or of a text without escapes, are not copied.
 */
export function payloadOf(bytes: Buffer, members: Int32Array, places: DataPlaces, json: boolean): Payload | Fault {
  if (places.base64 >= 0) {
    const bits = members[places.base64 * 5 + 4]!
    if ((bits & jsonBits.kind) !== jsonKind.null) {
      return places.data >= 0 ? both : binary(bytes, members, places.base64 * 5, bits)
    }
  }
  if (places.data < 0) return nothing
  const at = places.data * 5
  const start = members[at + 2]!
  const end = members[at + 3]!
  const bits = members[at + 4]!
  if (json || (bits & jsonBits.kind) !== jsonKind.string) return { data: bytes.subarray(start, end), kind: "json" }
  if ((bits & jsonBits.valueEscaped) === 0) return { data: bytes.subarray(start + 1, end - 1), kind: "text" }
  const text = JSON.parse(bytes.toString("utf8", start, end)) as string
  return surrogate.test(text) ? loneSurrogate : { data: Buffer.from(text), kind: "text" }
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
