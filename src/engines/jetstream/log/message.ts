import { crc32 } from "node:zlib"
import { type AttributeValue, type DataKind, Event } from "../../../core/event.ts"
import { JsonDecoder } from "../../../formats/json-decode.ts"
import { encodeEvent } from "../../../formats/json-encode.ts"
import { parseMediaType } from "../../../formats/media-type.ts"
import { Memo } from "../../../formats/memo.ts"
import { percentDecode, percentEncode } from "../../../formats/percent.ts"

/*
 * An event as a NATS message (CloudEvents NATS binding, binary mode). Its headers, in this order:
 *
 *   ce-<attribute>    each attribute, datacontenttype too, percent-coded as in the HTTP binding
 *   redcar-types      only where the headers alone would read back otherwise: `n=i,on=b,data=text` says that attribute n is
 *                     an integer, that `on` is a boolean, and how the data reads in JSON
 *   redcar-key        only on the hub's own topics: the address's key
 *   redcar-stored-at  only on copies: when the event was stored first, Unix milliseconds
 *   redcar-void       numbers of this writer's that it does not claim to be stored: `7-9 12`
 *   redcar-crc        CRC32, eight hexadecimal digits, of the stored subject, of the bytes of all headers above with
 *                     their line ends, and of the payload
 *   redcar-writer     `<writer>.<number>`: the writer's messages in this partition are numbered from 1
 *   Nats-…            the server's
 *
 * Headers take 64 KiB at most. An event that needs more is stored in structured mode instead: `Content-Type:
 * application/cloudevents+json` stands in the place of the ce- headers, and the payload is the event in the JSON format.
 */

const head = "NATS/1.0\r\n"
const crcName = "redcar-crc"
const structuredHeader = "Content-Type: application/cloudevents+json\r\n"
const attributeBytesMax = 56 << 10

/** A message's headers as bytes, in the shape that the client's publish takes. */
export interface EncodedMessage {
  readonly header: Uint8Array
  readonly payload: Uint8Array
}

export interface MessageFields {
  /** CRC32 of the subject as it is stored. */
  readonly subjectCrc: number
  /** The key, where it is not in the subject. */
  readonly key: string | undefined
  readonly storedAt: number | undefined
  readonly voids: string | undefined
  readonly writer: string
  readonly number: number
  /** Whole lines for the server, with their ends. */
  readonly serverLines: string
}

const empty = new Uint8Array()
const contentTypes = new Memo((type) => {
  const { json, text } = parseMediaType(type)
  return json ? "json" : text ? "text" : "binary"
})

/** An event as it is published. */
export function encodeMessage(event: Event, fields: MessageFields): EncodedMessage {
  let lines = attributeLines(event)
  let payload = event.data ?? empty
  if (lines.length > attributeBytesMax) {
    lines = structuredHeader
    payload = encodeEvent(event)
  }
  if (fields.key !== undefined) lines += `redcar-key: ${percentEncode(fields.key)}\r\n`
  if (fields.storedAt !== undefined) lines += `redcar-stored-at: ${fields.storedAt}\r\n`
  if (fields.voids !== undefined) lines += `redcar-void: ${fields.voids}\r\n`
  const crc = crc32(payload, crc32(lines, fields.subjectCrc))
  const text = `${head}${lines}${crcName}: ${hex(crc)}\r\nredcar-writer: ${fields.writer}.${fields.number}\r\n${fields.serverLines}\r\n`
  return { header: Buffer.from(text, "latin1"), payload }
}

function attributeLines(event: Event): string {
  const { attributes, data, dataKind } = event
  let lines = ""
  let types = ""
  for (const name of Object.keys(attributes)) {
    const value = attributes[name]!
    if (typeof value === "string") lines += `ce-${name}: ${percentEncode(value)}\r\n`
    else {
      lines += `ce-${name}: ${value}\r\n`
      types += `${types === "" ? "" : ","}${name}=${typeof value === "number" ? "i" : "b"}`
    }
  }
  if (dataKind !== kindOf(attributes.datacontenttype, data?.length ?? 0)) {
    types += `${types === "" ? "" : ","}data=${dataKind}`
  }
  return types === "" ? lines : `${lines}redcar-types: ${types}\r\n`
}

/** How data of this content type reads in JSON where nothing says otherwise. */
function kindOf(contentType: AttributeValue | undefined, length: number): DataKind {
  if (length === 0) return "none"
  return typeof contentType === "string" ? contentTypes.of(contentType) : "json"
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0")
}

/** What a stored message's headers and payload say. */
export interface DecodedMessage {
  readonly event: Event
  readonly key: string | undefined
  /** When a copy was stored first. */
  readonly storedAt: number | undefined
}

/** A message that is no event of the log, or no longer. */
export class DamagedMessage {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** Reads stored messages; total: what does not check is answered as damaged. */
export class MessageDecoder {
  readonly #json = new JsonDecoder("stored")

  /** `subjectCrc` is that of the subject as it is stored. */
  decode(header: Uint8Array, payload: Uint8Array, subjectCrc: number): DecodedMessage | DamagedMessage {
    const text = Buffer.from(header.buffer, header.byteOffset, header.length).toString("latin1")
    const start = text.indexOf("\r\n") + 2
    const crcAt = text.indexOf(`\r\n${crcName}: `, start - 2)
    if (crcAt < 0) return new DamagedMessage("no CRC")
    const lines = text.slice(start, crcAt + 2)
    const crc = text.slice(crcAt + crcName.length + 4, crcAt + crcName.length + 12)
    if (hex(crc32(payload, crc32(lines, subjectCrc))) !== crc) return new DamagedMessage("the CRC does not fit")
    return this.#read(lines, payload)
  }

  #read(lines: string, payload: Uint8Array): DecodedMessage | DamagedMessage {
    const attributes: Record<string, AttributeValue> = {}
    let types = ""
    let key: string | undefined
    let storedAt: number | undefined
    let structured = false
    for (let at = 0; at < lines.length; ) {
      const end = lines.indexOf("\r\n", at)
      const colon = lines.indexOf(": ", at)
      const value = lines.slice(colon + 2, end)
      // What starts so is an attribute: c, e, -.
      if (lines.charCodeAt(at) === 0x63 && lines.charCodeAt(at + 2) === 0x2d) {
        attributes[lines.slice(at + 3, colon)] = plain(value)
      } else {
        const name = lines.slice(at, colon)
        if (name === "redcar-types") types = value
        else if (name === "redcar-key") key = plain(value)
        else if (name === "redcar-stored-at") storedAt = Number(value)
        else if (name === "Content-Type") structured = true
      }
      at = end + 2
    }
    const event = structured ? this.#structured(payload) : binaryEvent(attributes, types, payload)
    return event instanceof Event ? { event, key, storedAt } : event
  }

  #structured(payload: Uint8Array): Event | DamagedMessage {
    const event = this.#json.decode(Buffer.from(payload.buffer, payload.byteOffset, payload.length))
    return event instanceof Event ? event : new DamagedMessage(event.detail)
  }
}

/** The CRC was right: what cannot be read was never written. */
function plain(value: string): string {
  return value.includes("%") ? (percentDecode(value) ?? value) : value
}

function binaryEvent(attributes: Record<string, AttributeValue>, types: string, payload: Uint8Array): Event {
  let kind = kindOf(attributes.datacontenttype, payload.length)
  if (types !== "") {
    for (const entry of types.split(",")) {
      const [name, type] = entry.split("=") as [string, string]
      if (name === "data") kind = type as DataKind
      else attributes[name] = type === "i" ? Number(attributes[name]) : attributes[name] === "true"
    }
  }
  return Event.of(attributes, kind === "none" ? undefined : payload, kind)
}
