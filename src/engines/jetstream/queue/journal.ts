import { createInbox, headers, type Msg, type NatsConnection, nuid, TimeoutError } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../../core/clock.ts"
import { UnavailableError } from "../../../core/errors.ts"
import { journalPlan } from "../plans.ts"
import { reasons } from "../reasons.ts"
import { ask, JetStreamError, NoAnswerError } from "../request.ts"
import { ensureStream } from "../streams.ts"

export interface JournalOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly stream: string
  readonly subject: string
}

/** Whether NATS does not answer, or refuses for now. */
export function isUnanswered(error: unknown): error is NoAnswerError | JetStreamError {
  return error instanceof NoAnswerError || error instanceof JetStreamError
}

/** Somebody else appends to the journal now, or this process was told to let it be. What was asked for is not stored. */
export class JournalLostError extends UnavailableError {
  constructor(stream: string) {
    super(`another process has ${stream} now`)
  }
}

/** What a journal's stream holds. */
export interface JournalState {
  /** The first message's number; beyond `last` where it is empty. */
  readonly first: number
  readonly last: number
  readonly bytes: number
}

export interface JournalMessage {
  readonly sequence: number
  readonly data: Uint8Array
}

const answerMsMax = 2_500
const [againMinMs, againMaxMs] = [50, 2_000]
const claimTriesMax = 20
const claimRestMs = 10
const readMessagesMax = 256
const readBytesMax = 4 << 20
const readMsMax = 10_000

/** Makes the stream of a journal where it is missing. Others may do so at the same time. Throws as {@link ensureStream}. */
export async function ensureJournal(
  nats: NatsConnection,
  clock: Clock,
  config: { readonly stream: string; readonly subject: string; readonly replicas: number },
): Promise<void> {
  await ensureStream(nats, clock, journalPlan(config))
}

/**
 * The journal of a queue shard. Only one process appends: each message says after which one it comes, so once somebody
 * else has appended, whoever did before is refused.
 */
export class Journal {
  readonly #options: JournalOptions
  readonly #stop = new AbortController()
  #last = 0
  #trouble: string | undefined

  constructor(options: JournalOptions) {
    this.#options = options
  }

  /** The last message of ours. */
  get last(): number {
    return this.#last
  }

  /** What keeps the journal from taking a message at present, for people. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Nothing more is asked for: what is on its way rejects with JournalLostError. */
  leave(): void {
    this.#stop.abort()
  }

  /**
   * Appends a first message: from then on nobody else's is taken. Answers its number. Rejects with JournalLostError also where
   * somebody else is first each time.
   */
  async claim(data: Uint8Array): Promise<number> {
    const { clock, stream } = this.#options
    for (let tries = 0; tries < claimTriesMax; tries++) {
      this.#last = (await this.state()).last
      try {
        return await this.append(data)
      } catch (error) {
        // Whoever had it before was just appending.
        if (!(error instanceof JournalLostError) || this.#stop.signal.aborted) throw error
      }
      await sleep(clock, tries * claimRestMs, this.#stop.signal)
    }
    throw new JournalLostError(stream)
  }

  /**
   * Durable when it resolves, with the message's number. Tries until it is known to be stored: rejects with
   * JournalLostError once somebody else has appended, or after {@link leave}.
   */
  async append(data: Uint8Array): Promise<number> {
    const { subject, stream } = this.#options
    const sent = headers()
    const id = nuid.next()
    sent.set("Nats-Msg-Id", id)
    sent.set("Nats-Expected-Stream", stream)
    sent.set("Nats-Expected-Last-Sequence", String(this.#last))
    // Ends: it is stored, somebody else has appended, or leave() was called.
    for (let delayMs = againMinMs; ; delayMs = Math.min(2 * delayMs, againMaxMs)) {
      this.#check()
      try {
        const message = await this.#request(subject, data, sent)
        this.#last = message.seq
        this.#trouble = undefined
        return message.seq
      } catch (error) {
        if (isOutOfTurn(error) && (await this.#isStored(id))) return ++this.#last
        await this.#pause(error, delayMs)
      }
    }
  }

  /** What the stream holds, as its leader knows. */
  async state(): Promise<JournalState> {
    // Ends: the leader answers, or leave() was called.
    for (let delayMs = againMinMs; ; delayMs = Math.min(2 * delayMs, againMaxMs)) {
      this.#check()
      try {
        const { nats, stream } = this.#options
        const { state } = await ask<StreamInfo>(nats, `STREAM.INFO.${stream}`)
        this.#trouble = undefined
        return { first: state.first_seq, last: state.last_seq, bytes: state.bytes }
      } catch (error) {
        await this.#pause(error, delayMs)
      }
    }
  }

  /** Messages from `from` to `to`, some at a time. Where the first is no longer there it begins with the first that is. */
  async *read(from: number, to: number): AsyncGenerator<readonly JournalMessage[]> {
    let delayMs = againMinMs
    for (let next = from; next <= to; ) {
      this.#check()
      try {
        const messages = (await this.#readBatch(next)).filter(({ sequence }) => sequence >= next && sequence <= to)
        if (messages.length === 0) throw new NoAnswerError("a replica has not come so far yet")
        next = messages.at(-1)!.sequence + 1
        delayMs = againMinMs
        this.#trouble = undefined
        yield messages
      } catch (error) {
        await this.#pause(error, delayMs)
        delayMs = Math.min(2 * delayMs, againMaxMs)
      }
    }
  }

  /** Drops everything before `sequence`. Throws JetStreamError, NoAnswerError. */
  async purge(sequence: number): Promise<void> {
    const { nats, stream } = this.#options
    await ask(nats, `STREAM.PURGE.${stream}`, { seq: sequence })
  }

  #check(): void {
    const { nats, stream } = this.#options
    if (this.#stop.signal.aborted || nats.isClosed()) throw new JournalLostError(stream)
  }

  async #request(subject: string, data: Uint8Array, sent: ReturnType<typeof headers>): Promise<{ seq: number }> {
    let answer: Msg
    try {
      answer = await this.#options.nats.request(subject, data, { headers: sent, timeout: answerMsMax })
    } catch (error) {
      throw new NoAnswerError("NATS does not answer", { cause: error })
    }
    const { seq, error } = answer.json<{ seq: number; error?: { err_code?: number; description?: string } }>()
    if (error) throw new JetStreamError(error.err_code ?? 0, error.description ?? "refused")
    return { seq }
  }

  /** Whether the message after our last one is this one; throws JournalLostError where it is another. */
  async #isStored(id: string): Promise<boolean> {
    const { nats, stream } = this.#options
    try {
      const { message } = await ask<StoredMessage>(nats, `STREAM.MSG.GET.${stream}`, { seq: this.#last + 1 })
      const lines = Buffer.from(message.hdrs ?? "", "base64").toString("latin1")
      if (lines.includes(`Nats-Msg-Id: ${id}\r\n`)) return true
    } catch (error) {
      if (!(error instanceof NoAnswerError || error instanceof JetStreamError)) throw error
      // None there: what came before ours is on its way to a quorum, which it may miss. Or the servers have lost some.
      const { last } = await this.state()
      if (last >= this.#last) return false
    }
    throw new JournalLostError(stream)
  }

  /** Waits before the next try; what cannot pass is thrown on. */
  async #pause(error: unknown, delayMs: number): Promise<void> {
    if (!isUnanswered(error)) throw error
    const { clock } = this.#options
    this.#trouble = error.message
    // A request that timed out has waited already.
    if (error.cause instanceof TimeoutError) return
    await sleep(clock, delayMs, this.#stop.signal)
  }

  async #readBatch(from: number): Promise<readonly JournalMessage[]> {
    const { nats, clock, stream } = this.#options
    const { signal } = this.#stop
    const found: JournalMessage[] = []
    const over = Promise.withResolvers<void>()
    const fail = (cause?: unknown) => over.reject(new NoAnswerError("reading a journal brings no answer", { cause }))
    const inbox = createInbox()
    const subscription = nats.subscribe(inbox, {
      timeout: answerMsMax,
      callback: (error, message) => {
        if (error) return fail(error)
        // A status closes the batch: it is whole, or there is nothing.
        if (message.headers === undefined || message.headers.code !== 0) return over.resolve()
        found.push({ sequence: Number(message.headers.get("Nats-Sequence")), data: message.data })
      },
    })
    const cancel = clock.after(readMsMax, fail)
    signal.addEventListener("abort", fail)
    try {
      const asked = JSON.stringify({ seq: from, batch: readMessagesMax, max_bytes: readBytesMax })
      nats.publish(`$JS.API.DIRECT.GET.${stream}`, asked, { reply: inbox })
      await over.promise
      return found
    } finally {
      cancel()
      signal.removeEventListener("abort", fail)
      subscription.unsubscribe()
    }
  }
}

interface StreamInfo {
  readonly state: { readonly first_seq: number; readonly last_seq: number; readonly bytes: number }
}

interface StoredMessage {
  readonly message: { readonly hdrs?: string }
}

/** The message may be stored already, or somebody else's is, or is about to be. */
function isOutOfTurn(error: unknown): boolean {
  return (
    error instanceof JetStreamError &&
    (error.code === reasons.wrongLastSequence || error.code === reasons.duplicateInProcess)
  )
}
