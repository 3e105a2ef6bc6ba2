import { headers, type MsgHdrs, type NatsConnection, nuid, type Payload } from "@nats-io/nats-core"
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

/** What is to be stored. */
export interface Storing {
  readonly subject: string
  readonly payload: Payload
  /** Makes that it is stored once, however often it is sent; unique to it. */
  readonly messageId: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface TryOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  /** How long it is tried; default 8 s. */
  readonly msMax?: number
}

export interface StoreOptions extends Storing, TryOptions {}

const againAfterMs = 200

/**
 * Publishes until JetStream says that it is stored, or refuses it: throws JetStreamError then, and OverloadError when it has
 * not answered for so long; that leaves open whether it is stored.
 */
export async function store(options: StoreOptions): Promise<Stored> {
  const sent = headersOf(options)
  return untilAnswered(options, (timeout) => request(options.nats, options.subject, options.payload, sent, timeout))
}

/**
 * As {@link store}, of several messages of one stream: all of them or none, in sequences that end with the answered one. Where
 * they are stored already, because an answer was lost, that is refused as a batch that holds a duplicate.
 */
export async function storeAll(options: TryOptions, all: readonly Storing[]): Promise<Stored> {
  const { nats } = options
  return untilAnswered(options, (timeout) => {
    // The server remembers a batch that was cut off: sent again, it is another one.
    const id = nuid.next()
    const messages = all.map((storing, i) => {
      const sent = headersOf(storing)
      sent.set("Nats-Batch-Id", id)
      sent.set("Nats-Batch-Sequence", String(i + 1))
      return { ...storing, sent }
    })
    const last = messages.at(-1)!
    last.sent.set("Nats-Batch-Commit", "1")
    for (const { subject, payload, sent } of messages.slice(0, -1)) nats.publish(subject, payload, { headers: sent })
    return request(nats, last.subject, last.payload, last.sent, timeout)
  })
}

function headersOf({ messageId, headers: more = {} }: Storing): MsgHdrs {
  const sent = headers()
  sent.set("Nats-Msg-Id", messageId)
  for (const [name, value] of Object.entries(more)) sent.set(name, value)
  return sent
}

async function untilAnswered(
  { nats, clock, msMax = 8_000 }: TryOptions,
  send: (timeout: number) => Promise<{ json<A>(): A }>,
): Promise<Stored> {
  const until = clock.steady() + msMax
  // Ends: after msMax at the latest.
  for (;;) {
    try {
      return answerOf<Stored>(await send(Math.min(storedMsMax, msMax)))
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
