import { isUtf8 } from "node:buffer"
import { STATUS_CODES } from "node:http"
import type { Outcome, ResponseRecord } from "../../core/delivery.ts"
import { parseRetryAfter } from "./retry-after.ts"

/** What is kept of an answer's body. */
export const bodyKeptBytes = 4096

/** How far an answer came. Its status decides, also where its body broke off or was cut. */
export interface Answer {
  readonly status: number
  /** The reason phrase as received; may be empty. */
  readonly reason: string
  readonly headers: Readonly<Record<string, string>>
  /** The body's first bytes, {@link bodyKeptBytes} at most. */
  readonly body: Buffer
  readonly bodyTruncated: boolean
}

interface Meaning {
  readonly from: number
  readonly to: number
  readonly is: "delivered" | "failed" | "gone"
  readonly note?: string
}

/**
 * What a status means, the first row that holds it. Only 410 ends a delivery: people repair receivers, so every other
 * refusal, a 400 as well, is left to the retry policy.
 */
const meanings: readonly Meaning[] = [
  { from: 200, to: 299, is: "delivered" },
  { from: 300, to: 399, is: "failed", note: "redirects are not followed" },
  { from: 408, to: 408, is: "failed", note: "asks to try again" },
  { from: 410, to: 410, is: "gone", note: "the destination is gone" },
  { from: 413, to: 413, is: "failed", note: "the event is too large for the receiver" },
  { from: 415, to: 415, is: "failed", note: "the receiver does not take this content type" },
  { from: 425, to: 425, is: "failed", note: "asks to try again" },
  { from: 429, to: 429, is: "failed", note: "asks to go slower" },
  { from: 400, to: 499, is: "failed" },
  { from: 500, to: 599, is: "failed" },
  { from: 100, to: 999, is: "failed", note: "no status of HTTP" },
]

/** The outcome of an answer that came at `now` (Unix milliseconds). */
export function outcomeOf(answer: Answer, now: number): Outcome {
  const meaning = meanings.find(({ from, to }) => from <= answer.status && answer.status <= to)
  const detail = describe(answer, meaning?.note)
  const response = record(answer)
  switch (meaning?.is) {
    case "delivered":
      return { kind: "delivered", detail, response }
    case "gone":
      return { kind: "failed", detail, permanent: true, gone: true, response }
    default: {
      const retryAfterMs = parseRetryAfter(answer.headers["retry-after"], now)
      return { kind: "failed", detail, permanent: false, ...(retryAfterMs > 0 && { retryAfterMs }), response }
    }
  }
}

/** An answer of which less is kept. */
export function shortened(answer: Answer, bytesMax: number): Answer {
  if (answer.body.length <= bytesMax) return answer
  return { ...answer, body: answer.body.subarray(0, bytesMax), bodyTruncated: true }
}

function describe({ status, reason }: Answer, note: string | undefined): string {
  const phrase = oneLine(reason, 60) || STATUS_CODES[status]
  const text = phrase === undefined ? `${status}` : `${status} ${phrase}`
  return note === undefined ? text : `${text} (${note})`
}

const plainLine = /^[\x21-\x7e]*(?: [\x21-\x7e]+)*$/

/** Text from outside as one line of `max` characters at most. */
export function oneLine(text: string, max: number): string {
  if (text.length <= max && plainLine.test(text)) return text
  const line = text.replace(/[\p{C}\s]+/gu, " ").trim()
  return line.length > max ? `${line.slice(0, max - 1)}…` : line
}

function record({ status, headers, body, bodyTruncated }: Answer): ResponseRecord {
  if (body.length === 0) return { status, headers, body: "", bodyEncoding: "utf8", bodyTruncated }
  const text = bodyTruncated ? wholeCharacters(body) : body
  if (isUtf8(text)) return { status, headers, body: text.toString("utf8"), bodyEncoding: "utf8", bodyTruncated }
  return { status, headers, body: body.toString("base64"), bodyEncoding: "base64", bodyTruncated }
}

/** The bytes up to the end of the last character that is whole, should they be UTF-8. */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? bytes.subarray(0, bytes.length - back) : bytes
    }
  }
  return bytes
}
