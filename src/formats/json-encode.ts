import type { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"

/** What reading adds to an event: `redcarcursor` and `redcartime`. */
export type ReadMark = Pick<StoredEvent, "cursor" | "storedAt">

// Bytes that a JSON string cannot hold as they are.
const escaped = new Uint8Array(256).fill(1, 0, 0x20)
escaped[0x22] = 1
escaped[0x5c] = 1

const empty = Buffer.alloc(0)
const hex = "0123456789abcdef"

/**
 * Writes events in the CloudEvents JSON format, one behind the other, into one buffer that grows. Nothing is parsed:
 * attributes and JSON data are copied as they are. 0.4 us for an event of 300 B.
 */
export class EventWriter {
  readonly #bytesFirst: number
  #bytes: Buffer = empty
  #at = 0
  #markedAt = Number.NaN
  #markedTime = ""

  /** Begins with a buffer of `bytesFirst`, when there is something to write. */
  constructor(bytesFirst = 64 * 1024) {
    this.#bytesFirst = bytesFirst
  }

  /** Bytes written since the last {@link take}. */
  get length(): number {
    return this.#at
  }

  /** ASCII that stands between events. */
  text(ascii: string): void {
    this.#reserve(ascii.length)
    this.#at += this.#bytes.write(ascii, this.#at, "latin1")
  }

  /**
   * One event, exactly. With `oneLine` a newline between the tokens of JSON data becomes a space, as formats of lines
   * (NDJSON, server-sent events) need.
   */
  event(event: Event, mark?: ReadMark, oneLine = false): void {
    const attributes = event.attributesJson
    const data = event.data
    this.#reserve(attributes.length + 128 + (mark === undefined ? 0 : mark.cursor.length * 6))
    this.#put(attributes)
    // Takes the closing brace back.
    this.#at--
    if (mark !== undefined) this.#mark(mark)
    if (data !== undefined) this.#data(data, event.dataKind, oneLine)
    this.#reserve(1)
    this.#bytes[this.#at++] = 0x7d
  }

  /** One event as a line with its newline. */
  line(event: Event, mark?: ReadMark): void {
    this.event(event, mark, true)
    this.#reserve(1)
    this.#bytes[this.#at++] = 0x0a
  }

  /** What was written, which is the caller's from now on; the writer begins anew. */
  take(): Buffer {
    const written = this.#bytes.subarray(0, this.#at)
    this.#bytes = empty
    this.#at = 0
    return written
  }

  #mark(mark: ReadMark): void {
    // Events of one commit share their time.
    if (mark.storedAt !== this.#markedAt) {
      this.#markedAt = mark.storedAt
      this.#markedTime = new Date(mark.storedAt).toISOString()
    }
    this.#at += this.#bytes.write(
      `,"redcarcursor":${quoteJson(mark.cursor)},"redcartime":"${this.#markedTime}"`,
      this.#at,
    )
  }

  #data(data: Uint8Array, kind: Event["dataKind"], oneLine: boolean): void {
    switch (kind) {
      case "json":
        this.text(',"data":')
        this.#reserve(data.length)
        if (oneLine) this.#putLine(data)
        else this.#put(data)
        return
      case "text":
        this.text(',"data":"')
        this.#putEscaped(data)
        this.text('"')
        return
      case "binary":
        this.text(',"data_base64":"')
        this.text(Buffer.from(data.buffer, data.byteOffset, data.length).toString("base64"))
        this.text('"')
        return
      case "none":
    }
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #putLine(json: Uint8Array): void {
    const start = this.#at
    this.#put(json)
    // Inside a JSON text a raw newline can only be whitespace between tokens.
    const bytes = this.#bytes
    for (let at = start; at < this.#at; at++) {
      const byte = bytes[at]
      if (byte === 0x0a || byte === 0x0d) bytes[at] = 0x20
    }
  }

  #putEscaped(text: Uint8Array): void {
    let plain = 0
    while (plain < text.length && escaped[text[plain]!] === 0) plain++
    if (plain === text.length) {
      this.#reserve(text.length)
      this.#put(text)
      return
    }
    this.#reserve(text.length * 6)
    const bytes = this.#bytes
    let to = this.#at
    for (let i = 0; i < text.length; i++) {
      const byte = text[i]!
      if (escaped[byte] === 0) bytes[to++] = byte
      else to = writeEscape(bytes, to, byte)
    }
    this.#at = to
  }

  #reserve(length: number): void {
    const needed = this.#at + length
    if (needed <= this.#bytes.length) return
    const more = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2, this.#bytesFirst))
    if (this.#at > 0) more.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = more
  }
}

/** An event in the JSON format, alone. */
export function encodeEvent(event: Event, mark?: ReadMark): Buffer {
  const writer = new EventWriter(event.attributesJson.length + (event.data?.length ?? 0) + 192)
  writer.event(event, mark)
  return writer.take()
}

/** Bytes of an event in the JSON format, at most. */
export function jsonBytes(event: Event): number {
  const { data, dataKind } = event
  const rest = event.attributesJson.length + ',"data_base64":""'.length
  if (data === undefined) return rest
  if (dataKind === "binary") return rest + Math.ceil(data.length / 3) * 4
  if (dataKind === "json") return rest + data.length
  let bytes = rest + data.length
  for (const byte of data) if (escaped[byte] !== 0) bytes += 5
  return bytes
}

/** A text as a JSON string, as JSON.stringify makes it; faster where nothing needs an escape. */
export function quoteJson(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return JSON.stringify(text)
  }
  return `"${text}"`
}

function writeEscape(bytes: Uint8Array, at: number, byte: number): number {
  let to = at
  bytes[to++] = 0x5c
  if (byte === 0x22 || byte === 0x5c) bytes[to++] = byte
  else if (byte === 0x0a) bytes[to++] = 0x6e
  else {
    bytes[to++] = 0x75
    bytes[to++] = 0x30
    bytes[to++] = 0x30
    bytes[to++] = hex.charCodeAt(byte >> 4)
    bytes[to++] = hex.charCodeAt(byte & 15)
  }
  return to
}
