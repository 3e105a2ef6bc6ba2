import { isUtf8 } from "node:buffer"
import { type DataKind, Event } from "../core/event.ts"
import {
  attributesMax,
  type Fault,
  hubAttributes,
  missing,
  nameFault,
  requiredAttributes,
  tooManyAttributes,
  valueFault,
} from "./attributes.ts"
import { InvalidEvent } from "./invalid-event.ts"
import { quoteJson } from "./json-encode.ts"
import type { MediaType } from "./media-type.ts"
import { Memo } from "./memo.ts"
import { jsonKindOf } from "./payload.ts"
import { percentDecode, percentEncode } from "./percent.ts"
import { isUriReference } from "./uri.ts"

/** Whether a header carries an attribute: `ce-…`. */
export function isAttributeHeader(name: string): boolean {
  return (
    name.length >= 3 &&
    (name.charCodeAt(0) | 0x20) === 0x63 &&
    (name.charCodeAt(1) | 0x20) === 0x65 &&
    name.charCodeAt(2) === 0x2d
  )
}

/** What the headers of a request come to. */
interface Reading {
  readonly names: string[]
  readonly faults: Fault[]
  /** The attributes as JSON, without the closing brace. */
  json: string
  id: string
  source: string
}

/**
 * Decodes the binary mode of the CloudEvents HTTP binding: attributes from `ce-…` headers, all of them strings, the body
 * as data. The body is kept, not copied. Remembers sources that it has seen.
 */
export class BinaryDecoder {
  readonly #sources = new Memo(isUriReference)

  /** `rawHeaders` as node:http gives them: name, value, name, value …; `type` is their content type, where one is. */
  decode(rawHeaders: readonly string[], type: MediaType | undefined, body: Buffer): Event | InvalidEvent {
    const reading: Reading = { names: [], faults: [], json: "", id: "", source: "" }
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const header = rawHeaders[i]!
      if (isAttributeHeader(header)) this.#read(header.slice(3).toLowerCase(), rawHeaders[i + 1]!, reading)
    }
    if (type !== undefined) {
      if (type.valid) add(reading, "datacontenttype", type.given)
      else reading.faults.push({ field: "datacontenttype", message: "must be a media type, like application/json" })
    }
    const { faults, names } = reading
    for (const name of requiredAttributes) if (!names.includes(name)) faults.push(missing(name))
    const kind = this.kindOf(type, body)
    if (typeof kind !== "string") faults.push(kind)
    if (faults.length > 0 || typeof kind !== "string") return InvalidEvent.of(faults, reading.id)
    const attributes = Buffer.from(`${reading.json}}`)
    const { id, source } = reading
    return Event.fromJson(attributes, kind === "none" ? undefined : body, kind, { id, source })
  }

  /** How data of this content type reads in JSON; a fault where it is JSON that no event may hold. */
  kindOf(type: MediaType | undefined, data: Buffer): DataKind | Fault {
    if (data.length === 0) return "none"
    if (type?.json) return jsonKindOf(data)
    return type?.text && isUtf8(data) ? "text" : "binary"
  }

  #read(name: string, raw: string, reading: Reading): void {
    if (hubAttributes.includes(name)) return
    const { names, faults } = reading
    if (names.includes(name)) {
      faults.push({ field: name, message: "is there more than once" })
      return
    }
    if (names.length === attributesMax) {
      if (!faults.includes(tooManyAttributes)) faults.push(tooManyAttributes)
      return
    }
    names.push(name)
    const value = percentDecode(raw)
    const message = value === undefined ? notPercentCoded : this.#fault(name, value)
    if (message !== undefined) faults.push({ field: name, message })
    else if (value !== undefined) add(reading, name, value)
  }

  #fault(name: string, value: string): string | undefined {
    if (name === "datacontenttype") return "is the Content-Type header in binary mode"
    if (name === "source" && value !== "" && this.#sources.of(value)) return undefined
    return nameFault(name) ?? valueFault(name, value)
  }
}

const notPercentCoded = "must be ASCII, everything else as the percent-coded bytes of its UTF-8"

function add(reading: Reading, name: string, value: string): void {
  reading.json += `${reading.json === "" ? "{" : ","}"${name}":${quoteJson(value)}`
  if (name === "id") reading.id = value
  else if (name === "source") reading.source = value
}

/** An event as an HTTP message in binary mode. */
export interface BinaryMessage {
  /** Name, value, name, value …; names in lower case. */
  readonly headers: readonly string[]
  readonly body: Uint8Array | undefined
}

/** Encodes the binary mode: attributes as percent-coded headers, data as it is. */
export function encodeBinary(event: Event): BinaryMessage {
  const headers: string[] = []
  const attributes = event.attributes
  for (const name of Object.keys(attributes)) {
    const value = attributes[name]!
    if (name === "datacontenttype") headers.push("content-type", value as string)
    else headers.push(`ce-${name}`, typeof value === "string" ? percentEncode(value) : String(value))
  }
  // In the JSON format no content type means JSON; here it would mean nothing.
  if (event.dataKind === "json" && attributes.datacontenttype === undefined)
    headers.push("content-type", "application/json")
  return { headers, body: event.data }
}
