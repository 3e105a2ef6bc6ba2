import { type Msg, type NatsConnection, nuid } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { DeadLetterQuery } from "../../../core/dead-letters.ts"
import type { Ending, Lease, LeaseName, LeaseRequest } from "../../../core/deliveries.ts"
import type { DeadLetter, Delivery, TriggerName } from "../../../core/delivery.ts"
import { OverloadError, UnavailableError } from "../../../core/errors.ts"
import type { Logger } from "../../../core/logger.ts"
import type { OpenDeliveryPage, OpenDeliveryQuery } from "../../../core/open-delivery.ts"
import type { Fence } from "../../../core/positions.ts"
import type { Carried } from "../../../core/transfer.ts"
import type { EnqueueCall, ReaderStep, Shard } from "./shard.ts"
import { cut, type PackedDelivery, packError, unpack } from "./wire.ts"

export interface AnsweringOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly log: Logger
  readonly subject: string
  readonly shard: Shard
  /** Of one answer. */
  readonly answerBytesMax: number
}

/** `more`: there are others after the last. */
export interface LetterPage {
  readonly letters: readonly DeadLetter[]
  readonly more: boolean
}

/** `session` is to be asked for the next; there is none when that was all. */
export interface CarriedPage {
  readonly items: readonly Carried[]
  readonly session?: string
}

type LeasingOperation = "lease" | "leased" | "keep" | "unlock" | "extend" | "end" | "due"

export type Operation =
  | LeasingOperation
  | "ping"
  | "enqueue"
  | "position"
  | "claim"
  | "forget"
  | "resume"
  | "held"
  | "drop"
  | "move"
  | "open"
  | "openDeliveries"
  | "depth"
  | "statusOf"
  | "deadLetters"
  | "deadLetter"
  | "redrive"
  | "discard"
  | "carried"
  | "carry"

const requestsMax = 512
/** Those that wait until a lane is due, and for how long. */
const duesMax = 4_096
export const dueMsMax = 10_000
/** A lease as JSON takes less. */
const leaseBytes = 1_024
/** Of one answer. */
const itemsMax = 1_000
const sessionsMax = 4
/** A session that is not asked for so long ends. */
const sessionMs = 60_000

interface Session {
  readonly pages: AsyncIterator<readonly Carried[]>
  rest: readonly (readonly Carried[])[]
  cancel: () => void
}

/** Answers other processes' requests for a shard that is held here, until it is closed. */
export class Answering {
  readonly #options: AnsweringOptions
  readonly #subscription: { unsubscribe(): void }
  readonly #sessions = new Map<string, Session>()
  #requests = 0
  #dues = 0
  readonly #closed = new AbortController()

  constructor(options: AnsweringOptions) {
    this.#options = options
    const callback = (error: Error | null, message: Msg) => {
      if (error === null) void this.#answer(message)
    }
    this.#subscription = options.nats.subscribe(options.subject, { callback })
  }

  /** Takes no more requests; those that it has are answered. */
  close(): void {
    if (!this.#options.nats.isClosed()) this.#subscription.unsubscribe()
    for (const id of [...this.#sessions.keys()]) this.#end(id)
    this.#closed.abort()
  }

  async #answer(message: Msg): Promise<void> {
    const { shard, log } = this.#options
    let answer: object
    this.#requests++
    try {
      if (this.#requests > requestsMax) throw new OverloadError(100)
      const { operation, args } = message.json<{ operation: Operation; args: never[] }>()
      answer = { value: await this.#do(operation, args) }
    } catch (error) {
      // Whoever has the shard now has got this request too, and answers it.
      if (shard.lost.aborted) return
      const packed = packError(error)
      if (packed.name === "Error" || packed.name === "TypeError")
        log.error({ err: error }, "a request of the queue failed: this is a bug")
      answer = { error: packed }
    } finally {
      this.#requests--
    }
    this.#respond(message, answer)
  }

  #respond(message: Msg, answer: object): void {
    const { nats, log } = this.#options
    if (nats.isClosed()) return
    try {
      message.respond(JSON.stringify(answer))
    } catch (error) {
      log.error({ err: error }, "an answer of the queue cannot be sent")
    }
  }

  async #do(operation: Operation, args: readonly never[]): Promise<unknown> {
    const { shard } = this.#options
    const [first, second, third] = args as readonly unknown[] as readonly [string, string, string]
    switch (operation) {
      case "ping":
        return true
      case "enqueue":
        return shard.enqueue(enqueueCall(args))
      case "position":
        return shard.position(first)
      case "claim":
        return shard.claim(args[0] as unknown as Fence)
      case "forget":
        return shard.forget(first)
      case "resume":
        return shard.resume(first, second, third)
      case "held":
        return shard.held()
      case "drop":
        return shard.drop(first, second, third)
      case "move":
        return shard.move(args[0] as unknown as TriggerName, second)
      case "open":
        return shard.open(args[0] as unknown as Delivery)
      case "openDeliveries":
        return this.#openDeliveries(args[0] as unknown as OpenDeliveryQuery)
      case "depth":
        return shard.depth(first)
      case "statusOf":
        return [...(await shard.statusOf(args[0] as unknown as readonly string[]))]
      case "deadLetters":
        return this.#letters(args[0] as unknown as DeadLetterQuery)
      case "deadLetter":
        return shard.deadLetter(first, second)
      case "redrive":
        return shard.redrive(first, second, args[2] as unknown as Delivery | undefined)
      case "discard":
        return shard.discard(first, second)
      case "carried":
        return this.#carried(first as string | null)
      case "carry":
        return shard.carry(args[0] as unknown as readonly Carried[])
      default:
        return this.#doLeasing(operation, args)
    }
  }

  async #doLeasing(operation: LeasingOperation, args: readonly never[]): Promise<unknown> {
    const { shard } = this.#options
    const [first, second] = args as readonly unknown[] as readonly [string, unknown]
    switch (operation) {
      case "lease":
        return this.#lease(args[0] as unknown as LeaseRequest)
      case "leased":
        return shard.leased(first, leaseNames(second as readonly number[], args[2]))
      case "keep":
        return shard.keep(first, second as readonly LeaseName[])
      case "unlock":
        return shard.unlock(first, second as readonly string[])
      case "extend":
        return shard.extend(args[0] as unknown as Lease, second as number)
      case "end":
        return shard.end(args[0] as unknown as Lease, second as Ending)
      case "due":
        return this.#due(first)
    }
  }

  #lease(options: LeaseRequest): Promise<readonly Lease[]> {
    const max = Math.min(options.max, Math.floor(this.#options.answerBytesMax / leaseBytes))
    return this.#options.shard.lease({ ...options, max })
  }

  /** Answers whether the lane has come to be due meanwhile. While it waits, it takes no place of other requests. */
  async #due(lane: string): Promise<boolean> {
    const { shard, clock } = this.#options
    if (this.#dues >= duesMax) throw new OverloadError(1_000, "too many wait for work at once")
    const over = new AbortController()
    const cancel = clock.after(dueMsMax, () => over.abort())
    this.#dues++
    this.#requests--
    try {
      await shard.due(lane, AbortSignal.any([over.signal, this.#closed.signal]))
      return !over.signal.aborted
    } finally {
      this.#requests++
      this.#dues--
      cancel()
    }
  }

  async #letters(query: DeadLetterQuery): Promise<LetterPage> {
    const limit = Math.min(query.limit, itemsMax)
    const found = await this.#options.shard.deadLetters({ ...query, limit })
    const letters = cut(found, this.#options.answerBytesMax)[0]!
    return { letters, more: letters.length < found.length || (found.length === limit && limit < query.limit) }
  }

  async #openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
    const page = await this.#options.shard.openDeliveries({ ...query, limit: Math.min(query.limit, itemsMax) })
    const deliveries = cut(page.deliveries, this.#options.answerBytesMax)[0]!
    return deliveries.length === page.deliveries.length ? page : { deliveries, next: deliveries.at(-1)!.delivery.id }
  }

  async #carried(asked: string | null): Promise<CarriedPage> {
    const { shard, clock, answerBytesMax } = this.#options
    const id = asked ?? nuid.next()
    if (asked === null) {
      if (this.#sessions.size >= sessionsMax) throw new OverloadError(sessionMs, "too many read all deliveries at once")
      this.#sessions.set(id, { pages: shard.carried()[Symbol.asyncIterator](), rest: [], cancel: () => {} })
    }
    const session = this.#sessions.get(id)
    if (session === undefined)
      throw new UnavailableError("reading all deliveries took too long, or its shard has moved")
    session.cancel()
    session.cancel = clock.after(sessionMs, () => this.#end(id))
    if (session.rest.length === 0) {
      const { done, value } = await session.pages.next()
      if (done) {
        this.#end(id)
        return { items: [] }
      }
      session.rest = cut(value, answerBytesMax)
    }
    const [items, ...rest] = session.rest
    session.rest = rest
    return { items: items!, session: id }
  }

  #end(id: string): void {
    const session = this.#sessions.get(id)
    this.#sessions.delete(id)
    session?.cancel()
    // Where it is being read from at the moment it ends after that.
    session?.pages.return?.().catch(() => undefined)
  }
}

/** A process of an earlier version says no ids, and knows of no leases that never lapse. */
function leaseNames(tokens: readonly number[], ids: readonly string[] = []): readonly LeaseName[] {
  return tokens.map((token, i) => ({ token, id: ids[i] ?? "" }))
}

function enqueueCall(args: readonly unknown[]): EnqueueCall {
  const [packed, reader] = args as [readonly PackedDelivery[], ReaderStep | null | undefined]
  return { deliveries: packed.map(unpack), ...(reader && { reader }) }
}
