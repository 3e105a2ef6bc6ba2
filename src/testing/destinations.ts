import type { Clock } from "../core/clock.ts"
import type { Failed, Outcome } from "../core/delivery.ts"
import type { Batch, BatchSent, DestinationKind, Dispatch } from "../core/destination.ts"
import { Event } from "../core/event.ts"
import { batchSentOf } from "../destinations/webhook/batch.ts"
import { webhookId } from "../destinations/webhook/webhook-id.ts"
import type { SimulatedChance } from "./chance.ts"
import type { Power } from "./power.ts"

/** What an endpoint does with a request that reaches it. */
export type Behaviour =
  /** Answers with this status: 2xx took the event, 410 is gone, other 4xx are permanent, the rest may be tried again. */
  | { readonly kind: "answers"; readonly status: number; readonly retryAfterMs?: number }
  /** Takes some events of a batch, refuses others, and names not all, where that is asked of it; else it takes all. */
  | { readonly kind: "tells" }
  /** Takes the event and answers 2xx, but the answer is lost on the way. */
  | { readonly kind: "loses-answers" }
  /** Never answers. */
  | { readonly kind: "hangs" }

/** A server somewhere that knows nothing of the hub and outlives it. */
export interface Endpoint {
  readonly name: string
  behaviour: Behaviour
  /** Between these, each way; unequal delays let answers overtake one another. */
  latencyMs: readonly [min: number, max: number]
}

/** A request that arrived at an endpoint. */
export interface Receipt {
  readonly at: number
  readonly endpoint: string
  readonly dispatch: Dispatch
  /** The status that the endpoint answered, also where the answer is lost; undefined where it hangs, or does not name it. */
  readonly status: number | undefined
  /** Whether the status is that of several events, of which nobody knows which one it is about. */
  readonly isShared: boolean
}

/** What the sender of a simulated destination made of one send. */
export interface Sending {
  readonly endpoint: string
  readonly dispatch: Dispatch
  /** In its request. */
  readonly events: number
}

/** Events that an endpoint answers an attempt with whose answer is wanted; other ones each time. */
export interface Answering {
  readonly dispatch: Dispatch
  readonly events: readonly Event[]
}

export interface SimulatedNetworkOptions {
  readonly clock: Clock
  readonly chance: SimulatedChance
  readonly onSend?: (sending: Sending) => void
  readonly onReceipt?: (receipt: Receipt) => void
  readonly onOutcome?: (sending: Sending, outcome: Outcome) => void
  readonly onAnswer?: (answering: Answering) => void
}

export interface SimulatedConfig {
  readonly endpoint: string
  /** After this long without an answer the attempt has failed. */
  readonly timeoutMs: number
  /** What is sent there is signed. */
  readonly signed?: boolean
  /** Events come there several at once; `outcomes`: what an answer tells of. */
  readonly batch?: { readonly eventsMax: number; readonly waitMs: number; readonly outcomes: "all" | "each" }
}

export interface SimulatedNetwork {
  /** The endpoint of this name, made on first use; it answers 204. */
  endpoint(name: string): Endpoint
  /** The kind `simulated` as one process has it: it dies with the power, while its requests may still arrive. */
  kind(power: Power): DestinationKind<SimulatedConfig>
}

/** Endpoints, and the way to them. */
export function createSimulatedNetwork(options: SimulatedNetworkOptions): SimulatedNetwork {
  const endpoints = new Map<string, Endpoint>()
  const endpoint = (name: string): Endpoint => {
    const known = endpoints.get(name)
    if (known) return known
    const made: Endpoint = { name, behaviour: { kind: "answers", status: 204 }, latencyMs: [0.2, 2] }
    endpoints.set(name, made)
    return made
  }
  return {
    endpoint,
    kind: (power) => ({
      kind: "simulated",
      description: "An endpoint of the simulated network",
      config: {
        type: "object",
        properties: {
          endpoint: { type: "string" },
          timeoutMs: { type: "integer", minimum: 1 },
          signed: { type: "boolean" },
          batch: {
            type: "object",
            properties: {
              eventsMax: { type: "integer", minimum: 1 },
              waitMs: { type: "integer", minimum: 0 },
              outcomes: { type: "string", enum: ["all", "each"] },
            },
            required: ["eventsMax", "waitMs", "outcomes"],
            additionalProperties: false,
          },
        },
        required: ["endpoint", "timeoutMs"],
        additionalProperties: false,
      },
      check: () => [],
      signing: ({ signed = false }) => (signed ? "v1" : undefined),
      batching: ({ batch }) => batch && { ...batch, bytesMax: batchBytesMax },
      open: async ({ endpoint: name, timeoutMs, batch }) => {
        const way = { ...options, power, timeoutMs, to: endpoint(name), tellsEach: batch?.outcomes === "each" }
        return {
          async send(dispatch, signal) {
            const batch = { id: "", dispatches: [dispatch] }
            return (await publishAnswer(batch, send({ ...way, tellsEach: false, signal, batch }))).answer
          },
          ...(batch && { sendBatch: (batch, signal) => publishAnswer(batch, send({ ...way, signal, batch })) }),
          close: async () => {},
        }
      },
    }),
  }
}

const batchBytesMax = 4_096

interface Send extends SimulatedNetworkOptions {
  readonly power: Power
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly batch: Batch
  readonly tellsEach: boolean
  readonly to: Endpoint
}

/** What came of a batch, and the events that it was answered with. */
interface AnsweredBatch extends BatchSent {
  readonly events?: readonly Event[]
}

/** As a webhook does it: what is answered is published before the attempt is over. */
async function publishAnswer({ dispatches }: Batch, sending: Promise<AnsweredBatch>): Promise<BatchSent> {
  const { events, ...sent } = await sending
  const { answer } = sent
  if (events === undefined || answer.kind === "failed") return sent
  const reply = await dispatches[0]!.reply!.take(events)
  if (reply.kind !== "failed") return { answer: { ...answer, reply } }
  return { answer: { ...reply, ...(answer.response && { response: answer.response }) } }
}

function send(options: Send): Promise<AnsweredBatch> {
  const { power, chance, to, batch, signal, clock } = options
  if (!power.on) return new Promise(() => {})
  const events = batch.dispatches.length
  const sendings = batch.dispatches.map((dispatch) => ({ endpoint: to.name, dispatch, events }))
  for (const sending of sendings) options.onSend?.(sending)
  return new Promise((resolve) => {
    const cancels: (() => void)[] = []
    const end = (sent: AnsweredBatch) => {
      for (const cancel of cancels.splice(0)) cancel()
      signal.removeEventListener("abort", abort)
      sendings.forEach((sending, i) => {
        options.onOutcome?.(sending, sent.each?.[i] ?? sent.answer)
      })
      resolve(sent)
    }
    const abort = () => end({ answer: failed("given up by the hub") })
    const travelMs = () => to.latencyMs[0] + (to.latencyMs[1] - to.latencyMs[0]) * chance.next()
    const [thereMs, backMs] = [travelMs(), travelMs()]
    const what = batch.dispatches.map(({ delivery }) => delivery.id).join(", ")
    void power.spend(`send ${what} to ${to.name}`, thereMs, () => {})
    // The world's clock, not the process's: what was sent arrives even if its sender is no more.
    clock.after(thereMs, () => {
      const answer = arrive(options)
      if (answer === undefined || !power.on) return
      void power.spend(`answer of ${to.name}`, backMs, () => answer).then((sent) => cancels.length > 0 && end(sent))
    })
    cancels.push(power.clock.after(options.timeoutMs, () => end({ answer: failed("no answer in time") })))
    if (signal.aborted) abort()
    else signal.addEventListener("abort", abort, { once: true })
  })
}

/** The request is at the endpoint; answers what travels back, if anything does. */
function arrive(options: Send): AnsweredBatch | undefined {
  const { batch, to, tellsEach } = options
  const { behaviour } = to
  const isAnswered = batch.dispatches.length === 1 && batch.dispatches[0]!.reply !== undefined
  if (behaviour.kind === "tells" && tellsEach && !isAnswered) return tell(options)
  const status = behaviour.kind === "answers" ? behaviour.status : behaviour.kind === "hangs" ? undefined : 204
  receive(
    options,
    batch.dispatches.map(() => status),
    batch.dispatches.length > 1,
  )
  const events = isAnswered && status !== undefined && status < 300 ? { events: answerWith(options) } : {}
  if (behaviour.kind === "tells") return { answer: outcomeOf(204, undefined), ...events }
  if (behaviour.kind !== "answers") return undefined
  return { answer: outcomeOf(behaviour.status, behaviour.retryAfterMs), ...events }
}

/** Other events each time, as many as before: one mostly. */
function answerWith({ batch, to, chance, onAnswer }: Send): readonly Event[] {
  const [dispatch] = batch.dispatches as [Dispatch]
  const count = Math.max(1, (dispatch.delivery.cursor.charCodeAt(10) % 8) - 3)
  const named = chance.id()
  const events = Array.from({ length: count }, (_, i) =>
    Event.of({ specversion: "1.0", id: `${named}-${i}`, source: `/${to.name}`, type: "answered" }),
  )
  onAnswer?.({ dispatch, events })
  return events
}

/** The endpoint decides on each event, and says so as a receiver of webhooks does. */
function tell(options: Send): BatchSent {
  const { batch, chance, clock } = options
  const statuses = batch.dispatches.map(() => chance.pick([200, 200, 204, 422, 503, undefined]))
  receive(options, statuses, false)
  const outcomes = batch.dispatches.flatMap(({ delivery }, i) =>
    statuses[i] === undefined ? [] : [{ id: webhookId(delivery.id), status: statuses[i] }],
  )
  const body = Buffer.from(JSON.stringify({ outcomes }))
  return batchSentOf({ status: 200, reason: "OK", headers: {}, body, bodyTruncated: false }, batch, "each", clock.now())
}

function receive(
  { clock, batch, to, onReceipt }: Send,
  statuses: readonly (number | undefined)[],
  isShared: boolean,
): void {
  batch.dispatches.forEach((dispatch, i) => {
    onReceipt?.({ at: clock.now(), endpoint: to.name, dispatch, status: statuses[i], isShared })
  })
}

function outcomeOf(status: number, retryAfterMs: number | undefined): Outcome {
  const response = { status, headers: {}, body: "", bodyEncoding: "utf8", bodyTruncated: false } as const
  if (status >= 200 && status < 300) return { kind: "delivered", detail: String(status), response }
  const gone = status === 410
  const permanent = status >= 400 && status < 500 && status !== 429 && status !== 408 && !gone
  return {
    ...failed(String(status), permanent),
    response,
    ...(gone ? { gone } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}

function failed(detail: string, permanent = false): Failed {
  return { kind: "failed", detail, permanent }
}
