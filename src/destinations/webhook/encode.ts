import type { Batch, Dispatch } from "../../core/destination.ts"
import type { Event } from "../../core/event.ts"
import { encodeBinary } from "../../formats/http-binding.ts"
import { encodeEvent } from "../../formats/json-encode.ts"
import { traceHeaders } from "../../formats/trace-context.ts"
import type { Signer } from "../signing.ts"
import { fixedAuthorization } from "./auth.ts"
import { encodeBatch } from "./batch.ts"
import type { WebhookConfig } from "./config.ts"
import { headBytes, requestBegin } from "./request.ts"
import { webhookId } from "./webhook-id.ts"

/** A request's headers, names and values in turn, and its body. */
export interface EncodedRequest {
  readonly headers: string[]
  readonly body: Uint8Array | null
}

/** An event that is not sent; `refused` says why. */
export interface RefusedEvent {
  readonly refused: string
}

/** Makes a request out of an attempt; `authorization` is the header's value where that is not always the same. */
export type Encode = (dispatch: Dispatch, authorization?: string) => EncodedRequest | RefusedEvent

/** As {@link Encode}, of several. */
export type EncodeBatch = (batch: Batch, authorization?: string) => EncodedRequest

/** The head that common servers take: its first line, all headers, and the line that ends them. */
export const headBytesMax = 8_192

const noBytes = new Uint8Array()
const structuredType = ["content-type", "application/cloudevents+json; charset=utf-8"]

/**
 * Makes requests out of attempts: the event in its mode, then what identifies and signs the delivery. An event whose
 * attributes make a longer head than {@link headBytesMax} goes in structured mode, or is refused, as the destination wants
 * it; not where the destination's own headers alone are as long, a token among them. `origin`: in whose name the receiver agreed to it.
 */
export function createEncode(config: WebhookConfig, signer: Signer, origin?: string): Encode {
  const begin = requestBegin(new URL(config.url))
  const fixed = ownHeaders(config, origin)
  const fits = (request: EncodedRequest) => headBytes(begin, request) <= headBytesMax
  const leavesRoom = (own: string[]) => fits({ headers: own, body: null })
  const fixedLeavesRoom = leavesRoom(fixed)
  const binary = ({ stored: { event }, delivery, at }: Dispatch, own: readonly string[]): EncodedRequest => {
    const { headers, body = null } = encodeBinary(event)
    return signedWith(signer, [...own, ...headers, ...traceOf(event, own)], body, delivery.id, at)
  }
  const structured = (
    { stored: { event }, delivery, at }: Dispatch,
    own: readonly string[],
    bounded: boolean,
  ): EncodedRequest => {
    const [headers, body] = [[...own, ...structuredType], encodeEvent(event)]
    const traced = signedWith(signer, headers.concat(traceOf(event, own)), body, delivery.id, at)
    return !bounded || fits(traced) ? traced : signedWith(signer, headers, body, delivery.id, at)
  }
  return (dispatch, authorization) => {
    const own = authorization === undefined ? fixed : [...fixed, "authorization", authorization]
    const bounded = authorization === undefined ? fixedLeavesRoom : leavesRoom(own)
    if (config.mode === "structured") return structured(dispatch, own, bounded)
    const request = binary(dispatch, own)
    if (!bounded || fits(request)) return request
    if (config.largeAttributes !== "refuse") return structured(dispatch, own, bounded)
    return { refused: tooLarge(headBytes(begin, request)) }
  }
}

/** Makes requests out of batches: the events in the JSON batch format, then what identifies and signs the batch. */
export function createEncodeBatch(config: WebhookConfig, signer: Signer, origin?: string): EncodeBatch {
  const fixed = [...ownHeaders(config, origin), "content-type", "application/cloudevents-batch+json; charset=utf-8"]
  return (batch, authorization) => {
    const own = authorization === undefined ? [...fixed] : [...fixed, "authorization", authorization]
    return signedWith(signer, own, encodeBatch(batch), batch.id, batch.dispatches[0]!.at)
  }
}

/** Identified by the id of a delivery or a batch, and signed; the headers are added to. */
function signedWith(
  signer: Signer,
  headers: string[],
  body: Uint8Array | null,
  deliveryId: string,
  at: number,
): EncodedRequest {
  const [id, timestamp] = [webhookId(deliveryId), Math.floor(at / 1000).toString()]
  headers.push("webhook-id", id, "webhook-timestamp", timestamp)
  const signature = signer.sign(id, timestamp, body ?? noBytes, at)
  if (signature !== "") headers.push("webhook-signature", signature)
  return { headers, body }
}

function tooLarge(bytes: number): string {
  const sizes = `with its attributes as headers the request's head has ${bytes} bytes, and ${headBytesMax} are what servers take`
  return `not sent: ${sizes}; in structured mode it could be sent (largeAttributes: structured)`
}

/** The trace that the event is part of goes on at the receiver, but for what the destination's own headers say. */
function traceOf(event: Event, own: readonly string[]): readonly string[] {
  const trace = traceHeaders(event)
  return trace.filter((_, i) => !own.some((name, at) => at % 2 === 0 && name === trace[i - (i % 2)]))
}

function ownHeaders({ headers: own = {}, auth = {} }: WebhookConfig, origin: string | undefined): string[] {
  const headers = Object.entries(own).flatMap(([name, value]) => [name.toLowerCase(), value])
  const authorization = fixedAuthorization(auth)
  if (authorization !== undefined) headers.push("authorization", authorization)
  if (!headers.some((name, i) => i % 2 === 0 && name === "user-agent")) headers.unshift("user-agent", "Redcar")
  return origin === undefined ? headers : [...headers, "webhook-request-origin", origin]
}
