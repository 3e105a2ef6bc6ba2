import type { Delivery } from "../../../core/delivery.ts"
import { KeyRound } from "./key-round.ts"
import { laneKey, pastSeparator, type RowState, separator } from "./row.ts"

/**
 * An open delivery in memory:
 *
 *   ready     due, and in its lane's list
 *   leased    held by someone until `deadline`
 *   leaving   its end, its parking or its holding is being written; no lease is on it any more. Or it is written that its lease
 *             never lapses: then it is in the store alone
 *   gone      not the queue's any more; whoever still knows it lets it be
 */
export class Row implements RowState {
  readonly delivery: Delivery
  readonly lane: Lane
  /** Whether its row is still where it was parked ({@link RowState.dueAt} finds it there). */
  readonly parked: boolean
  forgiven: number
  readonly firstDueAt: number
  readonly dueAt: number
  readonly held = false
  readonly behind: boolean
  readonly kept?: number
  attempts: number
  unended: boolean
  /** It is stored as if the attempt that is under way had counted. */
  isNoted = false
  state: "ready" | "leased" | "leaving" | "gone" = "ready"
  token = 0
  leaseMs = 0
  /** By the clock's steady time. */
  leasedAt = 0
  /** Unix milliseconds. */
  begunAt = 0
  deadline = 0

  constructor(delivery: Delivery, lane: Lane, state: RowState, parked: boolean) {
    this.delivery = delivery
    this.lane = lane
    this.parked = parked
    this.attempts = state.attempts
    this.forgiven = state.forgiven
    this.firstDueAt = state.firstDueAt
    this.dueAt = state.dueAt
    this.behind = state.behind
    this.unended = state.unended ?? false
    if (state.kept !== undefined) this.kept = state.kept
  }
}

/** Rows in the order of their ids. Most come at the end and go at the front. */
class ReadyList {
  #rows: Row[] = []
  #head = 0

  get size(): number {
    return this.#rows.length - this.#head
  }

  /** The id of the row at `index`, which there is. */
  id(index: number): string {
    return this.#rows[this.#head + index]!.delivery.id
  }

  add(row: Row): void {
    const rows = this.#rows
    const last = rows[rows.length - 1]
    if (last === undefined || this.size === 0 || last.delivery.id < row.delivery.id) rows.push(row)
    else rows.splice(this.#place(row.delivery.id), 0, row)
  }

  take(): Row | undefined {
    if (this.size === 0) return undefined
    const row = this.#rows[this.#head++]
    if (this.#head === this.#rows.length) {
      this.#rows = []
      this.#head = 0
    } else if (this.#head >= 512 && this.#head * 2 >= this.#rows.length) {
      this.#rows.splice(0, this.#head)
      this.#head = 0
    }
    return row
  }

  remove(row: Row): void {
    const place = this.#place(row.delivery.id)
    if (this.#rows[place] === row) this.#rows.splice(place, 1)
  }

  /** Where the first row is whose id is not before `id`. */
  #place(id: string): number {
    let low = this.#head
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#rows[middle]!.delivery.id < id) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The deliveries of one destination, of which a bounded part is in memory. Nobody keeps one that has nothing open. */
export class Lane {
  readonly name: string
  /** Before an id in the lane's keys; and past them all. */
  readonly prefix: string
  readonly end: string
  /** What is due and in memory. */
  readonly ready = new ReadyList()
  /** Every row in memory by delivery id, leased and leaving ones too. */
  readonly rows = new Map<string, Row>()
  /** Open deliveries, parked and held ones too; those that only the store holds count from when they are there. */
  open = 0
  /** Every due row from this id on may be in the store alone; undefined: memory has all. */
  unread: string | undefined
  /** Rows that are being written and are not in memory; the lowest id among them. */
  spilling = 0
  spillingFrom: string | undefined
  readonly keys: KeyRound
  /** Whether the listeners know that it has due work. */
  told = false

  constructor(name: string) {
    if (name.includes(separator)) throw new RangeError(`a name holds a space: ${JSON.stringify(name)}`)
    this.name = name
    this.prefix = laneKey(name, "")
    this.end = name + pastSeparator
    this.keys = new KeyRound(name)
  }

  /** Nothing of it is left. */
  get idle(): boolean {
    return this.open === 0 && this.spilling === 0 && this.rows.size === 0
  }

  /** It has due work, or is about to have some. */
  get hasDue(): boolean {
    return this.ready.size > 0 || this.unread !== undefined || this.keys.isLeft
  }

  /** A due row is in the store that memory has not. */
  leftInStore(id: string): void {
    if (this.unread === undefined || id < this.unread) this.unread = id
  }
}
