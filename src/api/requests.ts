import type { FastifyRequest } from "fastify"
import { isDeeper } from "../formats/depth.ts"
import { type Loss, parseWithLosses } from "../formats/exact-json.ts"
import { jsonDepthMax } from "../formats/json-scan.ts"
import { decodeUtf8 } from "../formats/utf8.ts"
import { formatPath } from "../resources/check-schema.ts"
import { createFaults } from "../resources/faults.ts"
import { isObject } from "../resources/merge-patch.ts"
import { invalidFields, type RefusedError } from "../resources/refusal.ts"
import { componentKeyword, strict } from "../resources/schemas.ts"
import { fieldOf, keepEvent, keepLosses, messageOf } from "./as-written.ts"
import { bodyTooLarge, ProblemError, unsupportedType } from "./errors.ts"
import { readBody, readQuery } from "./fields.ts"
import type { App, RouteDoc } from "./routes.ts"

/** Levels that a body may nest: an event's, and room for what it stands in. */
export const bodyDepthMax = jsonDepthMax + 8

/** The largest body of a request. */
export const bodyBytesMax = 1024 * 1024

const bodyTypes = ["application/json", "application/merge-patch+json"]

/**
 * JSON and JSON merge patches in UTF-8; an empty body is none. Any name is a member's name, `__proto__` too. What would be saved
 * differently from how it is written is refused; an event is kept as it is written.
 */
export function parseJson(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(bodyTypes, { parseAs: "buffer" }, (request, body: Buffer, done) => {
    try {
      const text = textOf(body).replace(/^\ufeff/, "")
      if (text.trim() === "") return done(null, undefined)
      const { value, losses } = parseWithLosses(text)
      refuseDeep(value)
      const { doc } = request.routeOptions.config
      if (doc?.answersLosses) keepLosses(value, losses)
      else refuseLosses(losses, hasEvent(doc))
      keepEvent(value, text)
      done(null, value)
    } catch (error) {
      done(error instanceof SyntaxError ? notJson(error) : (error as Error))
    }
  })
}

/** An Idempotency-Key is kept for raw events alone; elsewhere it is refused where repeating could do something twice. */
export function refuseIdempotencyKeys(app: App): void {
  app.addHook("onRequest", (request, _, done) => {
    if (request.method !== "POST" || request.headers["idempotency-key"] === undefined) return done()
    const message = "is kept for raw events alone; name an id, and a repeat is answered 409, or send If-Match"
    throw invalidFields([{ field: "idempotency-key", message }])
  })
}

/** A body that its sender asks about first is let come where the head is in order. */
export function letBodiesCome(app: App): void {
  app.addHook("preParsing", (request, reply, payload, done) => {
    const { expect, "content-type": type, "content-length": length } = request.headers
    if (expect?.toLowerCase() !== "100-continue") return done(null, payload)
    if (type !== undefined && !bodyTypes.includes(type.split(";", 1)[0]!.trim().toLowerCase())) throw unsupportedType()
    if (Number(length) > bodyBytesMax) throw bodyTooLarge()
    reply.raw.writeContinue()
    done(null, payload)
  })
}

/** Throws ProblemError where the bytes are not UTF-8: nothing is saved that was not sent. */
function textOf(body: Buffer): string {
  const text = decodeUtf8(body)
  if (typeof text === "string") return text
  throw new ProblemError("invalid-argument", `the body is not UTF-8 at byte ${text}`)
}

function notJson({ message }: SyntaxError): ProblemError {
  return new ProblemError("invalid-argument", `the body is not JSON: ${message}`)
}

/** Whether the body's `event` is read as it is written. */
function hasEvent(doc: RouteDoc | undefined): boolean {
  const { properties } = (doc?.body ?? {}) as { readonly properties?: Readonly<Record<string, object>> }
  return (properties?.event as Readonly<Record<string, unknown>> | undefined)?.[componentKeyword] === "Event"
}

/** An event loses nothing: what is made of it is made of its text. */
function refuseLosses(losses: readonly Loss[], hasEvent: boolean): void {
  const faults = createFaults()
  for (const loss of losses) {
    const isInEvent = hasEvent && loss.path[0] === "event" && loss.path.length > 1
    if (!isInEvent) faults.add(fieldOf(loss), messageOf(loss))
  }
  faults.refuse()
}

const Nothing = strict({})

/** Refuses what a route does not take: no body where it needs one, a body or a parameter where it has none. */
export function refuseUnasked(app: App): void {
  app.addHook("preValidation", (request, _, done) => {
    const { doc } = request.routeOptions.config
    if (doc === undefined || doc.open) return done()
    if (doc.query === undefined) readQuery(Nothing, request.query)
    if (doc.body === undefined) readBody(Nothing, request.body)
    else if (request.body === undefined && !doc.bodyOptional) throw noBody(request)
    done()
  })
}

function noBody({ method }: FastifyRequest): RefusedError {
  const more = method === "PUT" ? "; what it leaves out is put back to its default" : ""
  return invalidFields([{ field: "", message: `the request has no body, and needs a JSON object${more}` }])
}

/** Throws RefusedError that names the members which nest too deep, so that nothing further in has to mind its stack. */
function refuseDeep(body: unknown): void {
  const faults = createFaults()
  const members = isObject(body) ? Object.entries(body) : [["", body] as const]
  for (const [name, value] of members) {
    if (isDeeper(value, bodyDepthMax - 1)) {
      faults.add(name === "" ? "" : formatPath([name]), `is nested more than ${bodyDepthMax} levels deep`)
    }
  }
  faults.refuse()
}
