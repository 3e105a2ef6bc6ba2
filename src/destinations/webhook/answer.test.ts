import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type Answer, bodyKeptBytes, oneLine, outcomeOf } from "./answer.ts"

const now = Date.parse("2026-03-01T12:00:00Z")
const answer = (change: Partial<Answer> = {}): Answer => ({
  status: 200,
  reason: "",
  headers: {},
  body: Buffer.alloc(0),
  bodyTruncated: false,
  ...change,
})

describe("what a status means", () => {
  test.each([200, 201, 202, 204, 299])("%i is delivered", (status) => {
    expect(outcomeOf(answer({ status }), now)).toMatchObject({ kind: "delivered", response: { status } })
  })

  test.each([
    300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 409, 413, 415, 425, 429, 451, 500, 502, 503, 504, 599, 600,
    999,
  ])("%i is a failure that may pass", (status) => {
    const outcome = outcomeOf(answer({ status }), now)
    expect(outcome).toMatchObject({ kind: "failed", permanent: false, response: { status } })
    expect(outcome).not.toHaveProperty("gone")
    expect(outcome).not.toHaveProperty("retryAfterMs")
  })

  test("410 is the end of the destination", () => {
    expect(outcomeOf(answer({ status: 410 }), now)).toMatchObject({ kind: "failed", permanent: true, gone: true })
  })

  test("the detail is the status line, and a word where it needs one", () => {
    const detail = (status: number, reason = "") => outcomeOf(answer({ status, reason }), now).detail
    expect(detail(204)).toBe("204 No Content")
    expect(detail(503, "Down for repairs")).toBe("503 Down for repairs")
    expect(detail(503)).toBe("503 Service Unavailable")
    expect(detail(302)).toBe("302 Found (redirects are not followed)")
    expect(detail(299)).toBe("299")
    expect(detail(500, `${"x".repeat(80)}`)).toBe(`500 ${"x".repeat(59)}…`)
    expect(detail(500, "a\r\n\tb\u0000c")).toBe("500 a b c")
  })
})

describe("Retry-After", () => {
  test("counts for every failure but 410, and for no success", () => {
    const headers = { "retry-after": "7" }
    for (const status of [301, 404, 429, 503])
      expect(outcomeOf(answer({ status, headers }), now)).toHaveProperty("retryAfterMs", 7_000)
    for (const status of [200, 410])
      expect(outcomeOf(answer({ status, headers }), now)).not.toHaveProperty("retryAfterMs")
  })
})

describe("the record of an answer", () => {
  const record = (body: Buffer, bodyTruncated = false) => outcomeOf(answer({ body, bodyTruncated }), now).response!

  test("keeps status, headers and body", () => {
    const headers = { "content-type": "text/plain", "set-cookie": "a=1, b=2" }
    expect(outcomeOf(answer({ status: 500, headers, body: Buffer.from("Grüße") }), now).response).toEqual({
      status: 500,
      headers,
      body: "Grüße",
      bodyEncoding: "utf8",
      bodyTruncated: false,
    })
  })

  test("holds bytes that are no UTF-8 as base64", () => {
    expect(record(Buffer.from([0xff, 0x00, 0x80]))).toMatchObject({ body: "/wCA", bodyEncoding: "base64" })
    expect(record(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80]), true)).toMatchObject({ bodyEncoding: "base64" })
  })

  test("ends before a character that was cut, and nowhere else", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }), fc.nat(), (text, cut) => {
        const bytes = Buffer.from(text)
        const kept = bytes.subarray(0, 1 + (cut % bytes.length))
        const { body, bodyEncoding } = record(kept, true)
        expect(bodyEncoding).toBe("utf8")
        expect(text.startsWith(body)).toBe(true)
        expect(kept.length - Buffer.byteLength(body)).toBeLessThan(4)
      }),
    )
    expect(bodyKeptBytes).toBe(4096)
  })
})

test("a line stays a line", () => {
  expect(oneLine("a\n\n b\u2028c", 10)).toBe("a b c")
  expect(oneLine("abcdef", 5)).toBe("abcd…")
  expect(oneLine("abcde", 5)).toBe("abcde")
})
