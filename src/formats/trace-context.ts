import { Event } from "../core/event.ts"
import { attributesMax } from "./attributes.ts"
import { quoteJson } from "./json-encode.ts"

/**
 * The trace that a request is part of (W3C Trace Context and Baggage): as headers of HTTP, and as extension attributes of
 * the same names. `tracestate` is nothing without `traceparent`.
 */
export interface TraceContext {
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
  readonly baggage: string | undefined
}

const names = ["traceparent", "tracestate", "baggage"] as const

/** What the W3C's recommendations ask everybody to pass on; more than that is left out. */
const tracestateMax = 512
const baggageMax = 8_192

const parent = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-[\x20-\x7e]{0,200})?$/
const printable = /^[\x20-\x7e]+$/

/** The context of these headers' values; what is not valid is as if it were not there. Undefined: there is none. */
export function readTraceContext(headers: Readonly<Partial<Record<string, string>>>): TraceContext | undefined {
  const traceparent = headers.traceparent !== undefined && parent.test(headers.traceparent)
  const tracestate = traceparent && isText(headers.tracestate, tracestateMax)
  const baggage = isText(headers.baggage, baggageMax)
  if (!traceparent && !baggage) return undefined
  return {
    traceparent: traceparent ? headers.traceparent : undefined,
    tracestate: tracestate ? headers.tracestate : undefined,
    baggage: baggage ? headers.baggage : undefined,
  }
}

/**
 * The event with the context as extension attributes, where it has none of its own: a trace of its own is left whole.
 * What would make the event larger than `eventBytesMax` is left out.
 */
export function withTraceContext(event: Event, context: TraceContext, eventBytesMax: number): Event {
  const { traceparent, tracestate, baggage } = context
  const json = event.attributesJson
  let more = ""
  if (traceparent !== undefined && !has(event, "traceparent")) {
    more += member("traceparent", traceparent)
    if (tracestate !== undefined && !has(event, "tracestate")) more += member("tracestate", tracestate)
  }
  if (baggage !== undefined && !has(event, "baggage")) more += member("baggage", baggage)
  const size = json.length + (event.data?.length ?? 0)
  if (more === "" || size + more.length > eventBytesMax || isCrowded(event)) return event
  const attributes = Buffer.concat([json.subarray(0, -1), Buffer.from(`${more}}`)])
  const { id, source } = event
  return Event.fromJson(attributes, event.data, event.dataKind, { id, source })
}

/** The context that an event carries, as headers: name, value, name, value …; what no header may hold is left out. */
export function traceHeaders(event: Event): readonly string[] {
  const held = names.filter((name) => has(event, name)).map((name) => [name, String(event.attribute(name))] as const)
  const context = readTraceContext(Object.fromEntries(held))
  if (context === undefined) return []
  return names.flatMap((name) => (context[name] === undefined ? [] : [name, context[name]]))
}

function isText(value: string | undefined, max: number): boolean {
  return value !== undefined && value.length <= max && printable.test(value)
}

/** Most events have none of these, and are not parsed to learn it. */
function has(event: Event, name: string): boolean {
  const { buffer, byteOffset, byteLength } = event.attributesJson
  return Buffer.from(buffer, byteOffset, byteLength).includes(`"${name}"`) && event.attribute(name) !== undefined
}

function isCrowded(event: Event): boolean {
  const bytesMin = '"a":1,'.length
  const room = attributesMax - names.length
  return event.attributesJson.length > room * bytesMin && Object.keys(event.attributes).length > room
}

function member(name: string, value: string): string {
  return `,"${name}":${quoteJson(value)}`
}
