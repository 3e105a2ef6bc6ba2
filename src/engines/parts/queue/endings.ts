import type { Ending } from "../../../core/deliveries.ts"
import type { Write } from "../store.ts"
import { putDead } from "./dead.ts"
import { type KeptPlace, makeDue, putAgain, released, removalOf, stateOf, stay } from "./kept.ts"
import type { Row } from "./lane.ts"
import type { Parking } from "./parking.ts"
import { laneKey, putOrder, putParked, type RowState, removeOrder } from "./row.ts"

/** Ends leases, each as it is asked for, or by lapsing. */
export class Endings {
  readonly #place: KeptPlace
  readonly #parking: Parking

  constructor(place: KeptPlace, parking: Parking) {
    this.#place = place
    this.#parking = parking
  }

  /** See Leasing.end; a refusal leaves the lease as it was. */
  async end(row: Row, ending: Ending): Promise<void> {
    await this.#endAs(row, ending)
    this.#place.order.end(row)
  }

  /** A lease that nobody ended counts as an attempt. A refused write costs no more than that this is forgotten in a crash. */
  lapsed(row: Row): void {
    const { store, lanes, order } = this.#place
    row.attempts++
    row.unended = false
    row.isNoted = false
    store.write([putAgain(row, stateOf(row))]).catch(() => undefined)
    lanes.makeReady(row)
    lanes.wake(row.lane)
    order.end(row)
  }

  async #endAs(row: Row, ending: Ending): Promise<void> {
    switch (ending.kind) {
      case "done":
        return this.#finish(row, [])
      case "dead":
        await this.#finish(row, [putDead(ending.letter, row.attempts + 1)], ending.holdsKey)
        return this.#place.store.flushed()
      case "retry":
        return this.#park(row, { attempts: row.attempts + 1, unended: false }, ending.delayMs)
      case "hold":
        return this.#moveAway(row, { ...stateOf(row), dueAt: this.#place.clock.now(), held: true, behind: false })
      case "release":
        return this.#release(row, ending.delayMs)
    }
  }

  async #leave(row: Row, writes: readonly Write[]): Promise<void> {
    const { leases, store } = this.#place
    leases.leave(row)
    try {
      await store.write(writes)
    } catch (error) {
      stay(this.#place, row)
      throw error
    }
    leases.end(row)
  }

  /** The row is gone, and `also` is written; `holdsKey`: not for those behind it. */
  async #finish(row: Row, also: readonly Write[], holdsKey = false): Promise<void> {
    const writes = [...removalOf(row), ...also]
    if (holdsKey) putOrder(writes, row.lane.name, row.delivery, true)
    else removeOrder(writes, row.lane.name, row.delivery)
    await this.#leave(row, writes)
    if (row.state !== "gone") this.#place.lanes.remove(row, true)
  }

  #release(row: Row, delayMs: number): Promise<void> | undefined {
    const { leases, lanes } = this.#place
    if (delayMs > 0) return this.#park(row, {}, delayMs)
    if (row.kept !== undefined || row.isNoted) return makeDue(this.#place, [row], released)
    leases.end(row)
    lanes.makeReady(row)
    lanes.wake(row.lane)
  }

  async #park(row: Row, change: Partial<RowState>, delayMs: number): Promise<void> {
    const dueAt = this.#parking.now() + Math.max(0, Math.ceil(delayMs))
    await this.#moveAway(row, { ...stateOf(row), ...change, dueAt, behind: false })
    this.#parking.added(dueAt, laneKey(row.lane.name, row.delivery.id))
  }

  /** Ends the lease and puts the row to the parked ones; memory lets it go. */
  async #moveAway(row: Row, state: RowState): Promise<void> {
    const writes = removalOf(row)
    putParked(writes, row.lane.name, row.delivery, state)
    await this.#leave(row, writes)
    if (row.state !== "gone") this.#place.lanes.remove(row, false)
  }
}
