import { expect, test } from "vitest"
import { Event } from "../../core/event.ts"
import { dispatch } from "../conformance.ts"
import { createSigner } from "../signing.ts"
import type { WebhookConfig } from "./config.ts"
import { createEncode } from "./encode.ts"

const trace = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "a=1,b=2",
  baggage: "user=alice",
}
const attributes = { specversion: "1.0", id: "1", source: "/shop", type: "t" }

/** The values that a request has under each name. */
function headersOf(event: Event, config: Partial<WebhookConfig> = {}): Record<string, string[]> {
  const encoded = createEncode({ url: "http://127.0.0.1/", ...config }, createSigner([]))(dispatch(event))
  if ("refused" in encoded) throw new Error(encoded.refused)
  const { headers } = encoded
  const values: Record<string, string[]> = {}
  for (let i = 0; i < headers.length; i += 2) values[headers[i]!] = [...(values[headers[i]!] ?? []), headers[i + 1]!]
  return values
}

test.each(["binary", "structured"] as const)("the event's trace is sent as HTTP headers (%s)", (mode) => {
  const { traceparent, tracestate, baggage } = trace
  expect(headersOf(Event.of({ ...attributes, ...trace }), { mode })).toMatchObject({
    traceparent: [traceparent],
    tracestate: [tracestate],
    baggage: [baggage],
  })
})

test("the destination's own headers win", () => {
  const headers = headersOf(Event.of({ ...attributes, ...trace }), { headers: { Baggage: "own=1" } })
  expect(headers).toMatchObject({ traceparent: [trace.traceparent], baggage: ["own=1"] })
})

test("an event without a trace, or with what no header may hold, sends none", () => {
  for (const more of [{}, { traceparent: "größe", tracestate: "a=1", baggage: "ü" }]) {
    const headers = headersOf(Event.of({ ...attributes, ...more }))
    expect(["traceparent", "tracestate", "baggage"].filter((name) => name in headers)).toEqual([])
  }
})
