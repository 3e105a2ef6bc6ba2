import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import { attributesMax } from "./attributes.ts"
import { readTraceContext, traceHeaders, withTraceContext } from "./trace-context.ts"

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
const tracestate = "vendor=1,other=2"
const baggage = 'user=alice,quoted="a"'
const event = { specversion: "1.0", id: "1", source: "/a", type: "t" }
const encoded = (attributes: object) => Event.fromJson(Buffer.from(JSON.stringify(attributes)), undefined, "none")

test("valid headers are a context", () => {
  expect(readTraceContext({ traceparent, tracestate, baggage })).toEqual({ traceparent, tracestate, baggage })
  expect(readTraceContext({ baggage })).toEqual({ baggage })
  expect(readTraceContext({})).toBeUndefined()
})

test.each([
  "",
  "00",
  traceparent.toUpperCase(),
  traceparent.replace("00-", "ff-"),
  "00-00000000000000000000000000000000-b7ad6b7169203331-01",
  "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
  `${traceparent},${traceparent}`,
  `${traceparent}x`,
])("a traceparent that is none (%j) is left out, and its tracestate with it", (wrong) => {
  expect(readTraceContext({ traceparent: wrong, tracestate })).toBeUndefined()
  expect(readTraceContext({ traceparent: wrong, tracestate, baggage })).toEqual({ baggage })
})

test("what is too long or no header's text is left out", () => {
  expect(readTraceContext({ traceparent, tracestate: "x".repeat(513), baggage: "x".repeat(8_193) })).toEqual({
    traceparent,
  })
  expect(readTraceContext({ traceparent, tracestate: "größe", baggage: "a\u0000" })).toEqual({ traceparent })
})

test("an event takes what it has none of", () => {
  const context = readTraceContext({ traceparent, tracestate, baggage })!
  const traced = withTraceContext(encoded(event), context, 10_000)
  expect(traced.attributes).toEqual({ ...event, traceparent, tracestate, baggage })
  expect([traced.id, traced.source]).toEqual(["1", "/a"])
})

test("a trace and a baggage of its own stay whole", () => {
  const context = readTraceContext({ traceparent, tracestate, baggage })!
  const own = { ...event, traceparent: "mine" }
  expect(withTraceContext(encoded(own), context, 10_000).attributes).toEqual({ ...own, baggage })
  const all = encoded({ ...own, baggage: "mine" })
  expect(withTraceContext(all, context, 10_000)).toBe(all)
})

test("a text that looks like the attribute's name is not taken for it", () => {
  const context = readTraceContext({ traceparent })!
  const own = { ...event, subject: 'a "traceparent"' }
  expect(withTraceContext(encoded(own), context, 10_000).attributes).toEqual({ ...own, traceparent })
})

test("an event that would become too large, or have too many attributes, is left as it is", () => {
  const context = readTraceContext({ traceparent })!
  const small = encoded(event)
  expect(withTraceContext(small, context, small.attributesJson.length + 10)).toBe(small)
  const many = Object.fromEntries(Array.from({ length: attributesMax - 4 }, (_, n) => [`x${n}`, 1]))
  const crowded = encoded({ ...event, ...many })
  expect(withTraceContext(crowded, context, 100_000)).toBe(crowded)
})

test("what an event carries becomes headers again, where it can", () => {
  const carrying = encoded({ ...event, traceparent, tracestate, baggage })
  expect(traceHeaders(carrying)).toEqual(["traceparent", traceparent, "tracestate", tracestate, "baggage", baggage])
  expect(traceHeaders(encoded({ ...event, traceparent: "größe", tracestate, baggage: 5 }))).toEqual(["baggage", "5"])
  expect(traceHeaders(encoded(event))).toEqual([])
})
