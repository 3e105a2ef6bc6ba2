import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { DeadLetterQuery, DeadLetters } from "../../../core/dead-letters.ts"
import type {
  Deliveries,
  Ending,
  Lease,
  LeaseName,
  LeaseRequest,
  LeasingAnywhere,
  LiveLease,
} from "../../../core/deliveries.ts"
import { type DeadLetter, type Delivery, laneOf, type TriggerName } from "../../../core/delivery.ts"
import { AssignmentLostError, ClosedError, UnavailableError } from "../../../core/errors.ts"
import type { LaneStatus } from "../../../core/lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "../../../core/open-delivery.ts"
import type { Fence, Positions } from "../../../core/positions.ts"
import { SerialByKey } from "../../../core/serial.ts"
import type { Carried, Transfer } from "../../../core/transfer.ts"
import { JournalStore } from "../../parts/journal/journal-store.ts"
import { openQueue, type QueueFigures, type StoredQueue } from "../../parts/queue.ts"
import type { Write } from "../../parts/store.ts"
import type { Journal } from "./journal.ts"
import { findRecent, putRecent, recentKey } from "./recent.ts"
import type { Takeover } from "./takeover.ts"

/** What anybody may ask of a shard, be it here or in another process. */
export interface ShardCalls
  extends LeasingAnywhere,
    Positions,
    DeadLetters,
    Transfer,
    Pick<Deliveries, "resume" | "held" | "drop" | "move" | "open" | "openDeliveries" | "depth" | "statusOf"> {
  enqueue(call: EnqueueCall): Promise<void>
}

/** A shard's part of a call of DeliveryQueue.enqueue. */
export interface EnqueueCall {
  readonly deliveries: readonly Delivery[]
  readonly reader?: ReaderStep
}

export interface ReaderStep {
  readonly name: string
  /** Its saved position when the call began: what has come since may be coming again. */
  readonly after?: Cursor
  /** The position to save with these deliveries; only its home shard is given one, and last of all. */
  readonly moveTo?: Cursor
  readonly fence?: Fence
}

export interface ShardOptions extends Takeover {
  readonly number: number
  readonly journal: Journal
  readonly clock: Clock
  readonly pendingBytesMax: number
  readonly recordBytesMax: number
  readonly compactBytesMin: number
  /** The shard that has this lane; undefined: this one. */
  shardOf(lane: string): ShardCalls | undefined
}

const fencePrefix = "fence "

export type ShardFigures = QueueFigures & Readonly<Record<"queue_pending_bytes" | "journal_bytes", number>>

/** A shard of the queue in the process that holds it. */
export class Shard implements ShardCalls {
  readonly number: number
  readonly #store: JournalStore
  readonly #queue: StoredQueue
  readonly #serial = new SerialByKey()
  readonly #epochs = new Map<string, number>()
  readonly #lost: AbortController
  readonly #shardOf: ShardOptions["shardOf"]
  #leaving = false

  private constructor(options: ShardOptions, store: JournalStore, queue: StoredQueue, lost: AbortController) {
    this.number = options.number
    this.#shardOf = options.shardOf
    this.#store = store
    this.#queue = queue
    this.#lost = lost
    for (const { key, value } of store.range("meta", { start: fencePrefix, end: `${fencePrefix}\u{10ffff}` })) {
      this.#epochs.set(key.slice(fencePrefix.length), Number(Buffer.from(value).toString()))
    }
  }

  /** Opens the queue that was taken over. */
  static async open(options: ShardOptions): Promise<Shard> {
    const lost = new AbortController()
    const store = new JournalStore({ ...options, lost: (error) => lost.abort(error) })
    try {
      return new Shard(options, store, await openQueue({ store, clock: options.clock }), lost)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  /** Its lanes are only to be had here. */
  get queue(): StoredQueue {
    return this.#queue
  }

  /** Aborts when somebody else writes to the journal, or when nobody can. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Gives no more leases to workers: it is about to go to another process. */
  leave(): void {
    this.#leaving = true
  }

  figures(): ShardFigures {
    const { pendingBytes, grownBytes } = this.#store.figures()
    return { ...this.#queue.figures(), queue_pending_bytes: pendingBytes, journal_bytes: grownBytes }
  }

  enqueue(call: EnqueueCall): Promise<void> {
    const { deliveries, reader } = call
    if (reader === undefined) return this.#do(() => this.#queue.enqueue(deliveries))
    return this.#inTurn(reader.name, () => this.#enqueueFor(reader, deliveries))
  }

  position(reader: string): Promise<Cursor | undefined> {
    // Whoever holds the shard no longer would answer what was true once.
    return this.#inTurn(reader, async () => {
      await this.#store.confirm()
      return this.#queue.position(reader)
    })
  }

  async claim({ name, epoch }: Fence): Promise<void> {
    this.#checkFence({ name, epoch })
    this.#epochs.set(name, epoch)
    const write: Write = { table: "meta", key: fencePrefix + name, value: Buffer.from(String(epoch)) }
    await this.#do(() => this.#store.write([write]))
  }

  forget(reader: string): Promise<void> {
    return this.#inTurn(reader, async () => {
      const recent: Write = { table: "meta", key: recentKey(reader), value: undefined }
      await Promise.all([this.#queue.forget(reader), this.#store.write([recent])])
    })
  }

  resume(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return this.#do(() => this.#queue.resume(tenant, trigger, incarnation))
  }

  held(): Promise<readonly TriggerName[]> {
    return this.#do(() => this.#queue.held())
  }

  drop(tenant: string, trigger: string, incarnation: string): Promise<number> {
    return this.#do(() => this.#queue.drop(tenant, trigger, incarnation))
  }

  lease(options: LeaseRequest): Promise<readonly Lease[]> {
    return this.#do(async () => {
      if (this.#leaving || this.lost.aborted) throw new ClosedError()
      return this.#queue.anywhere.lease(options)
    })
  }

  leased(lane: string, names: readonly LeaseName[]): Promise<readonly (LiveLease | undefined)[]> {
    return this.#do(() => this.#queue.anywhere.leased(lane, names))
  }

  keep(lane: string, names: readonly LeaseName[]): Promise<readonly boolean[]> {
    return this.#do(() => this.#queue.anywhere.keep(lane, names))
  }

  unlock(lane: string, ids: readonly string[]): Promise<readonly string[]> {
    return this.#do(() => this.#queue.anywhere.unlock(lane, ids))
  }

  extend(lease: Lease, leaseMs: number): Promise<void> {
    return this.#do(() => this.#queue.extend(lease, leaseMs))
  }

  end(lease: Lease, ending: Ending): Promise<void> {
    return this.#do(() => this.#queue.end(lease, ending))
  }

  due(lane: string, stop: AbortSignal): Promise<void> {
    return this.#do(async () => {
      if (this.lost.aborted) throw new ClosedError()
      await this.#queue.anywhere.due(lane, AbortSignal.any([stop, this.lost]))
    })
  }

  move(of: TriggerName, destination: string): Promise<number> {
    const other = this.#shardOf(laneOf({ tenant: of.tenant, destination }))
    const elsewhere = other && ((deliveries: readonly Delivery[]) => other.enqueue({ deliveries }))
    return this.#do(() => this.#queue.move(of, destination, elsewhere))
  }

  open(delivery: Delivery): Promise<OpenDelivery | undefined> {
    return this.#do(() => this.#queue.open(delivery))
  }

  openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
    return this.#do(() => this.#queue.openDeliveries(query))
  }

  depth(lane: string): Promise<number> {
    return this.#do(() => this.#queue.depth(lane))
  }

  statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>> {
    return this.#do(() => this.#queue.statusOf(lanes))
  }

  deadLetters(query: DeadLetterQuery): Promise<readonly DeadLetter[]> {
    return this.#do(() => this.#queue.deadLetters(query))
  }

  deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined> {
    return this.#do(() => this.#queue.deadLetter(tenant, id))
  }

  redrive(tenant: string, id: string, as?: Delivery): Promise<boolean> {
    return this.#do(() => this.#queue.redrive(tenant, id, as))
  }

  discard(tenant: string, id: string): Promise<boolean> {
    return this.#do(() => this.#queue.discard(tenant, id))
  }

  async *carried(): AsyncIterable<readonly Carried[]> {
    const pages = this.#queue.carried()[Symbol.asyncIterator]()
    try {
      // Ends: with the pages.
      for (;;) {
        const { done, value } = await this.#do(() => pages.next())
        if (done) return
        yield value
      }
    } finally {
      await pages.return?.()
    }
  }

  carry(items: readonly Carried[]): Promise<void> {
    return this.#do(() => this.#queue.carry(items))
  }

  /** Resolves when what was asked for is in the journal; or refused, because the shard is lost. Then nothing more is. */
  async close(): Promise<void> {
    // What it refuses at the end its callers have been told.
    await this.#queue.close().catch(() => undefined)
    await this.#store.close()
  }

  /** Stops without waiting for the journal: what is on its way to it may be stored or not. */
  async abandon(): Promise<void> {
    const closed = this.#store.close()
    await this.#queue.close().catch(() => undefined)
    await closed
  }

  async #enqueueFor({ name, after, moveTo, fence }: ReaderStep, deliveries: readonly Delivery[]): Promise<void> {
    // At home the position itself is known.
    const since = moveTo === undefined ? after : await this.#queue.position(name)
    // From here on nothing is waited for until the writing is asked for, so that no claim comes in between.
    if (fence) this.#checkFence(fence)
    const recent = findRecent(this.#store, name, since)
    if (recent === undefined) throw new UnavailableError(`reader ${name} has moved on meanwhile`)
    const fresh = recent.cursors.size === 0 ? deliveries : deliveries.filter(({ id }) => !recent.cursors.has(id))
    if (moveTo !== undefined) return this.#queue.enqueue(fresh, { reader: name, cursor: moveTo })
    if (fresh.length === 0) return
    const also: Write[] = [putRecent(name, recent, fresh)]
    await this.#queue.enqueue(fresh, undefined, also)
  }

  #inTurn<T>(reader: string, work: () => Promise<T>): Promise<T> {
    return this.#serial.run(reader, () => this.#do(work))
  }

  /** It is the shard that has closed, not the engine: whoever asks again finds it somewhere else. */
  async #do<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof ClosedError)) throw error
      throw new UnavailableError(`queue shard ${this.number} goes to another process`, { cause: error })
    }
  }

  #checkFence({ name, epoch }: Fence): void {
    if (epoch < (this.#epochs.get(name) ?? epoch)) throw new AssignmentLostError(name)
  }
}
