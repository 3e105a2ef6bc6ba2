import { headers, type MsgHdrs, type NatsConnection, type Payload } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../core/clock.ts"
import { OverloadError, UnavailableError } from "../../core/errors.ts"
import { isPassing } from "./reasons.ts"

/** JetStream refused a request; `code` is its own number of the reason. */
export class JetStreamError extends Error {
  override readonly name = "JetStreamError"
  readonly code: number
  constructor(code: number, description: string) {
    super(description)
    this.code = code
  }
}

/** NATS has not answered, or nobody there is in charge at the moment: whether it was done is not known. */
export class NoAnswerError extends UnavailableError {}

const answerMsMax = 3_000
/** What is stored once however often it is sent, is sent again sooner. */
const storedMsMax = 1_000

interface Refusal {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string }
}

/** Asks JetStream's API, and answers what it says. Throws JetStreamError and NoAnswerError. */
export async function ask<T>(nats: NatsConnection, subject: string, body?: unknown): Promise<T> {
  return answerOf<T>(
    await request(nats, `$JS.API.${subject}`, body === undefined ? "" : JSON.stringify(body), undefined),
  )
}

/** Acknowledged by JetStream. */
export interface Stored {
  readonly seq: number
  readonly duplicate?: boolean
}

export interface StoreOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly subject: string
  readonly payload: Payload
  /** Makes that it is stored once, however often it is sent; unique to it. */
  readonly messageId: string
  readonly headers?: Readonly<Record<string, string>>
  /** How long it is tried; default 8 s. */
  readonly msMax?: number
}

const againAfterMs = 200

/**
 * Publishes until JetStream says that it is stored, or refuses it: throws JetStreamError then, and OverloadError when it has
 * not answered for so long; that leaves open whether it is stored.
 */
export async function store(options: StoreOptions): Promise<Stored> {
  const { nats, clock, subject, payload, messageId, msMax = 8_000 } = options
  const sent = headers()
  sent.set("Nats-Msg-Id", messageId)
  for (const [name, value] of Object.entries(options.headers ?? {})) sent.set(name, value)
  const until = clock.steady() + msMax
  // Ends: after msMax at the latest.
  for (;;) {
    try {
      return answerOf<Stored>(await request(nats, subject, payload, sent, Math.min(storedMsMax, msMax)))
    } catch (error) {
      if (error instanceof JetStreamError && !isPassing(error.code)) throw error
      if (clock.steady() >= until || nats.isClosed()) throw new OverloadError(1_000, "NATS stores nothing at present")
      await sleep(clock, againAfterMs)
    }
  }
}

async function request(
  nats: NatsConnection,
  subject: string,
  payload: Payload,
  sent: MsgHdrs | undefined,
  timeout = answerMsMax,
) {
  try {
    return await nats.request(subject, payload, { timeout, ...(sent && { headers: sent }) })
  } catch (error) {
    throw new NoAnswerError(`NATS does not answer on ${subject}`, { cause: error })
  }
}

function answerOf<T>(message: { json<A>(): A }): T {
  const answer = message.json<T & Refusal>()
  if (answer.error === undefined) return answer
  const { code, err_code = code, description = "refused" } = answer.error
  throw new JetStreamError(err_code, description)
}
