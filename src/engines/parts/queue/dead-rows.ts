import type { Clock } from "../../../core/clock.ts"
import { type DeadLetter, type Delivery, laneOf } from "../../../core/delivery.ts"
import type { Store, Write } from "../store.ts"
import { type Buried, deadKey, findDead } from "./dead.ts"
import type { Lanes } from "./lanes.ts"
import type { Order } from "./order.ts"
import { putFresh, type RowState, removeOrder } from "./row.ts"

/** What redriving and discarding work on. */
export interface DeadPlace {
  readonly store: Store
  readonly clock: Clock
  readonly lanes: Lanes
  readonly order: Order
}

/** Takes dead letters away: to be delivered again, or for good. */
export class DeadRows {
  readonly #place: DeadPlace
  /** Keys of those that are just being taken away. */
  readonly #leaving = new Set<string>()

  constructor(place: DeadPlace) {
    this.#place = place
  }

  /** See DeadLetters.redrive. */
  async redrive(tenant: string, id: string, as?: Delivery): Promise<boolean> {
    const { store, clock, lanes, order } = this.#place
    const buried = this.#find(tenant, id)
    if (buried === undefined) return false
    const attempts = as === undefined ? buried.attempts : 0
    const delivery = as ?? deliveryOf(buried.letter)
    const now = clock.now()
    const behind = delivery.orderKey !== undefined
    const state: RowState = { attempts, forgiven: attempts, firstDueAt: now, dueAt: now, held: false, behind }
    const name = laneOf(delivery)
    const writes: Write[] = []
    if (as !== undefined) removeOrder(writes, name, buried.letter)
    putFresh(writes, name, delivery, state)
    await this.#takeAway(tenant, id, writes)
    const lane = lanes.ensure(name)
    lane.open++
    if (as !== undefined) order.advance(lane, buried.letter)
    if (behind) order.advance(lane, delivery)
    else lanes.loadOrLeave(lane, delivery, state)
    lanes.wake(lane)
    await store.flushed()
    return true
  }

  /** See DeadLetters.discard. */
  async discard(tenant: string, id: string): Promise<boolean> {
    const { store, lanes, order } = this.#place
    const letter = this.#find(tenant, id)?.letter
    if (letter === undefined) return false
    const name = laneOf(letter)
    const writes: Write[] = []
    removeOrder(writes, name, letter)
    await this.#takeAway(tenant, id, writes)
    const lane = lanes.find(name)
    if (lane) order.advance(lane, letter)
    await store.flushed()
    return true
  }

  #find(tenant: string, id: string): Buried | undefined {
    return this.#leaving.has(deadKey(tenant, id)) ? undefined : findDead(this.#place.store, tenant, id)
  }

  /** Writes `also` in the same step. */
  async #takeAway(tenant: string, id: string, also: readonly Write[]): Promise<void> {
    const key = deadKey(tenant, id)
    this.#leaving.add(key)
    try {
      await this.#place.store.write([{ table: "dead", key, value: undefined }, ...also])
    } finally {
      this.#leaving.delete(key)
    }
  }
}

function deliveryOf(letter: DeadLetter): Delivery {
  const { id, tenant, trigger, incarnation, destination, cursor, fingerprint, orderKey, replay } = letter
  return {
    ...{ id, tenant, trigger, incarnation, destination, cursor, fingerprint },
    ...(orderKey !== undefined && { orderKey }),
    ...(replay !== undefined && { replay }),
  }
}
