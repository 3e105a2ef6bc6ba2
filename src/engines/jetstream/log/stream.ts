import type { NatsConnection } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../../core/clock.ts"
import { ClosedError, UnavailableError } from "../../../core/errors.ts"
import type { Names } from "../names.ts"
import { logPlan } from "../plans.ts"
import { isPassing, reasons } from "../reasons.ts"
import { ask, JetStreamError, NoAnswerError } from "../request.ts"
import { ensureStream } from "../streams.ts"
import { deliveredOf } from "./direct.ts"
import { rawOf, statusOf } from "./raw-message.ts"

export interface StreamOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly names: Names
  readonly replicas: number
  readonly dedupeWindowMsMax: number
}

/** Makes a partition's stream where it is missing; throws as {@link ensureStream}. */
export function ensureLogStream(options: StreamOptions, partition: number): Promise<void> {
  return ensureStream(options.nats, options.clock, logPlan(options, partition))
}

/** What a stream holds. */
export interface StreamState {
  readonly messages: number
  readonly bytes: number
  readonly first_seq: number
  readonly last_seq: number
}

interface StreamInfo {
  readonly state: StreamState
  readonly cluster?: { readonly leader?: string }
}

/** A message as its stream holds it. */
export interface StreamMessage {
  readonly subject: string
  readonly sequence: number
  readonly storedAt: number
  readonly header: Uint8Array | undefined
  readonly data: Uint8Array
}

interface GotMessage {
  readonly message: {
    readonly subject: string
    readonly seq: number
    readonly time: string
    readonly hdrs?: string
    readonly data?: string
  }
}

const nothing = new Uint8Array()
const waitMsMax = 3_000
const directMsMax = 1_000
const restMs = 100
/** How long a leader may show less than a copy. */
const behindMsMax = 1_000

/** What is asked for of a stream: the message at a sequence, the newest of a subject, or a subject's first from a sequence on. */
type MessageQuery =
  | { readonly seq: number; readonly next_by_subj?: never }
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string }

export interface LogStreamOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly name: string
  /** Copies that it has. */
  readonly replicas: number
}

/**
 * A partition's stream, as its leader knows it: what was acknowledged to anybody is seen. All of it throws UnavailableError
 * where NATS does not answer, and ClosedError.
 */
export class LogStream {
  readonly #nats: NatsConnection
  readonly #clock: Clock
  readonly #replicas: number
  readonly name: string

  constructor({ nats, clock, name, replicas }: LogStreamOptions) {
    this.#nats = nats
    this.#clock = clock
    this.#replicas = replicas
    this.name = name
  }

  async state(): Promise<StreamState> {
    return (await this.#info()).state
  }

  #info(): Promise<StreamInfo> {
    return this.ask<StreamInfo>(`STREAM.INFO.${this.name}`)
  }

  /** Undefined where there is none. Of several copies any may answer what it has; what it has not, only the leader says. */
  async message(query: MessageQuery): Promise<StreamMessage | undefined> {
    const byPlace = "seq" in query && query.next_by_subj === undefined
    const direct = byPlace || this.#replicas === 1 ? await this.#direct(query) : undefined
    if (direct?.message !== undefined) return direct.message
    if (direct !== undefined && this.#replicas === 1) return undefined
    return byPlace ? this.#atPlace(query.seq) : this.#leaders(query)
  }

  /**
   * Also the leader may have less, for a moment, than a copy has shown already. That nothing is at a place is certain only
   * where the same answer shows something beyond it, or where the stream's end is beyond it.
   */
  async #atPlace(seq: number): Promise<StreamMessage | undefined> {
    const until = this.#clock.steady() + behindMsMax
    // Ends: after behindMsMax at the latest.
    for (let passed = false; ; ) {
      const next = await this.#leaders({ seq, next_by_subj: ">" })
      if (next !== undefined) return next.sequence === seq ? next : undefined
      if (passed || this.#clock.steady() >= until) return undefined
      passed = (await this.state()).last_seq >= seq
      if (!passed) await sleep(this.#clock, restMs)
    }
  }

  /** What a copy answers; undefined where none does. */
  async #direct(query: MessageQuery): Promise<{ readonly message: StreamMessage | undefined } | undefined> {
    try {
      const subject = `$JS.API.DIRECT.GET.${this.name}`
      const raw = rawOf(await this.#nats.request(subject, JSON.stringify(query), { timeout: directMsMax }))
      const status = raw.header === undefined ? 0 : statusOf(raw.header)
      if (status === 404) return { message: undefined }
      return status === 0 ? { message: deliveredOf(raw) } : undefined
    } catch {
      // The leader is asked then, and says what is wrong.
      return undefined
    }
  }

  /** Whether nothing of these subjects lies after one sequence and up to another. No subjects: everything. */
  async hasNone(subjects: readonly string[], after: number, to: number): Promise<boolean> {
    if (this.#replicas === 1) return this.#showsNone(subjects, after, to)
    // A leader that has just become one may not show yet what an earlier one has: all answers are to be one leader's.
    const before = await this.#info()
    if (before.state.last_seq < to || !(await this.#showsNone(subjects, after, to))) return false
    const { cluster } = await this.#info()
    return cluster?.leader === before.cluster?.leader
  }

  async #showsNone(subjects: readonly string[], after: number, to: number): Promise<boolean> {
    for (const subject of subjects.length === 0 ? [">"] : subjects) {
      const next = await this.message({ seq: after + 1, next_by_subj: subject })
      if (next !== undefined && next.sequence <= to) return false
    }
    return true
  }

  async #leaders(query: MessageQuery): Promise<StreamMessage | undefined> {
    const got = await this.#find<GotMessage>(`STREAM.MSG.GET.${this.name}`, query)
    if (got === undefined) return undefined
    const { subject, seq, time, hdrs, data } = got.message
    return {
      subject,
      sequence: seq,
      storedAt: Date.parse(time),
      header: hdrs === undefined ? nothing : Buffer.from(hdrs, "base64"),
      data: data === undefined ? nothing : Buffer.from(data, "base64"),
    }
  }

  /** Drops what a subject has before a sequence; answers how many. */
  async purge(filter: string, seq: number): Promise<number> {
    const { purged } = await this.ask<{ readonly purged: number }>(`STREAM.PURGE.${this.name}`, { filter, seq })
    return purged
  }

  /** Drops a message, its bytes too. Throws UnavailableError, also where there is none. */
  async delete(seq: number): Promise<void> {
    await this.ask(`STREAM.MSG.DELETE.${this.name}`, { seq })
  }

  /** Asks JetStream's API, for a while again and again where nobody is in charge: so only what may be done twice is asked. */
  async ask<T>(subject: string, body?: unknown): Promise<T> {
    const answer = await this.#find<T>(subject, body)
    if (answer === undefined) throw new UnavailableError(`the stream ${this.name} has no such message`)
    return answer
  }

  async #find<T>(subject: string, body: unknown): Promise<T | undefined> {
    const until = this.#clock.steady() + waitMsMax
    // Ends: after waitMsMax at the latest.
    for (;;) {
      try {
        return await ask<T>(this.#nats, subject, body)
      } catch (error) {
        if (error instanceof JetStreamError && error.code === reasons.noMessage) return undefined
        if (this.#nats.isClosed()) throw new ClosedError()
        if (!(error instanceof NoAnswerError || error instanceof JetStreamError)) throw error
        const passes = error instanceof NoAnswerError || isPassing(error.code)
        if (!passes || this.#clock.steady() >= until) {
          throw new UnavailableError(`the stream ${this.name} cannot be read at present: ${error.message}`, {
            cause: error,
          })
        }
        await sleep(this.#clock, restMs)
      }
    }
  }
}
