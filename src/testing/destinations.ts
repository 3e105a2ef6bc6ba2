import type { Clock } from "../core/clock.ts"
import type { Failed, Outcome } from "../core/delivery.ts"
import type { DestinationKind, Dispatch } from "../core/destination.ts"
import type { SimulatedChance } from "./chance.ts"
import type { Power } from "./power.ts"

/** What an endpoint does with a request that reaches it. */
export type Behaviour =
  /** Answers with this status: 2xx took the event, 410 is gone, other 4xx are permanent, the rest may be tried again. */
  | { readonly kind: "answers"; readonly status: number; readonly retryAfterMs?: number }
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
  /** The status that the endpoint answered, also where the answer is lost; undefined where it hangs. */
  readonly status: number | undefined
}

/** What the sender of a simulated destination made of one send. */
export interface Sending {
  readonly endpoint: string
  readonly dispatch: Dispatch
}

export interface SimulatedNetworkOptions {
  readonly clock: Clock
  readonly chance: SimulatedChance
  readonly onSend?: (sending: Sending) => void
  readonly onReceipt?: (receipt: Receipt) => void
  readonly onOutcome?: (sending: Sending, outcome: Outcome) => void
}

export interface SimulatedConfig {
  readonly endpoint: string
  /** After this long without an answer the attempt has failed. */
  readonly timeoutMs: number
  /** What is sent there is signed. */
  readonly signed?: boolean
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
        },
        required: ["endpoint", "timeoutMs"],
        additionalProperties: false,
      },
      check: () => [],
      signing: ({ signed = false }) => (signed ? "v1" : undefined),
      open: async ({ endpoint: name, timeoutMs }) => ({
        send(dispatch, signal) {
          const sending = { endpoint: name, dispatch }
          return send({ ...options, power, timeoutMs, signal, sending, to: endpoint(name) })
        },
        close: async () => {},
      }),
    }),
  }
}

interface Send extends SimulatedNetworkOptions {
  readonly power: Power
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly sending: Sending
  readonly to: Endpoint
}

function send(options: Send): Promise<Outcome> {
  const { power, chance, to, sending, signal, clock } = options
  if (!power.on) return new Promise(() => {})
  options.onSend?.(sending)
  return new Promise((resolve) => {
    const cancels: (() => void)[] = []
    const end = (outcome: Outcome) => {
      for (const cancel of cancels.splice(0)) cancel()
      signal.removeEventListener("abort", abort)
      options.onOutcome?.(sending, outcome)
      resolve(outcome)
    }
    const abort = () => end(failed("given up by the hub"))
    const travelMs = () => to.latencyMs[0] + (to.latencyMs[1] - to.latencyMs[0]) * chance.next()
    const [thereMs, backMs] = [travelMs(), travelMs()]
    void power.spend(`send ${sending.dispatch.delivery.id} to ${to.name}`, thereMs, () => {})
    // The world's clock, not the process's: what was sent arrives even if its sender is no more.
    clock.after(thereMs, () => {
      const answer = arrive(options)
      if (answer === undefined || !power.on) return
      void power
        .spend(`answer of ${to.name}`, backMs, () => answer)
        .then((outcome) => cancels.length > 0 && end(outcome))
    })
    cancels.push(power.clock.after(options.timeoutMs, () => end(failed("no answer in time"))))
    if (signal.aborted) abort()
    else signal.addEventListener("abort", abort, { once: true })
  })
}

/** The request is at the endpoint; answers the outcome that travels back, if any does. */
function arrive({ clock, sending, to, onReceipt }: Send): Outcome | undefined {
  const { behaviour } = to
  const status = behaviour.kind === "answers" ? behaviour.status : behaviour.kind === "loses-answers" ? 204 : undefined
  onReceipt?.({ at: clock.now(), endpoint: to.name, dispatch: sending.dispatch, status })
  return behaviour.kind === "answers" ? outcomeOf(behaviour.status, behaviour.retryAfterMs) : undefined
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
