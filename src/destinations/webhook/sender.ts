import type { Clock } from "../../core/clock.ts"
import type { Failed, FailureCause, Outcome } from "../../core/delivery.ts"
import type { Dispatch, Sender, SenderContext } from "../../core/destination.ts"
import { createSigner } from "../signing.ts"
import { bodyKeptBytes, outcomeOf } from "./answer.ts"
import { timeoutDefaultMs, type WebhookConfig } from "./config.ts"
import type { Connect } from "./connect.ts"
import { Connections } from "./connections.ts"
import { createEncode, type Encode } from "./encode.ts"
import { Flight, type FlightContext } from "./flight.ts"
import { Handshake, type HandshakeOptions } from "./handshake/handshake.ts"
import type { Tokens } from "./oauth2/tokens.ts"
import { createFrame, type Frame } from "./request.ts"

export interface WebhookSenderOptions {
  readonly config: WebhookConfig
  readonly context: SenderContext
  readonly connect: Connect
  readonly clock: Clock
  /** Where the receiver wants tokens. */
  readonly tokens: Tokens | undefined
  /** Where the receiver is to agree first: in whose name it is asked, and who has agreed. */
  readonly asking: Pick<HandshakeOptions, "origin" | "consents"> | undefined
}

/** POSTs events to one URL over keep-alive connections, each event signed. */
export class WebhookSender implements Sender {
  readonly #encode: Encode
  readonly #frame: Frame
  readonly #context: FlightContext
  readonly #clock: Clock
  readonly #tokens: Tokens | undefined
  readonly #handshake: Handshake | undefined
  /** What is sent after something else was waited for: a token, or that the receiver agrees. */
  readonly #prepared = new Set<Promise<Outcome>>()
  #closed = false

  constructor({ config, context, connect, clock, tokens, asking }: WebhookSenderOptions) {
    const keys = (config.signing ?? "v1") === "none" ? [] : context.signingKeys
    this.#encode = createEncode(config, createSigner(keys), asking?.origin)
    this.#frame = createFrame(new URL(config.url))
    const timeoutMs = config.timeoutMs ?? timeoutDefaultMs
    const connections = new Connections({ connect, clock, timeoutMs })
    this.#context = { connections, timeoutMs, bodyKeptBytes }
    this.#clock = clock
    this.#tokens = tokens
    const { tenant, ratePerSecond } = context
    const perMinute = ratePerSecond && Math.max(1, Math.floor(ratePerSecond * 60))
    const ask = askOf(new URL(config.url), this.#context)
    this.#handshake = asking && new Handshake({ ...asking, tenant, url: config.url, perMinute, clock, ask })
  }

  get ratePerSecond(): number | undefined {
    const perMinute = this.#handshake?.consent?.perMinute
    return perMinute && perMinute / 60
  }

  send(dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    if (this.#closed || signal.aborted) return Promise.resolve(notSent)
    if (this.#tokens === undefined && this.#handshake === undefined) return this.#fly(dispatch, signal, undefined)
    const sending = this.#prepare(dispatch, signal).finally(() => this.#prepared.delete(sending))
    this.#prepared.add(sending)
    return sending
  }

  /** Waits for what is being sent, which {@link WebhookConfig.timeoutMs} bounds; abort its signals to end it sooner. */
  async close(): Promise<void> {
    this.#closed = true
    this.#handshake?.close()
    await Promise.allSettled(this.#prepared)
    await Promise.all([this.#context.connections.close(), this.#tokens?.close()])
  }

  #fly(dispatch: Dispatch, signal: AbortSignal, authorization: string | undefined): Promise<Outcome> {
    const encoded = this.#encode(dispatch, authorization)
    if ("refused" in encoded) return Promise.resolve({ kind: "failed", detail: encoded.refused, permanent: true })
    const request = this.#frame(encoded)
    return new Promise((resolve) => {
      new Flight(this.#context, request, signal, (end) => {
        resolve("detail" in end ? failed(end.detail, end.cause) : outcomeOf(end, this.#clock.now()))
      })
    })
  }

  async #prepare(dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    const refusal = await this.#handshake?.refusal(signal)
    if (signal.aborted) return notSent
    if (refusal !== undefined) return refusal
    return this.#tokens === undefined
      ? this.#fly(dispatch, signal, undefined)
      : this.#flyWithToken(this.#tokens, dispatch, signal)
  }

  /** A token that the receiver refuses with a 401 may have been withdrawn: the event is sent once more with another. */
  async #flyWithToken(tokens: Tokens, dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    const token = await tokens.token(signal)
    if (token === undefined || signal.aborted) return notSent
    if (typeof token !== "string") return failed(token.detail)
    const outcome = await this.#fly(dispatch, signal, `Bearer ${token}`)
    if (outcome.response?.status !== 401 || signal.aborted) return outcome
    const another = await tokens.instead(token, signal)
    if (another === undefined || signal.aborted) return outcome
    if (typeof another !== "string") return failed(`${outcome.detail}, and ${another.detail}`)
    return this.#fly(dispatch, signal, `Bearer ${another}`)
  }
}

/** Asks the receiver for its options, with nothing that is secret. */
function askOf(url: URL, context: FlightContext): HandshakeOptions["ask"] {
  const frame = createFrame(url, "OPTIONS")
  return (headers, signal) =>
    new Promise((resolve) => {
      new Flight(context, frame({ headers: ["user-agent", "Redcar", ...headers], body: null }), signal, resolve)
    })
}

function failed(detail: string, cause?: FailureCause): Failed {
  return { kind: "failed", detail, permanent: false, ...(cause && { cause }) }
}

const notSent = failed("stopped before it was sent")
