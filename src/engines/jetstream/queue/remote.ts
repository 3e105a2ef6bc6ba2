import { type NatsConnection, RequestError } from "@nats-io/nats-core"
import type { Cursor } from "../../../core/cursor.ts"
import type { DeadLetterQuery } from "../../../core/dead-letters.ts"
import type { DeadLetter, Delivery, TriggerName } from "../../../core/delivery.ts"
import { UnavailableError } from "../../../core/errors.ts"
import type { LaneStatus } from "../../../core/lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "../../../core/open-delivery.ts"
import type { Fence } from "../../../core/positions.ts"
import type { Carried } from "../../../core/transfer.ts"
import type { CarriedPage, LetterPage, Operation } from "./answering.ts"
import type { EnqueueCall, ShardCalls } from "./shard.ts"
import { cut, type PackedDelivery, type PackedError, pack, unpackError } from "./wire.ts"

export interface RemoteOptions {
  readonly nats: NatsConnection
  readonly number: number
  readonly subject: string
  /** Of one request. */
  readonly requestBytesMax: number
  /** Told of each request: undefined when it was answered, else why not. */
  heard(number: number, failure: string | undefined): void
}

/** Lanes in one request: their answer fits into a message. */
const lanesAtOnce = 256
const answerMsMax = 5_000
/** For what goes through all that a shard holds. */
const longAnswerMsMax = 30_000

/** A shard of the queue in whatever process holds it. Every call throws StorageError while none does, or none answers. */
export class RemoteShard implements ShardCalls {
  readonly #options: RemoteOptions

  constructor(options: RemoteOptions) {
    this.#options = options
  }

  /** Resolves when somebody holds it. */
  async ping(): Promise<void> {
    await this.#ask("ping", [], 1_000)
  }

  /** In several requests where it is much: the position moves with the last, so they are as one. */
  async enqueue({ deliveries, reader }: EnqueueCall): Promise<void> {
    const lists: readonly (readonly PackedDelivery[])[] = cut(deliveries.map(pack), this.#options.requestBytesMax)
    for (const [i, list] of lists.entries()) {
      if (i === lists.length - 1 || reader === undefined) {
        await this.#ask("enqueue", [list, reader])
        continue
      }
      const { moveTo, ...step } = reader
      await this.#ask("enqueue", [list, step])
    }
  }

  async position(reader: string): Promise<Cursor | undefined> {
    return ((await this.#ask("position", [reader])) as Cursor | null) ?? undefined
  }

  async claim(fence: Fence): Promise<void> {
    await this.#ask("claim", [fence])
  }

  async forget(reader: string): Promise<void> {
    await this.#ask("forget", [reader])
  }

  async resume(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return (await this.#ask("resume", [tenant, trigger, incarnation], longAnswerMsMax)) as number
  }

  async held(): Promise<readonly TriggerName[]> {
    return (await this.#ask("held", [], longAnswerMsMax)) as readonly TriggerName[]
  }

  async drop(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return (await this.#ask("drop", [tenant, trigger, incarnation], longAnswerMsMax)) as number
  }

  async move(of: TriggerName, destination: string): Promise<number> {
    return (await this.#ask("move", [of, destination], longAnswerMsMax)) as number
  }

  async open(delivery: Delivery): Promise<OpenDelivery | undefined> {
    return ((await this.#ask("open", [delivery])) as OpenDelivery | null) ?? undefined
  }

  async openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
    return (await this.#ask("openDeliveries", [query], longAnswerMsMax)) as OpenDeliveryPage
  }

  async depth(lane: string): Promise<number> {
    return (await this.#ask("depth", [lane])) as number
  }

  async statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>> {
    const found: (readonly [string, LaneStatus])[] = []
    for (let i = 0; i < lanes.length; i += lanesAtOnce) {
      const asked = lanes.slice(i, i + lanesAtOnce)
      found.push(...((await this.#ask("statusOf", [asked])) as readonly (readonly [string, LaneStatus])[]))
    }
    return new Map(found)
  }

  async deadLetters(query: DeadLetterQuery): Promise<readonly DeadLetter[]> {
    const found: DeadLetter[] = []
    for (let after = query.after; found.length < query.limit; after = found.at(-1)?.id) {
      const asked = { ...query, limit: query.limit - found.length, ...(after !== undefined && { after }) }
      const page = (await this.#ask("deadLetters", [asked], longAnswerMsMax)) as LetterPage
      found.push(...page.letters)
      if (!page.more) break
    }
    return found
  }

  async deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined> {
    return ((await this.#ask("deadLetter", [tenant, id])) as DeadLetter | null) ?? undefined
  }

  async redrive(tenant: string, id: string): Promise<boolean> {
    return (await this.#ask("redrive", [tenant, id])) as boolean
  }

  async discard(tenant: string, id: string): Promise<boolean> {
    return (await this.#ask("discard", [tenant, id])) as boolean
  }

  async *carried(): AsyncIterable<readonly Carried[]> {
    // Ends: with the pages: the last one names no session.
    for (let session: string | null = null; ; ) {
      const page = (await this.#ask("carried", [session], longAnswerMsMax)) as CarriedPage
      if (page.items.length > 0) yield page.items
      if (page.session === undefined) return
      session = page.session
    }
  }

  async carry(items: readonly Carried[]): Promise<void> {
    for (const list of cut(items, this.#options.requestBytesMax)) await this.#ask("carry", [list])
  }

  async #ask(operation: Operation, args: readonly unknown[], timeout = answerMsMax): Promise<unknown> {
    const { nats, subject, number, heard } = this.#options
    let answer: { readonly value?: unknown; readonly error?: PackedError }
    try {
      const message = await nats.request(subject, JSON.stringify({ operation, args }), { timeout })
      answer = message.json()
    } catch (error) {
      const isNobody = error instanceof RequestError && error.isNoResponders()
      const why = isNobody ? "no process holds it" : "whoever holds it does not answer"
      heard(number, why)
      throw new UnavailableError(`queue shard ${number}: ${why}`, { cause: error })
    }
    heard(number, undefined)
    if (answer.error) throw unpackError(answer.error)
    return answer.value
  }
}
