import { isMediaType } from "./attributes.ts"

/** What a content type says about the data it names. */
export interface MediaType {
  /** As it was given. */
  readonly given: string
  readonly valid: boolean
  /** Lower case, without parameters. */
  readonly essence: string
  /** Lower case; undefined where none is named. */
  readonly charset: string | undefined
  /** The data is a JSON text: `…/json` or `…/…+json`. */
  readonly json: boolean
  /** The data is `text/…` in UTF-8. */
  readonly text: boolean
}

const charsetParameter = /;[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))/i

/** Reads a content type; total: what is no media type is answered as not `valid`. */
export function parseMediaType(text: string): MediaType {
  const semicolon = text.indexOf(";")
  const essence = (semicolon < 0 ? text : text.slice(0, semicolon)).trim().toLowerCase()
  const match = semicolon < 0 ? null : charsetParameter.exec(text)
  const charset = (match?.[1] ?? match?.[2])?.toLowerCase()
  return {
    given: text,
    valid: isMediaType(text),
    essence,
    charset,
    json: essence.endsWith("/json") || essence.endsWith("+json"),
    text: essence.startsWith("text/") && (charset === undefined || isUtf8Charset(charset)),
  }
}

/** Whether bytes in this charset are UTF-8. */
export function isUtf8Charset(charset: string): boolean {
  return charset === "utf-8" || charset === "utf8" || charset === "us-ascii"
}

/** How a request's body holds events (CloudEvents HTTP binding, section 3): by its content type alone. */
export type ContentMode =
  /** One event, its attributes in headers; or no event yet, where there are none. */
  | "binary"
  | "structured"
  | "batch"
  | "ndjson"
  /** An event format that is not spoken here. */
  | "unsupported"

/** The mode of a content type; `undefined` and the empty one are binary. */
export function contentMode(type: MediaType | undefined): ContentMode {
  if (type === undefined) return "binary"
  const essence = type.essence
  if (essence.startsWith("application/cloudevents-batch")) {
    return essence === "application/cloudevents-batch+json" && inUtf8(type) ? "batch" : "unsupported"
  }
  if (essence.startsWith("application/cloudevents")) {
    return essence === "application/cloudevents+json" && inUtf8(type) ? "structured" : "unsupported"
  }
  if (essence === "application/x-ndjson" || essence === "application/ndjson") {
    return inUtf8(type) ? "ndjson" : "unsupported"
  }
  return "binary"
}

function inUtf8(type: MediaType): boolean {
  return type.charset === undefined || isUtf8Charset(type.charset)
}
