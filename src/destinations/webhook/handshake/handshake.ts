import type { Clock } from "../../../core/clock.ts"
import type { Failed } from "../../../core/delivery.ts"
import type { Answer } from "../answer.ts"
import type { NoAnswer } from "../flight.ts"
import { unlessAborted } from "../unless-aborted.ts"
import { allowedRate, type Consent, type Consents } from "./consents.ts"

/** A receiver that does not agree is asked again after the first of these, and after twice as long each time up to the last. */
const [againMinMs, againMaxMs] = [10_000, 600_000]

export interface HandshakeOptions {
  readonly tenant: string
  readonly url: string
  /** The DNS name that the hub asks in. */
  readonly origin: string
  /** Deliveries a minute that it would make; undefined: it does not say. */
  readonly perMinute: number | undefined
  readonly consents: Consents
  readonly clock: Clock
  /** What the receiver has agreed to already, by calling back. */
  readonly agreed: Consent | undefined
  /** A URL by which it may agree later; undefined: there is none now. */
  callback(): Promise<string | undefined>
  /** Sends the question, with these headers. */
  ask(headers: readonly string[], signal: AbortSignal): Promise<Answer | NoAnswer>
}

/**
 * Asks a receiver whether it wants what is sent, before it is sent (CloudEvents' HTTP 1.1 Web Hooks, 4): once however many
 * deliveries wait. Whoever has asked goes on; others are held back for an instant, so that the rate that was agreed to holds.
 */
export class Handshake {
  readonly #options: HandshakeOptions
  readonly #key: string
  readonly #stop = new AbortController()
  #asking: Promise<void> | undefined
  #refusals = 0
  #againAt = Number.NEGATIVE_INFINITY
  #why = ""

  constructor(options: HandshakeOptions) {
    const { tenant, url, origin, perMinute } = options
    this.#options = options
    this.#key = JSON.stringify([tenant, url, origin, perMinute])
  }

  get consent(): Consent | undefined {
    return this.#options.agreed ?? this.#options.consents.of(this.#key)
  }

  /** Undefined: the receiver agrees. */
  async refusal(signal: AbortSignal): Promise<Failed | undefined> {
    if (this.consent) return undefined
    const { clock } = this.#options
    const isFirst = this.#asking === undefined
    if (isFirst && clock.steady() < this.#againAt) return this.#refused()
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    await unlessAborted(this.#asking, signal)
    if (this.consent === undefined) return this.#refused()
    return isFirst ? undefined : heldBack("the receiver has just agreed", 0)
  }

  close(): void {
    this.#stop.abort()
  }

  #refused(): Failed {
    const waitMs = this.#againAt - this.#options.clock.steady()
    return heldBack(this.#why || "the handshake was cut off", Math.max(0, Math.ceil(waitMs)))
  }

  async #ask(): Promise<void> {
    const { origin, perMinute, consents, clock, ask, callback } = this.#options
    const headers = ["webhook-request-origin", origin]
    if (perMinute !== undefined) headers.push("webhook-request-rate", String(perMinute))
    const url = await callback()
    if (url !== undefined) headers.push("webhook-request-callback", url)
    const answer = await ask(headers, this.#stop.signal)
    const consent = consentOf(answer, this.#options)
    if (typeof consent !== "string") {
      consents.add(this.#key, consent)
      return
    }
    this.#why =
      "detail" in answer
        ? `nobody says whether the receiver agrees to be sent to: ${consent}`
        : `the receiver does not agree to be sent to (asked as ${origin}): ${consent}`
    this.#againAt = clock.steady() + Math.min(againMaxMs, againMinMs * 2 ** this.#refusals++)
  }
}

/** Nothing is sent, and no attempt counts. */
function heldBack(detail: string, retryAfterMs: number): Failed {
  const held = { kind: "failed", detail: `held back: ${detail}`, permanent: false, unsent: true } as const
  return { ...held, retryAfterMs, ...(retryAfterMs > 0 && { awaits: "agreement" }) }
}

/** What an answer agrees to, or why to nothing. Its status means nothing. */
function consentOf(
  answer: Answer | NoAnswer,
  { origin, perMinute }: Pick<HandshakeOptions, "origin" | "perMinute">,
): Consent | string {
  if ("detail" in answer) return answer.detail
  const { status, headers } = answer
  const allowed = headers["webhook-allowed-origin"]
  if (allowed === undefined) return `${status} without WebHook-Allowed-Origin`
  const names = allowed.split(",").map((name) => name.trim().toLowerCase())
  if (!names.includes("*") && !names.includes(origin.toLowerCase()))
    return "its WebHook-Allowed-Origin names somebody else"
  return { perMinute: allowedRate(headers["webhook-allowed-rate"], perMinute) }
}
