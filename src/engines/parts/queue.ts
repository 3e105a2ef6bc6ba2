import type { Clock } from "../../core/clock.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { DeadLetterQuery } from "../../core/dead-letters.ts"
import type { Ending, Lease, LeaseRequest, LeasingAnywhere } from "../../core/deliveries.ts"
import { type DeadLetter, type Delivery, laneOf, type TriggerName } from "../../core/delivery.ts"
import { ClosedError, LeaseLostError } from "../../core/errors.ts"
import type { FigureName, LaneBacklog } from "../../core/figures.ts"
import type { LaneReport, LaneStatus } from "../../core/lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "../../core/open-delivery.ts"
import type { Position } from "../../core/positions.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import { Serial } from "../../core/serial.ts"
import type { Carried } from "../../core/transfer.ts"
import { type CarryPlace, carryIn, readCarried } from "./queue/carry.ts"
import { findDead, listDead } from "./queue/dead.ts"
import { DeadRows } from "./queue/dead-rows.ts"
import { dropOpen } from "./queue/drop.ts"
import { Endings } from "./queue/endings.ts"
import { Enqueuing } from "./queue/enqueue.ts"
import { heldTriggers, resumeHeld } from "./queue/held.ts"
import { findKept, type KeptPlace, keepRows, takeKept, unlockRows } from "./queue/kept.ts"
import type { Row } from "./queue/lane.ts"
import { type LaneLimits, Lanes } from "./queue/lanes.ts"
import { leaseRows, liveLeases } from "./queue/lease-rows.ts"
import { Leases } from "./queue/leases.ts"
import { mendRows } from "./queue/mend.ts"
import { type EnqueueElsewhere, moveOpen } from "./queue/move.ts"
import { Notes } from "./queue/notes.ts"
import { findOpen, listOpen, type OpenPlace } from "./queue/open.ts"
import type { RowsPlace } from "./queue/open-rows.ts"
import { Order } from "./queue/order.ts"
import { Parking } from "./queue/parking.ts"
import { Positions } from "./queue/positions.ts"
import { recover } from "./queue/recover.ts"
import type { Store, Write } from "./store.ts"

export interface QueueOptions extends Partial<LaneLimits> {
  readonly store: Store
  readonly clock: Clock
  /** Changes of its rows may be lost: they may not agree with each other. */
  readonly isTorn?: boolean
}

export type QueueFigures = Readonly<
  Record<Extract<FigureName, "lanes" | "deliveries_open" | "deliveries_in_memory" | "leases">, number>
>

export interface StoredQueue extends DeliveryQueue {
  /** As the contract says; `also` is written in the same step. */
  enqueue(deliveries: readonly Delivery[], position?: Position, also?: readonly Write[]): Promise<void>
  /** As the contract says; `elsewhere`: another queue has the destination's lane, and takes them. */
  move(of: TriggerName, destination: string, elsewhere?: EnqueueElsewhere): Promise<number>
  figures(): QueueFigures
  /** As the contract says; undefined: nobody delivers. */
  reportBy(report: (lane: string) => LaneReport | undefined): void
  backlog(): readonly LaneBacklog[]
  /** Takes nothing more, ends `lanes`, and resolves when what was taken is written. The store is not closed. */
  close(): Promise<void>
}

/**
 * Opens the queue that `store` holds.
 *
 * Every open delivery is a row in the store; of the due ones a bounded part is in memory too, and leases are only there.
 * A delivery can be leased as soon as `enqueue` was called: what follows from the lease is written after it, and a crash
 * keeps a prefix of what was written, so at worst the reader finds the event again and it is delivered once more.
 * A write that the store refuses changes nothing here either, and its caller hears of it.
 */
export async function openQueue(options: QueueOptions): Promise<StoredQueue> {
  const { store, clock, isTorn = false } = options
  if (isTorn) await mendRows(store)
  const lanes = new Lanes(store, {
    laneReadyMax: options.laneReadyMax ?? 1_024,
    readyMax: options.readyMax ?? 100_000,
  })
  const { highest, firstToken } = await recover(store, lanes)
  const queue = new QueueOfRows(store, clock, lanes, highest, firstToken)
  await queue.start()
  return queue
}

/** Lanes whose oldest row is looked up in one turn of the event loop. */
const statusesAtOnce = 100

class QueueOfRows implements StoredQueue {
  readonly #store: Store
  readonly #clock: Clock
  readonly #lanes: Lanes
  readonly #leases: Leases
  readonly #parking: Parking
  readonly #order: Order
  readonly #positions: Positions
  readonly #enqueuing: Enqueuing
  readonly #serial = new Serial()
  readonly #endings: Endings
  readonly #notes: Notes
  readonly #deadRows: DeadRows
  /** All of it is here. */
  readonly anywhere: LeasingAnywhere = {
    lease: async (options) => {
      const leases = await this.lease(options)
      this.begun(leases)
      return leases
    },
    extend: (lease, leaseMs) => this.extend(lease, leaseMs),
    end: (lease, ending) => this.end(lease, ending),
    leased: async (lane, names) => liveLeases(this.#keptPlace(), lane, names),
    keep: async (lane, names) => {
      this.#check()
      return keepRows(this.#keptPlace(), lane, names)
    },
    unlock: async (lane, ids) => {
      this.#check()
      return unlockRows(this.#keptPlace(), lane, ids)
    },
    due: async (lane, stop) => {
      this.#check()
      await this.#lanes.due(lane, stop)
    },
  }
  #report: ((lane: string) => LaneReport | undefined) | undefined
  #closed = false

  constructor(store: Store, clock: Clock, lanes: Lanes, highest: string, firstToken: number) {
    this.#store = store
    this.#clock = clock
    this.#lanes = lanes
    this.#leases = new Leases(clock, firstToken, (row) => this.#endings.lapsed(row))
    this.#parking = new Parking(store, clock, lanes, this.#serial)
    this.#order = new Order(store, lanes, this.#parking)
    this.#endings = new Endings(this.#keptPlace(), this.#parking)
    this.#notes = new Notes(store, clock)
    this.#deadRows = new DeadRows({ store, clock, lanes, order: this.#order })
    this.#positions = new Positions(store)
    this.#enqueuing = new Enqueuing({ store, lanes, leases: this.#leases, order: this.#order }, highest)
  }

  /** Begins to find what comes due. */
  start(): Promise<void> {
    this.#order.start()
    return this.#parking.start()
  }

  enqueue(deliveries: readonly Delivery[], position?: Position, also: readonly Write[] = []): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError())
    if (position === undefined) return this.#enqueuing.add(deliveries, this.#clock.now(), [...also])
    const { reader, cursor } = position
    if (!this.#positions.isBeyond(position)) return this.#positions.written(reader)
    const write = this.#positions.write(reader, cursor)
    const written = this.#enqueuing.add(deliveries, this.#clock.now(), [write, ...also])
    this.#positions.begin(reader, cursor, written)
    return written
  }

  async position(reader: string): Promise<Cursor | undefined> {
    return this.#positions.saved(reader)
  }

  /** There is one process, so nobody is to be kept out. */
  async claim(): Promise<void> {}

  forget(reader: string): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError())
    const written = this.#store.write([this.#positions.write(reader, undefined)])
    this.#positions.begin(reader, undefined, written)
    return written
  }

  lanes(stop: AbortSignal): AsyncIterable<string> {
    return this.#lanes.listen(stop)
  }

  async lease(options: LeaseRequest): Promise<readonly Lease[]> {
    const lane = this.#lanes.find(options.lane)
    if (lane === undefined || this.#closed) return []
    return leaseRows(
      { lanes: this.#lanes, order: this.#order, leases: this.#leases, clock: this.#clock },
      lane,
      options,
    )
  }

  begun(leases: readonly Lease[]): void {
    for (const { token } of leases) {
      const row = this.#leases.find(token)
      if (row !== undefined) this.#notes.begun(row)
    }
  }

  async extend(lease: Lease, leaseMs: number): Promise<void> {
    this.#check()
    const { token, delivery } = lease
    if (findKept(this.#keptPlace(), laneOf(delivery), delivery.id)?.token === token) return
    this.#leases.extend(this.#leased(lease), this.#clock.steady(), leaseMs)
  }

  async end(lease: Lease, ending: Ending): Promise<void> {
    await this.#endings.end(this.#leased(lease), ending)
  }

  resume(tenant: string, trigger: string, incarnation: string): Promise<number> {
    if (this.#closed) return Promise.reject(new ClosedError())
    const place = { store: this.#store, clock: this.#clock, lanes: this.#lanes }
    return this.#serial.run(() => resumeHeld(place, { tenant, trigger, incarnation }))
  }

  held(): Promise<readonly TriggerName[]> {
    if (this.#closed) return Promise.reject(new ClosedError())
    return this.#serial.run(() => heldTriggers(this.#store))
  }

  drop(tenant: string, trigger: string, incarnation: string): Promise<number> {
    if (this.#closed) return Promise.reject(new ClosedError())
    return this.#serial.run(() => dropOpen(this.#rowsPlace(), { tenant, trigger, incarnation }))
  }

  move(of: TriggerName, destination: string, elsewhere?: EnqueueElsewhere): Promise<number> {
    if (this.#closed) return Promise.reject(new ClosedError())
    return this.#serial.run(async () => {
      const place = { ...this.#rowsPlace(), clock: this.#clock, enqueuing: this.#enqueuing }
      const moved = await moveOpen(place, of, destination, elsewhere)
      await this.#store.flushed()
      return moved
    })
  }

  async open(delivery: Delivery): Promise<OpenDelivery | undefined> {
    return findOpen(this.#openPlace(), delivery)
  }

  openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage> {
    return listOpen(this.#openPlace(), query)
  }

  async depth(lane: string): Promise<number> {
    return this.#lanes.find(lane)?.open ?? 0
  }

  reportBy(report: (lane: string) => LaneReport | undefined): void {
    this.#report = report
  }

  async statusOf(names: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>> {
    const found = new Map<string, LaneStatus>()
    for (const [i, name] of names.entries()) {
      if (i > 0 && i % statusesAtOnce === 0) await new Promise(setImmediate)
      found.set(name, this.#statusOf(name))
    }
    return found
  }

  #statusOf(name: string): LaneStatus {
    const lane = this.#lanes.find(name)
    const oldestDueAt = lane && this.#lanes.oldestDueAt(lane)
    const report = this.#report?.(name)
    return {
      open: lane?.open ?? 0,
      ...(oldestDueAt !== undefined && { oldestDueAt }),
      ...(report !== undefined && { report }),
    }
  }

  deadLetters(query: DeadLetterQuery): Promise<readonly DeadLetter[]> {
    return listDead(this.#store, query)
  }

  async deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined> {
    return findDead(this.#store, tenant, id)?.letter
  }

  async redrive(tenant: string, id: string, as?: Delivery): Promise<boolean> {
    this.#check()
    return this.#deadRows.redrive(tenant, id, as)
  }

  async discard(tenant: string, id: string): Promise<boolean> {
    this.#check()
    return this.#deadRows.discard(tenant, id)
  }

  carried(): AsyncIterable<readonly Carried[]> {
    return readCarried(this.#carryPlace())
  }

  carry(items: readonly Carried[]): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError())
    return this.#serial.run(() => carryIn(this.#carryPlace(), items))
  }

  #rowsPlace(): RowsPlace {
    return { store: this.#store, lanes: this.#lanes, leases: this.#leases, order: this.#order, parking: this.#parking }
  }

  #keptPlace(): KeptPlace {
    const [store, clock, lanes, leases, order] = [this.#store, this.#clock, this.#lanes, this.#leases, this.#order]
    return { store, clock, lanes, leases, order }
  }

  #openPlace(): OpenPlace {
    return { store: this.#store, lanes: this.#lanes, order: this.#order, parking: this.#parking }
  }

  #carryPlace(): CarryPlace {
    const [store, clock, lanes, serial] = [this.#store, this.#clock, this.#lanes, this.#serial]
    return { store, clock, lanes, serial, order: this.#order, parking: this.#parking, enqueuing: this.#enqueuing }
  }

  figures(): QueueFigures {
    const { lanes, open, ready } = this.#lanes.figures()
    return { lanes, deliveries_open: open, deliveries_in_memory: ready, leases: this.#leases.size }
  }

  backlog(): readonly LaneBacklog[] {
    return this.#lanes.backlog()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#lanes.close()
    this.#parking.close()
    this.#leases.close()
    this.#notes.close()
    await this.#serial.run(() => this.#store.write([]))
  }

  #check(): void {
    if (this.#closed) throw new ClosedError()
  }

  /** The row that this lease holds. */
  #leased(lease: Lease): Row {
    this.#check()
    const { id } = lease.delivery
    const lane = laneOf(lease.delivery)
    const found = this.#leases.find(lease.token)
    if (found?.delivery.id === id && found.lane.name === lane) return found
    const kept = takeKept(this.#keptPlace(), lane, id, lease.token)
    if (kept === undefined) throw new LeaseLostError(id)
    return kept
  }
}
