import type { Delivery } from "../../../core/delivery.ts"
import type { Store, Table, Write } from "../store.ts"
import { Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Leases } from "./leases.ts"
import type { Parking } from "./parking.ts"
import { decodeRow, laneKey, parkedPrefix, type RowState, removeParked, splitKey } from "./row.ts"

/** Rows that are looked at in one step. */
const stepRows = 512

/** What dropping works on. */
export interface DropPlace {
  readonly store: Store
  readonly lanes: Lanes
  readonly leases: Leases
  readonly parking: Parking
}

/** Whose deliveries are dropped. */
export type DropOf = Pick<Delivery, "tenant" | "trigger" | "incarnation">

interface Found {
  readonly lane: string
  readonly delivery: Delivery
  readonly state: RowState
}

/**
 * Drops a trigger's open deliveries, leased ones too, in bounded steps through all that its tenant has open; answers how
 * many. The caller sees to it that nothing else moves parked or held rows meanwhile.
 */
export class Drop {
  readonly #place: DropPlace
  readonly #of: DropOf
  #dropped = 0
  /** Met a delivery that was just leaving where it was: it has to be looked for once more. */
  #missed = false

  constructor(place: DropPlace, of: DropOf) {
    this.#place = place
    this.#of = of
  }

  async run(): Promise<number> {
    for (let pass = 0; pass < 3; pass++) {
      this.#missed = false
      // What was asked for before is to be seen.
      await this.#place.store.write([])
      await this.#scan("deliveries", "")
      await this.#scan("parked", parkedPrefix)
      if (!this.#missed) break
    }
    return this.#dropped
  }

  async #scan(table: Table, prefix: string): Promise<void> {
    const { tenant, trigger, incarnation } = this.#of
    let start = `${prefix}${tenant}/`
    const end = `${prefix}${tenant}0`
    // Ends: with the rows: each step begins behind the last one.
    for (;;) {
      const found: Found[] = []
      let seen = 0
      for (const { key, value } of this.#place.store.range(table, { start, end, limit: stepRows })) {
        seen++
        start = `${key}\0`
        const { lane, id } = splitKey(key.slice(prefix.length))
        const { delivery, state } = decodeRow(lane, id, value)
        if (delivery.trigger === trigger && delivery.incarnation === incarnation) found.push({ lane, delivery, state })
      }
      if (found.length > 0) await this.#delete(found, table === "parked")
      else if (seen === stepRows) await new Promise(setImmediate)
      if (seen < stepRows) return
    }
  }

  /** Deletes the rows; until that is done, a row without life stands for each in memory, so that none is read again. */
  async #delete(found: readonly Found[], parked: boolean): Promise<void> {
    const { lanes } = this.#place
    const writes: Write[] = []
    const rows: Row[] = []
    for (const { lane: name, delivery, state } of found) {
      const lane = lanes.ensure(name)
      const known = lane.rows.get(delivery.id)
      if (known?.state === "leaving") {
        this.#missed = true
        continue
      }
      if (known !== undefined) {
        this.#place.leases.end(known)
        lanes.remove(known, false)
      }
      const row = new Row(delivery, lane, state, parked)
      row.state = "gone"
      lanes.ensure(name).rows.set(delivery.id, row)
      rows.push(row)
      if (parked) removeParked(writes, name, delivery, state)
      else writes.push({ table: "deliveries", key: laneKey(name, delivery.id), value: undefined })
    }
    try {
      await this.#place.store.write(writes)
    } catch (error) {
      for (const row of rows) {
        lanes.remove(row, false)
        if (parked) this.#place.parking.added(row.dueAt, laneKey(row.lane.name, row.delivery.id))
        else row.lane.leftInStore(row.delivery.id)
      }
      throw error
    }
    for (const row of rows) lanes.remove(row, true)
    this.#dropped += rows.length
  }
}
