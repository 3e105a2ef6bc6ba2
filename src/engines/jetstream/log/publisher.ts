import { createInbox, type MsgHdrs, type NatsConnection, nuid, type Subscription } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { Names } from "../names.ts"
import { answerOf } from "./answer.ts"
import type { Link } from "./link.ts"
import { type Outgoing, PublishPipeline, type Wire } from "./pipeline.ts"
import { asciiOf, type RawMessage, rawOf } from "./raw-message.ts"
import { LogStream } from "./stream.ts"
import { Voids } from "./voids.ts"

export interface PublisherOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly clock: Clock
  readonly link: Link
  readonly partitions: number
  readonly replicas: number
}

interface Awaited {
  readonly pipeline: PublishPipeline
  readonly outgoing: Outgoing
}

/** Sends messages to the partitions' streams, and hands the answers back: one subscription serves them all. */
export class Publisher {
  /** Who wrote a message: one for each opening of the log. */
  readonly writer = nuid.next()
  readonly pipelines: readonly PublishPipeline[]
  readonly #nats: NatsConnection
  readonly #prefix = `${createInbox()}.`
  readonly #subscription: Subscription
  readonly #awaited = new Map<string, Awaited>()
  /** Sent in this turn of the event loop. */
  #outbox = new Set<Outgoing>()
  readonly #forget: () => void
  #token = 0

  constructor({ nats, names, clock, link, partitions, replicas }: PublisherOptions) {
    this.#nats = nats
    this.#subscription = nats.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        if (error === null) this.#take(rawOf(message))
      },
    })
    this.pipelines = Array.from({ length: partitions }, (_, partition) => {
      const stream = new LogStream({ nats, clock, name: names.logStream(partition), replicas })
      const wire: Wire = {
        clock,
        get up() {
          return link.up
        },
        send: (pipeline, outgoing) => this.#send(pipeline, outgoing),
        forget: ({ token }) => {
          if (token !== undefined) this.#awaited.delete(token)
        },
        probe: () =>
          stream.state().then(
            () => true,
            () => false,
          ),
      }
      return new PublishPipeline(wire, new Voids())
    })
    this.#forget = link.listen({
      cut: () => this.#each((pipeline) => pipeline.cut()),
      restored: () => this.#each((pipeline) => pipeline.restored()),
    })
  }

  /** Messages that have not been answered. */
  get pending(): number {
    return this.pipelines.reduce((sum, pipeline) => sum + pipeline.pending, 0)
  }

  /** Resolves when everything is answered or given up. */
  async settled(): Promise<void> {
    for (const pipeline of this.pipelines) await pipeline.settled()
  }

  close(): void {
    this.#forget()
    this.#each((pipeline) => pipeline.close())
    if (!this.#nats.isClosed()) this.#subscription.unsubscribe()
  }

  #each(tell: (pipeline: PublishPipeline) => void): void {
    for (const pipeline of this.pipelines) tell(pipeline)
  }

  /** What is sent in one turn of the event loop goes out together, in one write. */
  #send(pipeline: PublishPipeline, outgoing: Outgoing): void {
    outgoing.token ??= (++this.#token).toString(36)
    this.#awaited.set(outgoing.token, { pipeline, outgoing })
    if (this.#outbox.size === 0) setImmediate(() => this.#flush())
    this.#outbox.add(outgoing)
  }

  #flush(): void {
    const outbox = this.#outbox
    this.#outbox = new Set()
    for (const outgoing of outbox) {
      const { token } = outgoing
      // Given up in the meantime.
      if (token !== undefined && this.#awaited.has(token)) this.#publish(outgoing, token)
    }
  }

  #publish(outgoing: Outgoing, token: string): void {
    const frames = outgoing.frames()
    const last = frames.length - 1
    for (let i = 0; i <= last; i++) {
      const { subject, header, payload } = frames[i]!
      const headers = { encode: () => header } as unknown as MsgHdrs
      // A closed connection throws; that nothing answers is found in its time.
      if (this.#nats.isClosed()) return
      this.#nats.publish(subject, payload, i === last ? { headers, reply: this.#prefix + token } : { headers })
    }
  }

  #take(raw: RawMessage): void {
    const token = asciiOf(raw.subject.subarray(this.#prefix.length))
    const awaited = this.#awaited.get(token)
    if (awaited === undefined) return
    this.#awaited.delete(token)
    awaited.pipeline.answered(awaited.outgoing, answerOf(raw))
  }
}
