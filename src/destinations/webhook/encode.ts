import type { Dispatch } from "../../core/destination.ts"
import type { Event } from "../../core/event.ts"
import { encodeBinary } from "../../formats/http-binding.ts"
import { encodeEvent } from "../../formats/json-encode.ts"
import { traceHeaders } from "../../formats/trace-context.ts"
import type { Signer } from "../signing.ts"
import type { WebhookConfig } from "./config.ts"

/** A request's headers, names and values in turn, and its body. */
export interface EncodedRequest {
  readonly headers: string[]
  readonly body: Uint8Array | null
}

export type Encode = (dispatch: Dispatch) => EncodedRequest

const noBytes = new Uint8Array()
const structuredType = ["content-type", "application/cloudevents+json; charset=utf-8"]

/** Makes requests out of attempts: the event in its mode, then what identifies and signs the delivery. */
export function createEncode(config: WebhookConfig, signer: Signer): Encode {
  const structured = config.mode === "structured"
  const fixed = [...ownHeaders(config.headers ?? {}), ...(structured ? structuredType : [])]
  return ({ stored: { event }, delivery, at }) => {
    const message = structured ? { headers: [], body: encodeEvent(event) } : encodeBinary(event)
    const id = webhookId(delivery.id)
    const timestamp = Math.floor(at / 1000).toString()
    const headers = fixed.concat(message.headers, traceOf(event, fixed))
    headers.push("webhook-id", id, "webhook-timestamp", timestamp)
    const signature = signer.sign(id, timestamp, message.body ?? noBytes, at)
    if (signature !== "") headers.push("webhook-signature", signature)
    return { headers, body: message.body ?? null }
  }
}

/** The trace that the event is part of goes on at the receiver, but for what the destination's own headers say. */
function traceOf(event: Event, own: readonly string[]): readonly string[] {
  const trace = traceHeaders(event)
  return trace.filter((_, i) => !own.some((name, at) => at % 2 === 0 && name === trace[i - (i % 2)]))
}

/** A delivery's id as `webhook-id`, which must hold no dot: the same for every attempt. */
export function webhookId(deliveryId: string): string {
  const dot = deliveryId.indexOf(".")
  return dot < 0 ? deliveryId : `${deliveryId.slice(0, dot)}_${webhookId(deliveryId.slice(dot + 1))}`
}

function ownHeaders(own: Readonly<Record<string, string>>): string[] {
  const headers = Object.entries(own).flatMap(([name, value]) => [name.toLowerCase(), value])
  return headers.some((name, i) => i % 2 === 0 && name === "user-agent")
    ? headers
    : ["user-agent", "Redcar", ...headers]
}
