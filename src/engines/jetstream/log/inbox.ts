import { createInbox, type MsgHdrs, type NatsConnection, type Subscription } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { Inbox, InboxMessage } from "../../../core/inbox.ts"
import type { Logger } from "../../../core/logger.ts"
import { percentEncode } from "../../../formats/percent.ts"
import type { Names } from "../names.ts"
import { inboxPlan, nanosPerMs, refusedPlan } from "../plans.ts"
import { askAtStart } from "../start-requests.ts"
import { ensureStream } from "../streams.ts"
import { answerOf } from "./answer.ts"
import { headersOf, InboxDecoder } from "./inbox-message.ts"
import { Link } from "./link.ts"
import { asciiOf, placeOf, pullBytesOf, type RawMessage, rawOf, statusOf } from "./raw-message.ts"

export interface InboxOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly replicas: number
  readonly clock: Clock
  readonly log: Logger
}

/** The consumer that all processes share. */
const consumer = "hub"
/** Given and not settled for so long, a message is given to somebody else. */
const settledMsMax = 30_000
const openMax = 5_000
const pullMax = 256
const expiresMs = 5_000
const silenceMsMax = 8_000
const giveBackMs = 1_000
const answerMsMax = 3_000

/**
 * Opens what others publish on the tenants' subjects: a stream keeps it until it is settled, another one what was refused,
 * with the reason in its header `redcar-refusal`, for thirty days. Throws as {@link ensureStream}.
 */
export async function openInbox(options: InboxOptions): Promise<Inbox & { close(): Promise<void> }> {
  const { nats, clock, names } = options
  await ensureStream(nats, clock, inboxPlan(options))
  await ensureStream(nats, clock, refusedPlan(options))
  await askAtStart(nats, clock, `CONSUMER.DURABLE.CREATE.${names.inboxStream}.${consumer}`, {
    stream_name: names.inboxStream,
    config: {
      durable_name: consumer,
      ack_policy: "explicit",
      deliver_policy: "all",
      ack_wait: settledMsMax * nanosPerMs,
      max_ack_pending: openMax,
      max_deliver: -1,
    },
  })
  return new StreamInbox(options)
}

class StreamInbox implements Inbox {
  readonly #options: InboxOptions
  readonly #link: Link
  readonly #decoder = new InboxDecoder()
  readonly #closing = new AbortController()

  constructor(options: InboxOptions) {
    this.#options = options
    this.#link = new Link(options.nats)
  }

  async *receive(stop: AbortSignal): AsyncIterable<readonly InboxMessage[]> {
    const ending = AbortSignal.any([stop, this.#closing.signal])
    const reading = new InboxReading(this.#options, this.#link, ending)
    try {
      while (!ending.aborted) {
        const messages: InboxMessage[] = []
        for (const raw of await reading.next()) {
          const message = this.#message(raw)
          if (message !== undefined) messages.push(message)
        }
        if (messages.length > 0) yield messages
      }
    } finally {
      reading.close()
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#link.close()
  }

  #message(raw: RawMessage): InboxMessage | undefined {
    const { names, log } = this.#options
    const subject = asciiOf(raw.subject)
    const address = names.addressOf(subject)
    if (address === undefined) {
      const why = `the subject is not ${names.prefix}.<tenant>.<topic> or ${names.prefix}.<tenant>.<topic>.<key>`
      log.warn({ subject }, "a message from NATS is set aside: its subject names no topic")
      void this.#settle(raw, why)
      return undefined
    }
    return {
      address,
      content: this.#decoder.decode(headersOf(raw.header), raw.data),
      settle: (refusal) => this.#settle(raw, refusal),
      giveBack: async () => this.#tell(raw, `-NAK {"delay":${giveBackMs * nanosPerMs}}`),
    }
  }

  async #settle(raw: RawMessage, refusal: string | undefined): Promise<void> {
    const kept = refusal === undefined || (await this.#keepRefused(raw, refusal))
    this.#tell(raw, kept ? "+ACK" : `-NAK {"delay":${giveBackMs * nanosPerMs}}`)
  }

  /** Whether what was refused is kept. */
  async #keepRefused(raw: RawMessage, refusal: string): Promise<boolean> {
    const { nats, names, log } = this.#options
    const lines = headersOf(raw.header).map(([name, value]) => `${name}: ${value}\r\n`)
    const id = `Nats-Msg-Id: ${names.inboxStream}.${placeOf(raw.reply!).sequence}\r\n`
    const text = `NATS/1.0\r\n${lines.join("")}redcar-refusal: ${percentEncode(refusal)}\r\n${id}\r\n`
    const headers = { encode: () => Buffer.from(text, "latin1") } as unknown as MsgHdrs
    try {
      const subject = names.refusedSubjectOf(asciiOf(raw.subject))
      const answer = answerOf(rawOf(await nats.request(subject, raw.data, { headers, timeout: answerMsMax })))
      if (answer.kind === "stored" || answer.kind === "duplicate") return true
      log.warn({ answer }, "a refused message cannot be set aside; it is given again later")
    } catch (error) {
      log.warn({ why: String(error) }, "a refused message cannot be set aside; it is given again later")
    }
    return false
  }

  /** Where it is lost, the message is given again. */
  #tell(raw: RawMessage, what: string): void {
    if (!this.#options.nats.isClosed()) this.#options.nats.publish(asciiOf(raw.reply!), what)
  }
}

/** One receiver's share of the messages. */
class InboxReading {
  readonly #options: InboxOptions
  readonly #link: Link
  readonly #ending: AbortSignal
  readonly #inbox = createInbox()
  readonly #subscription: Subscription
  readonly #forget: () => void
  #buffer: RawMessage[] = []
  #asked = 0
  #heardAt = 0
  #wake: (() => void) | undefined

  constructor(options: InboxOptions, link: Link, ending: AbortSignal) {
    this.#options = options
    this.#link = link
    this.#ending = ending
    this.#subscription = options.nats.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error === null) this.#receive(rawOf(message))
      },
    })
    const again = () => {
      this.#asked = 0
      this.#wake?.()
    }
    this.#forget = link.listen({ cut: again, restored: again })
  }

  /** What has come; empty now and then. */
  async next(): Promise<readonly RawMessage[]> {
    if (this.#buffer.length === 0) {
      this.#pull()
      await this.#more()
    }
    const taken = this.#buffer
    this.#buffer = []
    return taken
  }

  close(): void {
    const { nats } = this.#options
    this.#forget()
    if (nats.isClosed()) return
    for (const { reply } of this.#buffer.splice(0)) nats.publish(asciiOf(reply!), "-NAK")
    this.#subscription.unsubscribe()
  }

  #pull(): void {
    const { nats, names, clock } = this.#options
    if (this.#asked > 0 && clock.steady() - this.#heardAt > silenceMsMax) this.#asked = 0
    if (this.#asked > 0 || !this.#link.up || nats.isClosed()) return
    this.#asked = pullMax
    this.#heardAt = clock.steady()
    const request = { batch: pullMax, max_bytes: pullBytesOf(nats), expires: expiresMs * nanosPerMs }
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${names.inboxStream}.${consumer}`
    nats.publish(subject, JSON.stringify(request), { reply: this.#inbox })
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#ending.aborted) return resolve()
      const done = () => {
        cancel()
        this.#ending.removeEventListener("abort", done)
        this.#wake = undefined
        resolve()
      }
      const cancel = this.#options.clock.after(giveBackMs, done)
      this.#ending.addEventListener("abort", done, { once: true })
      this.#wake = done
    })
  }

  #receive(raw: RawMessage): void {
    this.#heardAt = this.#options.clock.steady()
    const status = raw.header === undefined ? 0 : statusOf(raw.header)
    if (status !== 0) {
      this.#asked = 0
      // The asking has run its time; after everything else a rest is due.
      if (status !== 408) return
    } else {
      this.#buffer.push(raw)
      this.#asked--
    }
    this.#wake?.()
  }
}
