import { randomUUID } from "node:crypto"
import { parseDuration } from "../../config/quantities.ts"
import { UsageError } from "../failures.ts"
import { isJson } from "../input.ts"

/** What flags say about an event. */
export interface EventOptions {
  readonly id?: string
  readonly type?: string
  readonly source?: string
  readonly subject?: string
  readonly time?: string
  readonly contentType?: string
  readonly dataschema?: string
  /** RFC 3339. */
  readonly deliverAt?: string
  /** From now, as it was written: `10m`. */
  readonly delay?: string
  readonly extension?: Readonly<Record<string, string>>
}

/** A request body and what it is. */
export interface Composed {
  readonly contentType: string
  readonly body: Uint8Array
}

/** The flags that only an event with a type can have. */
const attributeFlags = ["id", "source", "subject", "time", "dataschema", "deliverAt", "delay", "extension"] as const

/** The source of events that say none. */
export const defaultSource = "/redcar/cli"

/**
 * One event from flags and data. With a type it is a structured CloudEvent whose data stands in it as it was given;
 * without, the data goes as it is, and the hub makes an event of it as the topic says.
 */
export function composeEvent(options: EventOptions, data: Uint8Array | undefined): Composed {
  const { contentType } = options
  if (options.type !== undefined)
    return { contentType: "application/cloudevents+json", body: structured(options, data) }
  const said = attributeFlags.filter((name) => options[name] !== undefined)
  if (said.length > 0)
    throw new UsageError(`--${said[0] === "deliverAt" ? "deliver-at" : said[0]} needs a --type`, [
      "An event has a type: --type order.created",
    ])
  if (data === undefined) {
    throw new UsageError("nothing to publish", ["Give data, --type, --file <path>, or `-` to read standard input."])
  }
  return { contentType: contentType ?? guessedType(data), body: data }
}

/** Makes an event around each JSON value that is not one yet. */
export function wrapLine(options: EventOptions, json: Uint8Array): Uint8Array {
  return isEvent(json) ? json : structured({ ...options, contentType: "application/json" }, json)
}

function isEvent(json: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(json).toString("utf8"))
    // What is no object cannot be an event, and is data.
    return typeof value === "object" && value !== null && "specversion" in value
  } catch {
    // The hub says what is wrong with it, and on which line.
    return true
  }
}

function structured(options: EventOptions, data: Uint8Array | undefined): Uint8Array {
  const contentType = data === undefined ? options.contentType : (options.contentType ?? guessedType(data))
  const attributes = {
    specversion: "1.0",
    id: options.id ?? randomUUID(),
    source: options.source ?? defaultSource,
    type: options.type,
    subject: options.subject,
    time: options.time,
    datacontenttype: contentType,
    dataschema: options.dataschema,
    deliverat: deliverAtOf(options),
    ...options.extension,
  }
  const head = JSON.stringify(attributes)
  if (data === undefined) return Buffer.from(head)
  const [before, after] = dataMember(contentType!, data)
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},${before}`), after, Buffer.from("}")])
}

function deliverAtOf({ deliverAt, delay }: EventOptions): string | undefined {
  if (delay === undefined) return deliverAt
  if (deliverAt !== undefined) throw new UsageError("--deliver-at and --delay at once", ["Give one of the two."])
  return new Date(Date.now() + Number(parseDuration(delay))).toISOString()
}

function dataMember(contentType: string, data: Uint8Array): readonly [string, Uint8Array] {
  const type = contentType.split(";")[0]!.trim().toLowerCase()
  if (type === "application/json" || type === "text/json" || type.endsWith("+json")) {
    if (!isJson(data))
      throw new UsageError(`the data is not JSON, but its content type is ${contentType}`, [
        "Give the right --content-type.",
      ])
    return ['"data":', data]
  }
  const text = utf8(data)
  if (type.startsWith("text/") && text !== undefined) return ['"data":', Buffer.from(JSON.stringify(text))]
  return ['"data_base64":', Buffer.from(JSON.stringify(Buffer.from(data).toString("base64")))]
}

function guessedType(data: Uint8Array): string {
  if (isJson(data)) return "application/json"
  return utf8(data) === undefined ? "application/octet-stream" : "text/plain"
}

function utf8(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return undefined
  }
}
