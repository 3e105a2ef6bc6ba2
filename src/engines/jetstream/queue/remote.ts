import { type NatsConnection, RequestError } from "@nats-io/nats-core"
import type { Cursor } from "../../../core/cursor.ts"
import type { DeadLetterQuery } from "../../../core/dead-letters.ts"
import type { Ending, Lease, LeaseName, LeaseRequest, LiveLease } from "../../../core/deliveries.ts"
import type { DeadLetter, Delivery, TriggerName } from "../../../core/delivery.ts"
import { UnavailableError } from "../../../core/errors.ts"
import type { LaneStatus } from "../../../core/lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "../../../core/open-delivery.ts"
import type { Fence } from "../../../core/positions.ts"
import type { Carried } from "../../../core/transfer.ts"
import { type CarriedPage, dueMsMax, type LetterPage, type Operation } from "./answering.ts"
import { AtOnce } from "./at-once.ts"
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
/** As above. */
const leasesAtOnce = 500
/** Requests that end or extend a lease, at a time: they are many, and others are to have their turn. */
const endingsMax = 64
const answerMsMax = 5_000
/** For what goes through all that a shard holds. */
const longAnswerMsMax = 30_000

/** A shard of the queue in whatever process holds it. Every call throws StorageError while none does, or none answers. */
export class RemoteShard implements ShardCalls {
  readonly #options: RemoteOptions
  readonly #endings = new AtOnce(endingsMax)
  /** What is being asked, by lane: however many wait here, the holder has one that does. */
  readonly #dues = new Map<string, Promise<boolean>>()

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

  /** What was given before a request fails is given all the same. */
  async lease(options: LeaseRequest): Promise<readonly Lease[]> {
    const leases: Lease[] = []
    // Ends: with what was asked for, or when the holder has no more.
    for (let isMore = options.max > 0; isMore; ) {
      const max = Math.min(options.max - leases.length, leasesAtOnce)
      try {
        const given = (await this.#ask("lease", [{ ...options, max }])) as readonly Lease[]
        leases.push(...given)
        isMore = given.length === max && leases.length < options.max
      } catch (error) {
        if (leases.length === 0) throw error
        isMore = false
      }
    }
    return leases
  }

  async leased(lane: string, names: readonly LeaseName[]): Promise<readonly (LiveLease | undefined)[]> {
    const [tokens, ids] = [names.map(({ token }) => token), names.map(({ id }) => id)]
    const found = (await this.#ask("leased", [lane, tokens, ids])) as readonly (LiveLease | null)[]
    return found.map((lease) => lease ?? undefined)
  }

  async keep(lane: string, names: readonly LeaseName[]): Promise<readonly boolean[]> {
    return (await this.#ask("keep", [lane, names])) as readonly boolean[]
  }

  async unlock(lane: string, ids: readonly string[]): Promise<readonly string[]> {
    return (await this.#ask("unlock", [lane, ids])) as readonly string[]
  }

  async extend(lease: Lease, leaseMs: number): Promise<void> {
    await this.#endings.run(() => this.#ask("extend", [lease, leaseMs]))
  }

  async end(lease: Lease, ending: Ending): Promise<void> {
    await this.#endings.run(() => this.#ask("end", [lease, ending]))
  }

  async due(lane: string, stop: AbortSignal): Promise<void> {
    const stopped = new Promise<boolean>((resolve) => {
      stop.addEventListener("abort", () => resolve(true), { once: true })
    })
    // Ends: with `stop`, or when it is due; each question has a limit of time.
    for (let isOver = stop.aborted; !isOver; ) isOver = await Promise.race([this.#isDue(lane), stopped])
  }

  #isDue(lane: string): Promise<boolean> {
    const known = this.#dues.get(lane)
    if (known !== undefined) return known
    const asked = this.#ask("due", [lane], dueMsMax + answerMsMax).finally(() => this.#dues.delete(lane))
    this.#dues.set(lane, asked as Promise<boolean>)
    return asked as Promise<boolean>
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

  async redrive(tenant: string, id: string, as?: Delivery): Promise<boolean> {
    return (await this.#ask("redrive", [tenant, id, ...(as === undefined ? [] : [as])])) as boolean
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
