import type { Clock } from "../../../core/clock.ts"
import type { Row } from "./lane.ts"

/**
 * The leases of this process. They live in memory only: after a crash nobody holds one. Their times are the clock's steady
 * ones.
 *
 * Leases of one length lapse in the order in which they began, so each length has a list and only its head is looked at;
 * one timer serves them all.
 */
export class Leases {
  readonly #clock: Clock
  readonly #lapsed: (row: Row) => void
  readonly #byToken = new Map<number, Row>()
  readonly #byLength = new Map<number, Set<Row>>()
  #lastToken: number
  #cancel: (() => void) | undefined
  #timerAt = Number.POSITIVE_INFINITY

  /** Tokens count up from `firstToken`, so that no lease of an earlier process is mistaken for one of this. */
  constructor(clock: Clock, firstToken: number, lapsed: (row: Row) => void) {
    this.#clock = clock
    this.#lastToken = firstToken
    this.#lapsed = lapsed
  }

  get size(): number {
    return this.#byToken.size
  }

  begin(row: Row, now: number, leaseMs: number): void {
    row.state = "leased"
    row.token = ++this.#lastToken
    row.leasedAt = now
    row.begunAt = this.#clock.now()
    this.#byToken.set(row.token, row)
    this.#time(row, now, leaseMs)
  }

  /** The row of a live lease. */
  find(token: number): Row | undefined {
    const row = this.#byToken.get(token)
    return row?.state === "leased" && row.deadline > this.#clock.steady() ? row : undefined
  }

  extend(row: Row, now: number, leaseMs: number): void {
    this.#untime(row)
    this.#time(row, now, leaseMs)
  }

  /** Stops the lease's time while its end is being written. */
  leave(row: Row): void {
    row.state = "leaving"
    this.#untime(row)
  }

  /** The end could not be written: the lease goes on with the time it had. */
  stay(row: Row): void {
    row.state = "leased"
    this.#time(row, row.deadline - row.leaseMs, row.leaseMs)
  }

  end(row: Row): void {
    // One that never lapsed may have had the same, and none here.
    if (this.#byToken.get(row.token) === row) this.#byToken.delete(row.token)
    this.#untime(row)
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#byToken.clear()
    this.#byLength.clear()
  }

  #time(row: Row, now: number, leaseMs: number): void {
    row.leaseMs = leaseMs
    row.deadline = now + leaseMs
    let list = this.#byLength.get(leaseMs)
    if (list === undefined) {
      list = new Set()
      this.#byLength.set(leaseMs, list)
    }
    list.add(row)
    if (row.deadline < this.#timerAt) this.#arm(row.deadline)
  }

  #untime(row: Row): void {
    const list = this.#byLength.get(row.leaseMs)
    if (list?.delete(row) && list.size === 0) this.#byLength.delete(row.leaseMs)
  }

  #arm(at: number): void {
    this.#cancel?.()
    this.#timerAt = at
    this.#cancel = this.#clock.after(Math.max(0, at - this.#clock.steady()), () => this.#lapse())
  }

  #lapse(): void {
    this.#cancel = undefined
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.steady()
    let next = Number.POSITIVE_INFINITY
    for (const list of [...this.#byLength.values()]) {
      for (const row of list) {
        if (row.deadline > now) {
          next = Math.min(next, row.deadline)
          break
        }
        this.end(row)
        this.#lapsed(row)
      }
    }
    if (next < this.#timerAt) this.#arm(next)
  }
}
