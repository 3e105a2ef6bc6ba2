import { type Delivery, laneOf } from "../../../core/delivery.ts"
import type { Store, Write } from "../store.ts"
import { deadKey } from "./dead.ts"
import type { Lane, Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Leases } from "./leases.ts"
import type { Order } from "./order.ts"
import { encodeRow, laneKey, orderPrefix, parkedPrefix, putFresh, type RowState } from "./row.ts"

/** What one call has added, until it is written. */
interface Call {
  readonly rows: Row[]
  /** Deliveries that memory had no room for, by lane, and their ids. */
  readonly spilled: Map<Lane, number>
  /** The last one of each order key: those before it are as well in the store then. */
  readonly ordered: Map<string, { readonly lane: Lane; readonly delivery: Delivery }>
  readonly ids: ReadonlySet<string>
}

/** What adding works on. */
export interface EnqueuePlace {
  readonly store: Store
  readonly lanes: Lanes
  readonly leases: Leases
  readonly order: Order
}

/**
 * Adds deliveries: each a row in the store and, where its lane has room, in memory at once. Ordered ones are in memory when the
 * store has them, and none is before them.
 */
export class Enqueuing {
  readonly #store: Store
  readonly #lanes: Lanes
  readonly #leases: Leases
  readonly #order: Order
  readonly #writing = new Set<Call>()
  /** No delivery beyond this id has ever been added: such a one needs no look into the store. */
  #highest: string

  constructor({ store, lanes, leases, order }: EnqueuePlace, highest: string) {
    this.#store = store
    this.#lanes = lanes
    this.#leases = leases
    this.#order = order
    this.#highest = highest
  }

  /** Adds those that are neither open nor dead, in one write with `writes`. */
  add(deliveries: readonly Delivery[], now: number, writes: Write[]): Promise<void> {
    const ids = new Set<string>()
    const call: Call = { rows: [], spilled: new Map(), ordered: new Map(), ids }
    const state: RowState = { attempts: 0, forgiven: 0, firstDueAt: now, dueAt: now, held: false, behind: false }
    const behind: RowState = { ...state, behind: true }
    const highest = this.#highest
    let lane: Lane | undefined
    let before: Delivery | undefined
    this.#writing.add(call)
    for (const delivery of deliveries) {
      if (lane === undefined || before === undefined || !isOfLane(delivery, before)) {
        if (lane) this.#lanes.dropIfIdle(lane)
        lane = this.#lanes.ensure(laneOf(delivery))
      }
      before = delivery
      const { id } = delivery
      if (lane.rows.has(id) || (id <= highest ? this.#isKnown(lane.prefix + id, delivery) : ids.has(id))) continue
      if (id > this.#highest) this.#highest = id
      if (delivery.orderKey !== undefined) {
        this.#queueUp(call, ids, lane, delivery)
        putFresh(writes, lane.name, delivery, behind)
        continue
      }
      this.#place(call, ids, lane, delivery, state)
      writes.push({ table: "deliveries", key: lane.prefix + id, value: encodeRow(delivery, state) })
    }
    if (lane) this.#lanes.dropIfIdle(lane)
    return this.#write(call, writes)
  }

  /** Whether it is open or dead, or about to be. */
  knows(delivery: Delivery): boolean {
    const name = laneOf(delivery)
    return this.#lanes.find(name)?.rows.has(delivery.id) === true || this.#isKnown(laneKey(name, delivery.id), delivery)
  }

  /** Deliveries of these ids are being written by another way than {@link add}; what is answered is to be called at the end. */
  announce(ids: ReadonlySet<string>): () => void {
    const call: Call = { rows: [], spilled: new Map(), ordered: new Map(), ids }
    this.#writing.add(call)
    for (const id of ids) if (id > this.#highest) this.#highest = id
    return () => this.#writing.delete(call)
  }

  #place(call: Call, ids: Set<string>, lane: Lane, delivery: Delivery, state: RowState): void {
    if (this.#lanes.hasRoom(lane)) {
      call.rows.push(this.#lanes.load(lane, delivery, state, false))
      lane.open++
      this.#lanes.wake(lane)
      return
    }
    const { id } = delivery
    this.#spill(call, ids, lane, id)
    if (lane.spillingFrom === undefined || id < lane.spillingFrom) lane.spillingFrom = id
    lane.leftInStore(id)
  }

  #queueUp(call: Call, ids: Set<string>, lane: Lane, delivery: Delivery): void {
    this.#spill(call, ids, lane, delivery.id)
    call.ordered.set(orderPrefix(lane.name, delivery)!, { lane, delivery })
  }

  #spill(call: Call, ids: Set<string>, lane: Lane, id: string): void {
    ids.add(id)
    call.spilled.set(lane, (call.spilled.get(lane) ?? 0) + 1)
    lane.spilling++
  }

  /** Whether a delivery that memory has no row of is open or dead. */
  #isKnown(key: string, { id, tenant }: Delivery): boolean {
    for (const call of this.#writing) if (call.ids.has(id)) return true
    return (
      this.#store.get("deliveries", key) !== undefined ||
      this.#store.get("parked", parkedPrefix + key) !== undefined ||
      this.#store.get("dead", deadKey(tenant, id)) !== undefined
    )
  }

  async #write(call: Call, writes: readonly Write[]): Promise<void> {
    try {
      if (writes.length > 0) await this.#store.write(writes)
    } catch (error) {
      for (const row of call.rows) this.#takeBack(row)
      throw error
    } finally {
      this.#writing.delete(call)
      for (const [lane, count] of call.spilled) {
        lane.spilling -= count
        if (lane.spilling === 0) lane.spillingFrom = undefined
      }
    }
    for (const [lane, count] of call.spilled) {
      lane.open += count
      this.#lanes.wake(lane)
    }
    for (const { lane, delivery } of call.ordered.values()) this.#order.advance(lane, delivery)
  }

  /** The store refused the row: it must not be in memory either. */
  #takeBack(row: Row): void {
    if (row.state === "gone") return
    if (row.state !== "ready") this.#leases.end(row)
    this.#lanes.remove(row, true)
  }
}

/** Whether two deliveries are of one lane: most that come together are, and its name is not made anew for each. */
function isOfLane(one: Delivery, other: Delivery): boolean {
  if (one.destination !== other.destination || one.tenant !== other.tenant) return false
  return (one.replay === undefined) === (other.replay === undefined)
}
