import { Agent, errors, request } from "undici"
import { Rhythm } from "./rhythm.ts"
import { bodyOf, eventOf, type LoadEvent } from "./workload.ts"

/** A hub that takes events at present. */
export interface Target {
  /** `http://127.0.0.1:port` */
  readonly address: string
}

export interface LoadOptions {
  readonly key: string
  readonly ratePerSecond: number
  /** Those that run; asked anew for each request. */
  targets(): readonly Target[]
}

/** An answer of 202. Times are milliseconds of performance.now(). */
export interface Acknowledgement {
  readonly event: LoadEvent
  /** When the request that was acknowledged began. */
  readonly sentAt: number
  readonly answeredAt: number
  /** Whether the hub says that an earlier request had stored it. */
  readonly duplicate: boolean
}

/** A request that was not acknowledged: an HTTP status, or none. */
export interface Failure {
  readonly what: number | "timeout" | "connection"
  readonly sentAt: number
  readonly endedAt: number
}

/** Events whose publishing is not over, at most: more are not begun, so that an outage ends without a flood. */
const outstandingMax = 256
/** What was due and could not be sent is caught up on for so long. */
const burstMs = 100
const tickMs = 5
/** A hub has to answer within this, whatever the state of what is behind it. */
const answerMsMax = 15_000
/** Of Retry-After, so that the end of an outage is seen soon. */
const retryMsMax = 500

/** Publishes at a steady rate. Each event is sent again, round the hubs, until one of them acknowledges it. */
export class Load {
  readonly acknowledged = new Map<string, Acknowledgement>()
  readonly failures: Failure[] = []
  /** Of acknowledgements, by topic. */
  readonly rhythm = new Rhythm()
  #published = 0
  #outstanding = 0
  #turn = 0
  #over = false
  #gaveUp = false
  readonly #options: LoadOptions
  readonly #agent = new Agent({
    connections: outstandingMax,
    connect: { timeout: 5_000 },
    headersTimeout: answerMsMax,
    bodyTimeout: answerMsMax,
  })

  constructor(options: LoadOptions) {
    this.#options = options
  }

  /** Events begun. */
  get published(): number {
    return this.#published
  }

  get outstanding(): number {
    return this.#outstanding
  }

  /** Answers of this status, or failures of this kind. */
  count(what: Failure["what"]): number {
    return this.failures.filter((failure) => failure.what === what).length
  }

  /** Publishes until stop() is called. */
  async run(): Promise<void> {
    const { ratePerSecond } = this.#options
    let [credit, lastAt] = [0, performance.now()]
    // Ends: with stop().
    while (!this.#over) {
      await pause(tickMs)
      const now = performance.now()
      credit = Math.min(credit + ((now - lastAt) * ratePerSecond) / 1000, (burstMs * ratePerSecond) / 1000)
      lastAt = now
      for (; credit >= 1 && this.#outstanding < outstandingMax; credit--) void this.#publish(eventOf(this.#published++))
    }
  }

  /** Begins no more; what was begun goes on. */
  stop(): void {
    this.#over = true
  }

  /** Gives up what is not acknowledged. */
  async close(): Promise<void> {
    this.stop()
    this.#gaveUp = true
    await this.#agent.destroy()
  }

  async #publish(event: LoadEvent): Promise<void> {
    this.#outstanding++
    const body = bodyOf(event)
    // Ends: with close(), which whoever waits for what is open calls when nothing moves any more.
    while (!this.#gaveUp) {
      const targets = this.#options.targets()
      const target = targets[this.#turn++ % targets.length]
      const waitMs = target === undefined ? 20 : await this.#send(target, event, body)
      if (waitMs === undefined) break
      await pause(waitMs)
    }
    this.#outstanding--
  }

  /** Undefined once it is acknowledged, else when to try again. */
  async #send({ address }: Target, event: LoadEvent, body: string): Promise<number | undefined> {
    const sentAt = performance.now()
    try {
      const answer = await request(`${address}/v1/topics/${event.topic}/events`, {
        dispatcher: this.#agent,
        method: "POST",
        headers: { authorization: `Bearer ${this.#options.key}`, "content-type": "application/cloudevents+json" },
        body,
      })
      const text = await answer.body.text()
      const answeredAt = performance.now()
      if (answer.statusCode !== 202) {
        this.failures.push({ what: answer.statusCode, sentAt, endedAt: answeredAt })
        return Math.min(retryMsMax, Number(answer.headers["retry-after"] ?? 0.05) * 1000)
      }
      const { duplicate = false } = JSON.parse(text) as { readonly duplicate?: boolean }
      this.acknowledged.set(event.id, { event, sentAt, answeredAt, duplicate })
      this.rhythm.note(event.topic, answeredAt)
      return undefined
    } catch (error) {
      if (!this.#gaveUp) this.failures.push({ what: kindOf(error), sentAt, endedAt: performance.now() })
      return 20
    }
  }
}

function kindOf(error: unknown): "timeout" | "connection" {
  const { ConnectTimeoutError, HeadersTimeoutError, BodyTimeoutError } = errors
  const timeouts = [ConnectTimeoutError, HeadersTimeoutError, BodyTimeoutError]
  return timeouts.some((kind) => error instanceof kind) ? "timeout" : "connection"
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
