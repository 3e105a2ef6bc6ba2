import { Event } from "../../../core/event.ts"
import type { RawContent } from "../../../core/inbox.ts"
import { BinaryDecoder, isAttributeHeader } from "../../../formats/http-binding.ts"
import type { InvalidEvent } from "../../../formats/invalid-event.ts"
import { JsonDecoder } from "../../../formats/json-decode.ts"
import { contentMode, type MediaType, parseMediaType } from "../../../formats/media-type.ts"
import { percentDecode } from "../../../formats/percent.ts"
import { asciiOf } from "./raw-message.ts"

const typeAttribute = "ce-datacontenttype"
const nothing: readonly (readonly [string, string])[] = []

/** Names and values of a message's headers, in order; the server's own left out. */
export function headersOf(header: Uint8Array | undefined): readonly (readonly [string, string])[] {
  if (header === undefined) return nothing
  return asciiOf(header)
    .split("\r\n")
    .slice(1)
    .flatMap((line) => {
      const colon = line.indexOf(":")
      if (colon <= 0 || line.startsWith("Nats-")) return []
      return [[line.slice(0, colon), line.slice(colon + 1).trim()] as const]
    })
}

/**
 * Reads what anybody published as the CloudEvents NATS binding says: structured where the Content-Type is that of an event,
 * binary where an attribute is in the headers, no event otherwise.
 */
export class InboxDecoder {
  readonly #json = new JsonDecoder()
  readonly #binary = new BinaryDecoder()

  decode(headers: readonly (readonly [string, string])[], data: Uint8Array): Event | RawContent {
    const body = Buffer.from(data.buffer, data.byteOffset, data.length)
    const given = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1]
    const type = given === undefined ? undefined : parseMediaType(given)
    switch (contentMode(type)) {
      case "structured":
        return this.#checked(this.#json.decode(body), data, given)
      case "batch":
      case "unsupported":
        return raw(data, given, [
          `the Content-Type ${given} is none that is taken here: one event in JSON, or binary mode`,
        ])
      default:
        return headers.some(([name]) => isAttributeHeader(name))
          ? this.#attributed(headers, type, body)
          : raw(data, given)
    }
  }

  /** Here, unlike in HTTP, the data's content type is an attribute like any other; a Content-Type beside it says less. */
  #attributed(
    headers: readonly (readonly [string, string])[],
    type: MediaType | undefined,
    body: Buffer,
  ): Event | RawContent {
    const own = headers.find(([name]) => name.toLowerCase() === typeAttribute)?.[1]
    const others = headers.filter(([name]) => name.toLowerCase() !== typeAttribute)
    const dataType = own === undefined ? type : parseMediaType(percentDecode(own) ?? own)
    return this.#checked(this.#binary.decode(others.flat(), dataType, body), body, dataType?.given)
  }

  #checked(event: Event | InvalidEvent, data: Uint8Array, contentType: string | undefined): Event | RawContent {
    if (event instanceof Event) return event
    const { detail, faults } = event
    return raw(data, contentType, [
      detail,
      ...(faults.length > 1 ? faults.map(({ field, message }) => `${field} ${message}`) : []),
    ])
  }
}

function raw(data: Uint8Array, contentType: string | undefined, faults?: readonly string[]): RawContent {
  return { data, ...(contentType !== undefined && { contentType }), ...(faults && { faults }) }
}
