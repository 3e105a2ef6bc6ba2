import { createInbox, type NatsConnection, nuid, type Subscription } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import { UnavailableError } from "../../../core/errors.ts"
import type { Link } from "./link.ts"
import { asciiOf, headerOf, placeOf, pullBytesOf, type RawMessage, rawOf, statusOf } from "./raw-message.ts"
import type { Delivered } from "./stored-message.ts"
import type { LogStream } from "./stream.ts"

export interface PullerOptions {
  readonly nats: NatsConnection
  readonly link: Link
  readonly clock: Clock
  readonly stream: LogStream
  /** Copies that the stream has: where there are several, a consumer may be at one that is a little behind. */
  readonly replicas: number
  /** Empty: all. */
  readonly subjects: readonly string[]
  /** Begins after this sequence. */
  readonly after: number
  readonly headersOnly?: boolean
  /** Messages to ask for at once. */
  readonly pullMax: number
}

const heartbeatMs = 2_000
const expiresMs = 20_000
/** Without a message or a sign of life for so long, reading begins anew. */
const silenceMsMax = 6_000
const watchMs = 1_000
const restMs = [50, 100, 200, 400, 800, 1_600] as const
const nanosPerMs = 1_000_000

interface ConsumerInfo {
  readonly num_pending: number
}

/**
 * Reads a stream in order, each message once: over cuts, restarts and changes of leader, after each of which it goes on where
 * it was with another consumer. It asks for no more than is taken from it.
 */
export class Puller {
  readonly #options: PullerOptions
  readonly #forget: () => void
  #buffer: Delivered[] = []
  #taken = 0
  /** Everything up to here that matches has come. */
  #position: number
  /** Nothing more matched when the last message came. */
  #caughtUp = false
  #asked = 0
  #consumer: string | undefined
  #subscription: Subscription | undefined
  #inbox = ""
  #consumerSequence = 0
  #heardAt = 0
  #failures = 0
  #opening = false
  #closed = false
  #wake: (() => void) | undefined
  #cancelWatch: (() => void) | undefined
  #cancelOpen: (() => void) | undefined

  constructor(options: PullerOptions) {
    this.#options = options
    this.#position = options.after
    this.#forget = options.link.listen({ cut: () => this.#break(), restored: () => this.#openSoon(0) })
    this.#openSoon(0)
    this.#watch()
  }

  /** Everything that matches up to this sequence has come, and perhaps more. */
  get position(): number {
    return this.#position
  }

  /** Whether there was nothing more when the last message came. */
  get caughtUp(): boolean {
    return this.#caughtUp
  }

  /** Up to `max` messages that have come, in order. */
  take(max: number): readonly Delivered[] {
    const from = this.#taken
    const to = Math.min(from + max, this.#buffer.length)
    const taken = from === 0 && to === this.#buffer.length ? this.#buffer : this.#buffer.slice(from, to)
    this.#taken = to
    if (to === this.#buffer.length) {
      this.#buffer = []
      this.#taken = 0
    }
    if (taken.length > 0) this.#pull()
    return taken
  }

  /** Resolves when there may be more to take, after `ms`, or when `signal` aborts. For one caller at a time. */
  more(signal?: AbortSignal, ms?: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#buffer.length > this.#taken || this.#closed || signal?.aborted) return resolve()
      const done = () => {
        signal?.removeEventListener("abort", done)
        cancel?.()
        this.#wake = undefined
        resolve()
      }
      const cancel = ms === undefined ? undefined : this.#options.clock.after(ms, done)
      this.#wake = done
      signal?.addEventListener("abort", done, { once: true })
    })
  }

  /**
   * Whether all that matches up to `sequence` has come, which the stream had before this reading began, or where `later`
   * is set, before the call. Where nothing says so yet, the stream's leader is asked. Throws StorageError.
   */
  async reached(sequence: number, later = false): Promise<boolean> {
    if (this.#position >= sequence) return true
    const { stream, replicas, subjects } = this.#options
    if (this.#caughtUp && replicas === 1 && !later) return this.#skipTo(sequence)
    if (!(await stream.hasNone(subjects, this.#position, sequence))) return this.#position >= sequence
    return this.#skipTo(sequence)
  }

  #skipTo(sequence: number): true {
    this.#position = Math.max(this.#position, sequence)
    this.#wake?.()
    return true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#forget()
    this.#cancelWatch?.()
    this.#cancelOpen?.()
    this.#drop()
    this.#wake?.()
  }

  #watch(): void {
    this.#cancelWatch = this.#options.clock.after(watchMs, () => {
      const { clock } = this.#options
      if (this.#asked > 0 && clock.steady() - this.#heardAt > silenceMsMax) {
        this.#break()
        this.#openSoon(0)
      }
      this.#watch()
    })
  }

  /** The consumer is of no use any more. */
  #break(): void {
    this.#caughtUp = false
    this.#drop()
    this.#wake?.()
  }

  #drop(): void {
    const { nats, stream } = this.#options
    const name = this.#consumer
    this.#consumer = undefined
    this.#asked = 0
    if (nats.isClosed()) return
    this.#subscription?.unsubscribe()
    this.#subscription = undefined
    if (name !== undefined) nats.publish(`$JS.API.CONSUMER.DELETE.${stream.name}.${name}`)
  }

  #openSoon(ms: number): void {
    this.#cancelOpen?.()
    this.#cancelOpen = this.#options.clock.after(ms, () => void this.#open())
  }

  async #open(): Promise<void> {
    const { link, nats, stream } = this.#options
    if (this.#closed || this.#opening || this.#consumer !== undefined || !link.up || nats.isClosed()) return
    this.#opening = true
    const after = this.#position
    const name = `read_${nuid.next()}`
    try {
      const config = this.#config(name, after)
      const made = await stream.ask<ConsumerInfo>(`CONSUMER.CREATE.${stream.name}.${name}`, {
        stream_name: stream.name,
        config,
      })
      if (this.#closed || !link.up) throw new UnavailableError("the connection was cut")
      this.#failures = 0
      this.#begin(name, made)
    } catch {
      if (!nats.isClosed() && !this.#closed) nats.publish(`$JS.API.CONSUMER.DELETE.${stream.name}.${name}`)
      this.#openSoon(restMs[Math.min(this.#failures++, restMs.length - 1)]!)
    } finally {
      this.#opening = false
    }
    this.#wake?.()
  }

  #config(name: string, after: number) {
    const { subjects, headersOnly = false } = this.#options
    return {
      name,
      deliver_policy: "by_start_sequence",
      opt_start_seq: after + 1,
      ack_policy: "none",
      replay_policy: "instant",
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: 30_000 * nanosPerMs,
      ...(headersOnly && { headers_only: true }),
      ...(subjects.length > 0 && { filter_subjects: subjects }),
    }
  }

  #begin(name: string, made: ConsumerInfo): void {
    const { nats, clock } = this.#options
    this.#consumer = name
    this.#consumerSequence = 0
    this.#caughtUp = made.num_pending === 0
    this.#heardAt = clock.steady()
    this.#inbox = createInbox()
    this.#subscription = nats.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (this.#consumer !== name) return
        if (error === null) this.#receive(rawOf(message))
        else this.#renew()
      },
    })
    this.#pull()
  }

  #renew(): void {
    this.#break()
    this.#openSoon(restMs[0])
  }

  /** Asks for more where little is left. */
  #pull(): void {
    const { pullMax } = this.#options
    if (this.#consumer === undefined || this.#options.nats.isClosed()) return
    const held = this.#buffer.length - this.#taken
    if (this.#asked + held > pullMax) return
    if (this.#asked === 0) this.#heardAt = this.#options.clock.steady()
    this.#ask({
      batch: pullMax,
      max_bytes: pullBytesOf(this.#options.nats),
      expires: expiresMs * nanosPerMs,
      idle_heartbeat: heartbeatMs * nanosPerMs,
    })
  }

  #ask(request: { readonly batch: number } & Record<string, unknown>): void {
    const { nats, stream } = this.#options
    this.#asked += request.batch
    nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream.name}.${this.#consumer}`, JSON.stringify(request), {
      reply: this.#inbox,
    })
  }

  #receive(raw: RawMessage): void {
    const { clock } = this.#options
    this.#heardAt = clock.steady()
    const status = raw.header === undefined ? 0 : statusOf(raw.header)
    if (status !== 0) {
      this.#heed(status, asciiOf(raw.header!))
      return
    }
    const place = placeOf(raw.reply!)
    if (place.consumerSequence !== this.#consumerSequence + 1) {
      this.#renew()
      return
    }
    this.#consumerSequence++
    this.#asked--
    this.#caughtUp = place.pending === 0
    // A copy that is behind lets a consumer begin before where it was told to.
    if (place.sequence <= this.#position) {
      this.#pull()
      return
    }
    this.#position = place.sequence
    this.#buffer.push({
      subject: raw.subject,
      sequence: place.sequence,
      storedAt: place.storedAt,
      header: raw.header,
      data: raw.data,
    })
    this.#pull()
    this.#wake?.()
  }

  /** A heartbeat, or the end of one asking: with what it did not bring, or because the consumer is gone. */
  #heed(status: number, header: string): void {
    if (status === 100) return
    const left = headerOf(header, "Nats-Pending-Messages")
    if (left === undefined && status !== 404) {
      this.#renew()
      return
    }
    this.#asked = Math.max(0, this.#asked - (left === undefined ? 1 : Number(left)))
    this.#pull()
    this.#wake?.()
  }
}
