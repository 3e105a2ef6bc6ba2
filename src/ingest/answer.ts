import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import { quoteJson } from "../formats/json-encode.ts"
import type { Accepted } from "./delay.ts"
import type { Refusal } from "./refusal.ts"

/** Where a request's answer goes: one of these is called, once. */
export interface Reply {
  /** 202, with JSON. */
  accepted(body: string): void
  problem(refusal: Refusal): void
}

/** Of a body that nobody wants any more, what is read before the connection is cut. */
export const drainBytesMax = 4 << 20

/** The content type of what is answered in JSON and is no problem. */
export const json = "application/json"
const problemJson = "application/problem+json"

/** `{"id":…,"cursor":…}` of an event that is stored; of one that waits, what to cancel it by and until when it does. */
export function appendedJson(id: string, accepted: Accepted): string {
  const { cursor, duplicate, deliverAt } = accepted
  const where =
    deliverAt === undefined
      ? `"cursor":${quoteJson(cursor)}`
      : `"delayed":{"id":${quoteJson(cursor)},"until":"${new Date(deliverAt).toISOString()}"}`
  return `{"id":${quoteJson(id)},${where}${duplicate ? ',"duplicate":true}' : "}"}`
}

/** The problem that answers a whole request (RFC 9457); `results` where there are some of its events to tell. */
export function problemJsonOf(refusal: Refusal, results?: string): string {
  const { status, code, detail, more } = refusal
  const problem = JSON.stringify({
    type: "about:blank",
    title: STATUS_CODES[status],
    status,
    code,
    detail,
    ...(more.last !== undefined && { last: more.last }),
    ...(more.errors && { errors: more.errors }),
  })
  return results === undefined ? problem : `${problem.slice(0, -1)},"results":[${results}]}`
}

/** Answers with JSON. */
export function answerJson(res: ServerResponse, status: number, body: string): void {
  write(res, status, ["content-type", json], body)
}

/** Answers with a problem, as {@link problemJsonOf} writes it. */
export function answerProblem(res: ServerResponse, refusal: Refusal, body = problemJsonOf(refusal)): void {
  write(res, refusal.status, problemHeaders(refusal), body)
}

/** What a problem's head says beyond its status: name, value, name, value … */
export function problemHeaders({ code, more }: Refusal): string[] {
  const headers = ["content-type", problemJson]
  const { retryAfterMs } = more
  if (retryAfterMs !== undefined) headers.push("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1_000))))
  if (code === "too-slow") headers.push("connection", "close")
  if (code === "unauthenticated") headers.push("www-authenticate", "Bearer")
  return headers
}

function write(res: ServerResponse, status: number, headers: string[], body: string): void {
  // Whoever hung up gets no answer, and one answer is enough.
  if (res.headersSent || res.destroyed) return
  headers.push("content-length", String(Buffer.byteLength(body)))
  res.writeHead(status, headers)
  res.end(body)
}

/** Reads no more of a body, and ends the connection once its answer is sent. */
export function cut(req: IncomingMessage, res: ServerResponse): void {
  req.removeAllListeners("data")
  req.pause()
  if (res.writableFinished) req.destroy()
  else res.once("finish", () => req.destroy())
}

/**
 * Lets the rest of a body run off after its answer, so that the connection can be used again and the answer is not lost
 * to a reset; cuts the connection when it is more than {@link drainBytesMax}.
 */
export function drain(req: IncomingMessage, res: ServerResponse): void {
  let left = drainBytesMax
  req.removeAllListeners("data")
  req.on("data", (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) cut(req, res)
  })
  req.resume()
}
