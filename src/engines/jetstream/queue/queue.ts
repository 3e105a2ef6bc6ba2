import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Assignments } from "../../../core/assignments.ts"
import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { DeadLetterQuery } from "../../../core/dead-letters.ts"
import type { Ending, Lease, LeaseRequest, LeasingAnywhere } from "../../../core/deliveries.ts"
import { type DeadLetter, type Delivery, laneOf, lanesOf, type TriggerName } from "../../../core/delivery.ts"
import { ClosedError, LeaseLostError, OverloadError, StorageError } from "../../../core/errors.ts"
import type { Figures, LaneBacklog } from "../../../core/figures.ts"
import type { LaneReport, LaneStatus } from "../../../core/lane-status.ts"
import type { Logger } from "../../../core/logger.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "../../../core/open-delivery.ts"
import type { Fence, Position } from "../../../core/positions.ts"
import type { DeliveryQueue } from "../../../core/queue.ts"
import { SerialByKey } from "../../../core/serial.ts"
import type { Carried } from "../../../core/transfer.ts"
import { type Names, stableHash } from "../names.ts"
import { leasingAnywhere } from "./anywhere.ts"
import { ensureJournal } from "./journal.ts"
import { Listeners } from "./listeners.ts"
import type { Shard, ShardCalls } from "./shard.ts"
import { ShardDirectory } from "./shard-directory.ts"

export interface JetStreamQueueOptions {
  readonly nats: NatsConnection
  readonly names: Names
  /** As many as ever: lanes are spread over them by it. */
  readonly shards: number
  readonly replicas: number
  readonly assignments: Assignments
  /** Whether this process holds shards. */
  readonly serve: boolean
  /** Of this process alone, for what can be made again at any time. */
  readonly directory: string
  /** Of each shard: writes that wait for its journal. */
  readonly pendingBytesMax: number
  readonly clock: Clock
  readonly log: Logger
  /** A journal is written anew when it has grown by so much, or by twice what it tells where that is more; default 16 MiB. */
  readonly compactBytesMin?: number
}

export interface JetStreamQueue extends DeliveryQueue {
  /** What an operator should know: shards that nobody holds, journals that take nothing. */
  health(): readonly string[]
  /** Figures by name, of the shards that this process holds together. */
  figures(): Figures
  backlog(): readonly LaneBacklog[]
  /** Gives up the shards that it holds when all that was asked for is in their journals. The connection is not closed. */
  close(): Promise<void>
}

/** How long opening waits for every shard to be held by somebody, where this process may hold some. */
const openMsMax = 10_000
/** Readers whose position is remembered. */
const readersMax = 4_096
/** Lanes whose shard is remembered: a hash costs 2 us. */
const numbersMax = 16_384

/**
 * Opens the queue that the journals of NATS hold, as one of the processes that use it.
 *
 * A lane belongs to a shard, and a shard to one process at a time, which has all of it at hand; the others ask that one.
 * Loops lease where the shard is, and nowhere else. Every call throws StorageError while nobody holds a shard that it needs:
 * nothing is lost then, and a moment later somebody will.
 */
export async function openJetStreamQueue(options: JetStreamQueueOptions): Promise<JetStreamQueue> {
  const { nats, names, clock, shards, replicas, serve } = options
  const directory = join(options.directory, "queue")
  await rm(directory, { recursive: true, force: true })
  const streams = Array.from({ length: shards }, (_, number) => ({
    stream: names.queueStream(number),
    subject: names.queueSubject(number),
    replicas,
  }))
  await Promise.all(streams.map((config) => ensureJournal(nats, clock, config)))
  const queue = new ShardedQueue({ ...options, directory })
  if (serve) await queue.ready(openMsMax)
  return queue
}

class ShardedQueue implements JetStreamQueue {
  readonly #shards: number
  readonly #listeners = new Listeners()
  readonly #shardDirectory: ShardDirectory
  readonly #serial = new SerialByKey()
  readonly #numbers = new Map<string, number>()
  /** Saved positions, as far as this process has seen them. */
  readonly #positions = new Map<string, Cursor>()
  readonly anywhere: LeasingAnywhere = leasingAnywhere((lane) => {
    this.#check()
    return this.#at(this.#numberOf(lane))
  })
  #report: ((lane: string) => LaneReport) | undefined
  #closed = false

  constructor(options: JetStreamQueueOptions) {
    this.#shards = options.shards
    this.#shardDirectory = new ShardDirectory({
      ...options,
      listeners: this.#listeners,
      report: (lane) => this.#report?.(lane),
    })
  }

  /** Resolves when every shard is held by somebody, or after `msMax`. */
  ready(msMax: number): Promise<void> {
    return this.#shardDirectory.ready(msMax)
  }

  async enqueue(deliveries: readonly Delivery[], position?: Position): Promise<void> {
    this.#check()
    const parts = this.#split(deliveries, laneOf)
    if (position !== undefined) return this.#serial.run(position.reader, () => this.#enqueueFor(parts, position))
    await all([...parts].map(([number, part]) => this.#at(number).enqueue({ deliveries: part })))
  }

  position(reader: string): Promise<Cursor | undefined> {
    return this.#serial.run(reader, () => this.#position(reader))
  }

  async claim(fence: Fence): Promise<void> {
    this.#check()
    this.#positions.clear()
    await this.#everywhere((shard) => shard.claim(fence))
  }

  forget(reader: string): Promise<void> {
    return this.#serial.run(reader, async () => {
      this.#check()
      this.#positions.delete(reader)
      await this.#everywhere((shard) => shard.forget(reader))
    })
  }

  lanes(stop: AbortSignal): AsyncIterable<string> {
    return this.#listeners.listen(stop)
  }

  async lease(options: LeaseRequest): Promise<readonly Lease[]> {
    const shard = this.#shardDirectory.leasing(this.#numberOf(options.lane))
    return shard === undefined ? [] : shard.queue.lease(options)
  }

  begun(leases: readonly Lease[]): void {
    for (const lease of leases) {
      this.#shardDirectory.leasing(this.#numberOf(laneOf(lease.delivery)))?.queue.begun([lease])
    }
  }

  extend(lease: Lease, leaseMs: number): Promise<void> {
    return this.#ofLease(lease, ({ queue }) => queue.extend(lease, leaseMs))
  }

  end(lease: Lease, ending: Ending): Promise<void> {
    return this.#ofLease(lease, ({ queue }) => queue.end(lease, ending))
  }

  async resume(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return sum(await this.#everywhere((shard) => shard.resume(tenant, trigger, incarnation)))
  }

  /** Of several shards each may hold something for the same one. */
  async held(): Promise<readonly TriggerName[]> {
    const found = (await this.#everywhere((shard) => shard.held())).flat()
    return [...new Map(found.map((of) => [`${of.tenant}/${of.trigger}/${of.incarnation}`, of])).values()]
  }

  async drop(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return sum(await this.#everywhere((shard) => shard.drop(tenant, trigger, incarnation)))
  }

  async move(of: TriggerName, destination: string): Promise<number> {
    return sum(await this.#everywhere((shard) => shard.move(of, destination)))
  }

  async open(delivery: Delivery): Promise<OpenDelivery | undefined> {
    this.#check()
    return this.#at(this.#numberOf(laneOf(delivery))).open(delivery)
  }

  async openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
    const { tenant, destination } = query
    if (destination === undefined) return inOrder(await this.#everywhere((shard) => shard.openDeliveries(query)), query)
    this.#check()
    const numbers = new Set(lanesOf({ tenant, destination }).map((lane) => this.#numberOf(lane)))
    const pages = await all([...numbers].map((number) => this.#at(number).openDeliveries(query)))
    return pages.length === 1 ? pages[0]! : inOrder(pages, query)
  }

  async depth(lane: string): Promise<number> {
    this.#check()
    return this.#at(this.#numberOf(lane)).depth(lane)
  }

  reportBy(report: (lane: string) => LaneReport): void {
    this.#report = report
  }

  async statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>> {
    this.#check()
    const asked = [...this.#split(lanes, (lane) => lane)].map(async ([number, part]) => {
      try {
        return [...(await this.#at(number).statusOf(part))]
      } catch (error) {
        if (error instanceof StorageError || error instanceof OverloadError) return []
        throw error
      }
    })
    return new Map((await all(asked)).flat())
  }

  async deadLetters(query: DeadLetterQuery): Promise<readonly DeadLetter[]> {
    const found = (await this.#everywhere((shard) => shard.deadLetters(query))).flat()
    if (this.#shards > 1) found.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    return found.slice(0, query.limit)
  }

  async deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined> {
    return this.#anywhere((shard) => shard.deadLetter(tenant, id))
  }

  async redrive(tenant: string, id: string, as?: Delivery): Promise<boolean> {
    return (await this.#anywhere(async (shard) => (await shard.redrive(tenant, id, as)) || undefined)) ?? false
  }

  async discard(tenant: string, id: string): Promise<boolean> {
    return (await this.#anywhere(async (shard) => (await shard.discard(tenant, id)) || undefined)) ?? false
  }

  async *carried(): AsyncIterable<readonly Carried[]> {
    this.#check()
    for (let number = 0; number < this.#shards; number++) yield* this.#at(number).carried()
  }

  async carry(items: readonly Carried[]): Promise<void> {
    this.#check()
    const parts = this.#split(items, (item) => laneOf(item.kind === "dead" ? item.letter : item.delivery))
    await all([...parts].map(([number, part]) => this.#at(number).carry(part)))
  }

  health(): readonly string[] {
    return this.#shardDirectory.health()
  }

  figures(): Figures {
    return this.#shardDirectory.figures()
  }

  backlog(): readonly LaneBacklog[] {
    return this.#shardDirectory.backlog()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listeners.close()
    await this.#shardDirectory.close()
  }

  /**
   * The home shard of the reader takes its deliveries and the position in one step, after the others have theirs: what a
   * crash leaves between comes again, and they know it.
   */
  async #enqueueFor(parts: ReadonlyMap<number, readonly Delivery[]>, position: Position): Promise<void> {
    const { reader, cursor, fence } = position
    const home = stableHash(reader) % this.#shards
    const others = [...parts].filter(([number]) => number !== home)
    try {
      const after = await this.#before(position)
      const step = { name: reader, ...(after !== undefined && { after }), ...(fence && { fence }) }
      // What is behind the saved position is done, or on its way: only the fence is asked then.
      const isNew = after === undefined || cursor > after
      if (isNew) await all(others.map(([number, deliveries]) => this.#at(number).enqueue({ deliveries, reader: step })))
      const deliveries = isNew ? (parts.get(home) ?? []) : []
      await this.#at(home).enqueue({ deliveries, reader: { ...step, moveTo: cursor } })
      if (isNew) this.#remember(reader, cursor)
    } catch (error) {
      this.#positions.delete(reader)
      throw error
    }
  }

  /** The reader's saved position. */
  async #before({ reader, cursor }: Position): Promise<Cursor | undefined> {
    const known = this.#positions.get(reader)
    // One that is not beyond what is known is for a reader that was forgotten meanwhile, or for none.
    return known !== undefined && cursor > known ? known : this.#position(reader)
  }

  async #position(reader: string): Promise<Cursor | undefined> {
    this.#check()
    const cursor = await this.#at(stableHash(reader) % this.#shards).position(reader)
    if (cursor === undefined) this.#positions.delete(reader)
    else this.#remember(reader, cursor)
    return cursor
  }

  #remember(reader: string, cursor: Cursor): void {
    this.#positions.delete(reader)
    this.#positions.set(reader, cursor)
    const [oldest] = this.#positions.keys()
    if (this.#positions.size > readersMax) this.#positions.delete(oldest!)
  }

  async #ofLease(lease: Lease, call: (shard: Shard) => Promise<void>): Promise<void> {
    this.#check()
    const shard = this.#shardDirectory.here(this.#numberOf(laneOf(lease.delivery)))
    if (shard === undefined) throw new LeaseLostError(lease.delivery.id)
    try {
      await call(shard)
    } catch (error) {
      // It went with the shard, and whoever has that now gives the delivery again.
      if (error instanceof ClosedError || shard.lost.aborted || this.#shardDirectory.here(shard.number) !== shard) {
        this.#check()
        throw new LeaseLostError(lease.delivery.id)
      }
      throw error
    }
  }

  #numberOf(lane: string): number {
    const known = this.#shards === 1 ? 0 : this.#numbers.get(lane)
    if (known !== undefined) return known
    const number = stableHash(lane) % this.#shards
    if (this.#numbers.size >= numbersMax) this.#numbers.clear()
    this.#numbers.set(lane, number)
    return number
  }

  #at(number: number): ShardCalls {
    return this.#shardDirectory.at(number)
  }

  #split<T>(items: readonly T[], lane: (item: T) => string): ReadonlyMap<number, readonly T[]> {
    const parts = new Map<number, T[]>()
    if (this.#shards === 1) return items.length > 0 ? parts.set(0, items as T[]) : parts
    for (const item of items) {
      const number = this.#numberOf(lane(item))
      const part = parts.get(number)
      if (part) part.push(item)
      else parts.set(number, [item])
    }
    return parts
  }

  #everywhere<T>(ask: (shard: ShardCalls) => Promise<T>): Promise<readonly T[]> {
    if (this.#closed) return Promise.reject(new ClosedError())
    return all(Array.from({ length: this.#shards }, (_, number) => ask(this.#at(number))))
  }

  /** The first answer that is one; what failed counts where there is none. */
  async #anywhere<T>(ask: (shard: ShardCalls) => Promise<T | undefined>): Promise<T | undefined> {
    const answers = await Promise.allSettled(
      Array.from({ length: this.#shards }, async (_, number) => ask(this.#at(number))),
    )
    for (const answer of answers) if (answer.status === "fulfilled" && answer.value !== undefined) return answer.value
    for (const answer of answers) if (answer.status === "rejected") throw answer.reason
    return undefined
  }

  #check(): void {
    if (this.#closed) throw new ClosedError()
  }
}

/** Waits for all, and then throws the first failure: nothing goes on behind the caller's back. */
async function all<T>(calls: readonly Promise<T>[]): Promise<readonly T[]> {
  const ends = await Promise.allSettled(calls)
  for (const end of ends) if (end.status === "rejected") throw end.reason
  return ends.map((end) => (end as PromiseFulfilledResult<T>).value)
}

/** Shards' pages as one, which ends where the first of them has not looked any further. */
function inOrder(pages: readonly OpenDeliveryPage[], { limit }: OpenDeliveryQuery): OpenDeliveryPage {
  const end = pages.flatMap(({ next }) => next ?? []).sort()[0]
  const all = pages.flatMap(({ deliveries }) => deliveries)
  const known = all.filter(({ delivery }) => end === undefined || delivery.id <= end)
  const deliveries = known.sort((a, b) => (a.delivery.id < b.delivery.id ? -1 : 1)).slice(0, limit)
  const next = deliveries.length < all.length && deliveries.length === limit ? deliveries.at(-1)!.delivery.id : end
  return { deliveries, ...(next !== undefined && { next }) }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
