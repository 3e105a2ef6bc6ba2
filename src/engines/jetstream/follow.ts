import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../core/clock.ts"
import { placeOf } from "./log/raw-message.ts"
import { onReconnect } from "./reconnects.ts"
import { ask } from "./request.ts"

/** The newest message of a subject. */
export interface Latest {
  readonly subject: string
  readonly sequence: number
  readonly message: Msg
}

export interface FollowOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly stream: string
  /** What of it: a subject, with wildcards. */
  readonly subjects: string
  readonly stop: AbortSignal
  /** Every message, in order of their sequences; after `restarted` beginning with the newest of each subject. */
  readonly seen: (latest: Latest) => void
  /** What is told from now on is all there is, up to `current`. */
  readonly restarted: () => void
  /** The newest of each subject has been told. */
  readonly current: () => void
  readonly failed: (error: unknown) => void
}

const heartbeatMs = 1_000
/** Without a sign of life for so long, reading begins anew. */
const silenceMsMax = 3_000
const againAfterMs = 250
const nanosPerMs = 1_000_000

/** Tells the newest message of each subject of a stream, and then every message, until `stop` aborts: over cuts and restarts. */
export async function follow(options: FollowOptions): Promise<void> {
  const { clock, stop, nats } = options
  while (!stop.aborted && !nats.isClosed()) {
    try {
      await followOnce(options)
    } catch (error) {
      if (stop.aborted || nats.isClosed()) return
      options.failed(error)
      await sleep(clock, againAfterMs, stop)
    }
  }
}

/** Resolves when it has heard nothing for too long, or has missed something. */
async function followOnce(options: FollowOptions): Promise<void> {
  const { nats, clock, stream, subjects, stop } = options
  const over = Promise.withResolvers<void>()
  const end = () => over.resolve()
  const reading = new Reading(options, end)
  const subject = createInbox()
  const subscription = nats.subscribe(subject, { callback: (error, message) => reading.take(error, message) })
  stop.addEventListener("abort", end)
  const cancel = watchSilence(clock, reading, end)
  // What came while there was no connection is lost to this consumer.
  const unlisten = onReconnect(nats, end)
  try {
    options.restarted()
    const name = `follow_${subject.slice(subject.lastIndexOf(".") + 1)}`
    const made = await ask<{ num_pending: number }>(nats, `CONSUMER.CREATE.${stream}.${name}.${subjects}`, {
      stream_name: stream,
      config: consumerConfig(name, subjects, subject),
    })
    if (made.num_pending === 0) reading.isCurrent()
    await over.promise
  } finally {
    cancel()
    unlisten()
    stop.removeEventListener("abort", end)
    unsubscribe(subscription)
  }
}

function consumerConfig(name: string, subjects: string, subject: string): Record<string, unknown> {
  return {
    name,
    filter_subject: subjects,
    deliver_subject: subject,
    deliver_policy: "last_per_subject",
    ack_policy: "none",
    replay_policy: "instant",
    flow_control: true,
    idle_heartbeat: heartbeatMs * nanosPerMs,
    inactive_threshold: 10_000 * nanosPerMs,
    mem_storage: true,
    num_replicas: 1,
  }
}

function unsubscribe(subscription: Subscription): void {
  if (!subscription.isClosed()) subscription.unsubscribe()
}

function watchSilence(clock: Clock, reading: Reading, silent: () => void): () => void {
  let cancel: () => void
  const check = () => {
    if (!reading.heard) return silent()
    reading.heard = false
    cancel = clock.after(silenceMsMax, check)
  }
  cancel = clock.after(silenceMsMax, check)
  return () => cancel()
}

/** One consumer's messages. */
class Reading {
  readonly #options: FollowOptions
  readonly #over: () => void
  #next = 1
  #current = false
  heard = false

  constructor(options: FollowOptions, over: () => void) {
    this.#options = options
    this.#over = over
  }

  take(error: Error | null, message: Msg): void {
    this.heard = true
    if (error) this.#over()
    else if (message.headers?.code === 100) this.#answerControl(message)
    else this.#takeStored(message)
  }

  #takeStored(message: Msg): void {
    const place = message.reply === undefined ? undefined : placeOf(Buffer.from(message.reply))
    if (place?.consumerSequence === this.#next) {
      this.#next++
      this.#options.seen({ subject: message.subject, sequence: place.sequence, message })
      if (place.pending === 0) this.isCurrent()
    } else this.#over()
  }

  isCurrent(): void {
    if (this.#current) return
    this.#current = true
    this.#options.current()
  }

  /** Flow control asks for an answer, a heartbeat only where it says that the consumer waits for one. */
  #answerControl(message: Msg): void {
    const last = message.headers?.get("Nats-Last-Consumer")
    if (message.reply) message.respond()
    const stalled = message.headers?.get("Nats-Consumer-Stalled")
    if (stalled) this.#options.nats.publish(stalled)
    if (last && Number(last) !== this.#next - 1) this.#over()
  }
}
