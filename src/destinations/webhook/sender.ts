import type { Budget } from "../../core/budget.ts"
import type { Clock } from "../../core/clock.ts"
import type { Failed, FailureCause, Outcome } from "../../core/delivery.ts"
import type { Batch, BatchSent, Dispatch, Sender, SenderContext } from "../../core/destination.ts"
import { createSigner } from "../signing.ts"
import { type Answer, bodyKeptBytes, outcomeOf, shortened } from "./answer.ts"
import { type BatchConfig, batchSentOf, outcomesBytesMax } from "./batch.ts"
import { timeoutDefaultMs, type WebhookConfig } from "./config.ts"
import type { Connect } from "./connect.ts"
import { Connections } from "./connections.ts"
import {
  createEncode,
  createEncodeBatch,
  type Encode,
  type EncodeBatch,
  type EncodedRequest,
  type RefusedEvent,
} from "./encode.ts"
import { Flight, type FlightContext, type NoAnswer } from "./flight.ts"
import { Handshake, type HandshakeOptions } from "./handshake/handshake.ts"
import type { Tokens } from "./oauth2/tokens.ts"
import { ReplyReading, type ReplyRoom } from "./reply.ts"
import { createFrame, type Frame } from "./request.ts"

export interface WebhookSenderOptions {
  readonly config: WebhookConfig
  readonly context: SenderContext
  readonly connect: Connect
  readonly clock: Clock
  /** Where the receiver wants tokens. */
  readonly tokens: Tokens | undefined
  /** Where the receiver is to agree first: in whose name it is asked what, and who has agreed. */
  readonly asking: Pick<HandshakeOptions, "origin" | "consents" | "perMinute" | "agreed" | "callback"> | undefined
  /** For answers that hold events, of all senders. */
  readonly replies: Budget
}

/** One request: how it is written, and what an answer says of it. */
interface Making {
  encode(authorization: string | undefined): EncodedRequest | RefusedEvent
  read(answer: Answer): BatchSent
  /** Where an answer that holds events is kept. */
  readonly room?: ReplyRoom
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
  readonly #prepared = new Set<Promise<BatchSent>>()
  /** Where the receiver takes batches. */
  readonly sendBatch: Sender["sendBatch"]
  readonly #replies: Budget
  #closed = false

  constructor({ config, context, connect, clock, tokens, asking, replies }: WebhookSenderOptions) {
    this.#replies = replies
    const keys = (config.signing ?? "v1") === "none" ? [] : context.signingKeys
    const signer = createSigner(keys)
    this.#encode = createEncode(config, signer, asking?.origin)
    const { batch } = config
    const encodeBatch = createEncodeBatch(config, signer, asking?.origin)
    this.sendBatch =
      batch && ((sent, signal) => this.#answered(sent, makingOf(batch, sent, encodeBatch, clock), signal))
    this.#frame = createFrame(new URL(config.url))
    const timeoutMs = config.timeoutMs ?? timeoutDefaultMs
    const connections = new Connections({ connect, clock, timeoutMs })
    const keptBytes = batch?.outcomes === "each" ? outcomesBytesMax(batch) : bodyKeptBytes
    this.#context = { connections, timeoutMs, bodyKeptBytes: keptBytes }
    this.#clock = clock
    this.#tokens = tokens
    const { tenant } = context
    const ask = askOf(new URL(config.url), this.#context)
    this.#handshake = asking && new Handshake({ ...asking, tenant, url: config.url, clock, ask })
  }

  get ratePerSecond(): number | undefined {
    const perMinute = this.#handshake?.consent?.perMinute
    return perMinute && perMinute / 60
  }

  async send(dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    const batch: Batch = { id: dispatch.delivery.id, dispatches: [dispatch] }
    if (this.sendBatch !== undefined) {
      const { answer, each } = await this.sendBatch(batch, signal)
      return each?.[0] ?? answer
    }
    const encode = (authorization: string | undefined) => this.#encode(dispatch, authorization)
    const read = (answer: Answer) => ({ answer: outcomeOf(answer, this.#clock.now()) })
    return (await this.#answered(batch, { encode, read }, signal)).answer
  }

  /** Makes a request, and has the events published that it is answered with, where it is of one attempt that wants them. */
  async #answered({ dispatches }: Batch, making: Making, signal: AbortSignal): Promise<BatchSent> {
    const [{ reply }, ...others] = dispatches as [Dispatch, ...Dispatch[]]
    if (reply === undefined || others.length > 0) return this.#make(making, signal)
    const room = new ReplyReading(reply, this.#replies)
    const read = (answer: Answer): BatchSent =>
      room.keep(answer)
        ? { answer: outcomeOf(shortened(answer, bodyKeptBytes), this.#clock.now()) }
        : making.read(answer)
    try {
      const { answer, each } = await this.#make({ ...making, read, room }, signal)
      return { answer: await room.conclude(answer), ...(each && { each }) }
    } finally {
      room.release()
    }
  }

  /** Waits for what is being sent, which {@link WebhookConfig.timeoutMs} bounds; abort its signals to end it sooner. */
  async close(): Promise<void> {
    this.#closed = true
    this.#handshake?.close()
    await Promise.allSettled(this.#prepared)
    await Promise.all([this.#context.connections.close(), this.#tokens?.close()])
  }

  #make(making: Making, signal: AbortSignal): Promise<BatchSent> {
    if (this.#closed || signal.aborted) return Promise.resolve({ answer: notSent })
    if (this.#tokens === undefined && this.#handshake === undefined) return this.#fly(making, signal, undefined)
    const sending = this.#prepare(making, signal).finally(() => this.#prepared.delete(sending))
    this.#prepared.add(sending)
    return sending
  }

  #fly({ encode, read, room }: Making, signal: AbortSignal, authorization: string | undefined): Promise<BatchSent> {
    const encoded = encode(authorization)
    if ("refused" in encoded)
      return Promise.resolve({ answer: { kind: "failed", detail: encoded.refused, permanent: true } })
    const request = this.#frame(encoded)
    return new Promise((resolve) => {
      const done = (end: Answer | NoAnswer) =>
        resolve("detail" in end ? { answer: failed(end.detail, end.cause) } : read(end))
      new Flight(this.#context, request, signal, done, room)
    })
  }

  async #prepare(making: Making, signal: AbortSignal): Promise<BatchSent> {
    const refusal = await this.#handshake?.refusal(signal)
    if (signal.aborted) return { answer: notSent }
    if (refusal !== undefined) return { answer: refusal }
    return this.#tokens === undefined
      ? this.#fly(making, signal, undefined)
      : this.#flyWithToken(this.#tokens, making, signal)
  }

  /** A token that the receiver refuses with a 401 may have been withdrawn: the event is sent once more with another. */
  async #flyWithToken(tokens: Tokens, making: Making, signal: AbortSignal): Promise<BatchSent> {
    const token = await tokens.token(signal)
    if (token === undefined || signal.aborted) return { answer: notSent }
    if (typeof token !== "string") return { answer: failed(token.detail) }
    const sent = await this.#fly(making, signal, `Bearer ${token}`)
    if (sent.answer.response?.status !== 401 || signal.aborted) return sent
    const another = await tokens.instead(token, signal)
    if (another === undefined || signal.aborted) return sent
    if (typeof another !== "string") return { answer: failed(`${sent.answer.detail}, and ${another.detail}`) }
    return this.#fly(making, signal, `Bearer ${another}`)
  }
}

function makingOf(config: BatchConfig, batch: Batch, encodeBatch: EncodeBatch, clock: Clock): Making {
  return {
    encode: (authorization) => encodeBatch(batch, authorization),
    read: (answer) => batchSentOf(answer, batch, config.outcomes, clock.now()),
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
