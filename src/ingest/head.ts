import { isAttributeHeader } from "../formats/http-binding.ts"
import { readTraceContext, type TraceContext } from "../formats/trace-context.ts"

/** The headers of a request that publishing looks at. */
export interface Head {
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  /** NaN where none is said: the body comes in chunks, or there is none. */
  readonly contentLength: number
  readonly contentEncoding: string | undefined
  readonly expectedLast: string | undefined
  /** The sender waits to be told that it may send its body. */
  readonly asksFirst: boolean
  /** There is at least one `ce-…`. */
  readonly attributes: boolean
  readonly idempotencyKey: string | undefined
  readonly trace: TraceContext | undefined
}

const lists = ["baggage", "tracestate", "traceparent"] as const
const once = [
  "authorization",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "idempotency-key",
  "redcar-expected-last",
] as const

type Name = (typeof lists | typeof once)[number]

// By length first: nearly no other header gets further.
const byLength: readonly (readonly Name[])[] = Array.from({ length: 21 }, (_, length) =>
  [...lists, ...once].filter((name) => name.length === length),
)

/**
 * Reads the raw headers once, without making an object of all of them. Of a repeated header the first counts; those of a
 * trace are lists.
 */
export function readHead(rawHeaders: readonly string[]): Head {
  const found: Partial<Record<Name, string>> = {}
  let attributes = false
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const header = rawHeaders[i]!
    const name = nameOf(header)
    if (name === undefined) attributes ||= isAttributeHeader(header)
    else if (found[name] === undefined) found[name] = rawHeaders[i + 1]!
    else if ((lists as readonly Name[]).includes(name)) found[name] += `,${rawHeaders[i + 1]!}`
  }
  const length = found["content-length"]
  return {
    authorization: found.authorization,
    contentType: found["content-type"] || undefined,
    contentLength: length === undefined ? Number.NaN : Number(length),
    contentEncoding: found["content-encoding"],
    expectedLast: found["redcar-expected-last"],
    asksFirst: found.expect?.toLowerCase() === "100-continue",
    attributes,
    idempotencyKey: found["idempotency-key"],
    trace: readTraceContext(found),
  }
}

function nameOf(header: string): Name | undefined {
  const names = byLength[header.length]
  if (names === undefined) return undefined
  for (const name of names) if (header === name || header.toLowerCase() === name) return name
  return undefined
}
