import type { Delivery } from "../../../core/delivery.ts"
import type { Store } from "../store.ts"
import type { Lane, Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Parking } from "./parking.ts"
import {
  decodeRow,
  keptOf,
  keptPrefix,
  laneKey,
  orderMark,
  orderPrefix,
  parkedPrefix,
  pastKept,
  pastSeparator,
  splitOrderKey,
} from "./row.ts"

/** Keys whose first delivery is looked at in one turn of the event loop. */
const stepKeys = 1_000

/**
 * Sees to it that of the deliveries of one order key only the first is ever leased: the one of the oldest event, among those
 * that are open and those whose death holds the key.
 *
 * Which that is the store says; those behind it stay there until it is over. In memory is only whose deliveries are leased now; of those in leases that never lapse the store knows.
 * Whoever ends, adds or takes away a delivery calls {@link Order.advance} for its key, once that is written.
 */
export class Order {
  readonly #store: Store
  readonly #lanes: Lanes
  readonly #parking: Pick<Parking, "now" | "isMoving">
  /** By key, the id of the delivery that is leased, or whose end is being written. */
  readonly #leased = new Map<string, string>()
  /** Whether the store may have ordered ones in leases that never lapse: it is not asked for nothing. */
  #mayKeep = true

  constructor(store: Store, lanes: Lanes, parking: Pick<Parking, "now" | "isMoving">) {
    this.#store = store
    this.#lanes = lanes
    this.#parking = parking
  }

  /** Looks which lanes have anything in order. */
  start(): void {
    const [kept] = this.#store.range("parked", { start: keptPrefix, end: pastKept, limit: 1 })
    this.#mayKeep = kept !== undefined
    for (const lane of this.#lanes.all()) {
      const start = orderMark + lane.prefix
      const [first] = this.#store.range("parked", { start, end: orderMark + lane.end, limit: 1 })
      if (first !== undefined) lane.keys.all()
    }
  }

  /** Whether no other of its key is before it. */
  isFirst(lane: string, delivery: Delivery): boolean {
    const prefix = orderPrefix(lane, delivery)
    return prefix === undefined || this.#first(prefix) === delivery.id
  }

  /** Notes that the row is about to be leased; false where another one of its key goes first. */
  begin({ lane, delivery }: Row): boolean {
    const prefix = orderPrefix(lane.name, delivery)
    if (prefix === undefined) return true
    if (this.#isUnderWay(prefix) || this.#first(prefix) !== delivery.id) return false
    this.#leased.set(prefix, delivery.id)
    return true
  }

  /** Leases that never lapse are about to be written. */
  keeping(): void {
    this.#mayKeep = true
  }

  /** The row is in a lease that never lapses, and memory has it again. */
  again({ lane, delivery }: Row): void {
    const prefix = orderPrefix(lane.name, delivery)
    if (prefix !== undefined) this.#leased.set(prefix, delivery.id)
  }

  /** The lease is over, or never lapses any more, and what became of the delivery is written. */
  end({ lane, delivery }: Row): void {
    const prefix = orderPrefix(lane.name, delivery)
    if (prefix === undefined || this.#leased.get(prefix) !== delivery.id) return
    this.#leased.delete(prefix)
    this.#advance(lane, prefix)
  }

  /** The first delivery of this one's key becomes ready, where it may be. */
  advance(lane: Lane, delivery: Delivery): void {
    const prefix = orderPrefix(lane.name, delivery)
    if (prefix !== undefined) this.#advance(lane, prefix)
  }

  /** Looks for keys of the lane whose first delivery may be ready and is not in memory, until `room` are. */
  fill(lane: Lane, room: number): void {
    let left = room
    // Ends: with the keys, or for others to have their turn.
    for (let seen = 0; lane.keys.isLeft && left > 0; seen++) {
      if (seen === stepKeys) {
        this.#lanes.wakeSoon(lane)
        return
      }
      const prefix = this.#nextKey(lane)
      if (prefix !== undefined && this.#load(lane, prefix)) left--
    }
  }

  /** The key that is to be asked now; undefined where the round ends. */
  #nextKey({ keys }: Lane): string | undefined {
    const { range } = keys
    if (range === undefined) return keys.take()
    const [entry] = this.#store.range("parked", { ...range, limit: 1 })
    if (entry === undefined) {
      keys.end()
      return undefined
    }
    const { prefix } = splitOrderKey(entry.key)
    keys.passed(prefix)
    return prefix
  }

  #advance({ name }: Lane, prefix: string): void {
    // Where nothing of the lane was open any more it may be another one by now, or none: whoever adds to it calls as well.
    const lane = this.#lanes.find(name)
    if (lane === undefined) return
    // Others wait for their turn already: this key has its own when all of them had theirs.
    if (lane.keys.isLeft || !this.#lanes.hasRoom(lane)) lane.keys.add(prefix)
    else if (!this.#load(lane, prefix)) return
    this.#lanes.wake(lane)
  }

  /** Takes the key's first delivery into memory, where it is due and not there. */
  #load(lane: Lane, prefix: string): boolean {
    const id = this.#first(prefix)
    if (id === undefined || lane.rows.has(id) || this.#isUnderWay(prefix)) return false
    const key = laneKey(lane.name, id)
    if (this.#parking.isMoving(key)) return false
    const parked = this.#store.get("parked", parkedPrefix + key)
    const bytes = parked ?? this.#store.get("deliveries", key)
    if (bytes === undefined) return false
    const { delivery, state } = decodeRow(lane.name, id, bytes)
    if (parked && (state.held || (!state.behind && state.dueAt > this.#parking.now()))) return false
    // Its age begins with its turn: what is before it may have taken days.
    const turn = state.behind ? { ...state, firstDueAt: Math.max(state.firstDueAt, this.#parking.now()) } : state
    this.#lanes.load(lane, delivery, turn, parked !== undefined)
    return true
  }

  #isUnderWay(prefix: string): boolean {
    if (this.#leased.has(prefix) || !this.#mayKeep) return this.#leased.has(prefix)
    const [kept] = this.#store.range("parked", { ...keptOf(prefix), limit: 1 })
    return kept !== undefined
  }

  #first(prefix: string): string | undefined {
    const end = prefix.slice(0, -1) + pastSeparator
    const [entry] = this.#store.range("parked", { start: prefix, end, limit: 1 })
    return entry?.key.slice(prefix.length)
  }
}
