import { type Delivery, laneOf, type TriggerName } from "../src/core/delivery.ts"
import type { DeliveryRecord } from "./record.ts"

/** Deliveries that were enqueued with an order key, as far as it is sure that they are, or were, in the queue. */
export class OrderRecord {
  /** By trigger, destination and order key. */
  readonly #byKey = new Map<string, Map<string, DeliveryRecord>>()
  /** Dead ones that hold their keys. */
  readonly #holding = new Set<string>()
  /** Those whose end was asked for, and nobody heard what came of it. */
  readonly #unclear = new Set<string>()

  enqueued(deliveries: readonly Delivery[], recordOf: (id: string) => DeliveryRecord): void {
    for (const delivery of deliveries) {
      const name = nameOf(delivery)
      if (name === undefined) continue
      const known = this.#byKey.get(name) ?? new Map<string, DeliveryRecord>()
      this.#byKey.set(name, known.set(delivery.id, recordOf(delivery.id)))
    }
  }

  /** Its end is asked for. */
  ending({ id }: Delivery): void {
    this.#unclear.add(id)
  }

  /** What came of that is known. */
  known({ id }: Delivery): void {
    this.#unclear.delete(id)
  }

  /** Its death is to hold its key; from when that is asked for. */
  held({ id }: Delivery): void {
    this.#holding.add(id)
  }

  /** It was asked to be redriven or discarded. */
  letGo(id: string): void {
    this.#holding.delete(id)
  }

  /** These may be for another destination by now. */
  forget({ tenant, trigger, incarnation }: TriggerName): void {
    const start = `${tenant}/${trigger}.${incarnation} `
    for (const name of this.#byKey.keys()) if (name.startsWith(start)) this.#byKey.delete(name)
  }

  /** Why a delivery must not be leased now; undefined: it may be. */
  whyNot(delivery: Delivery, now: number): string | undefined {
    for (const [id, other] of this.#byKey.get(nameOf(delivery) ?? "") ?? []) {
      if (id === delivery.id || other.deleted) continue
      const { live, ended, redrives } = other
      const isUnclear = this.#unclear.has(id) || live?.voided === true
      if (live && !isUnclear && live.untilMs > now) return `beside ${id} of its order key`
      if (id > delivery.id || redrives > 0 || isUnclear) continue
      if (!ended) return `before ${id} of its order key`
      if (ended.kind === "dead" && this.#holding.has(id)) return `behind ${id}, which is dead and holds their order key`
    }
    return undefined
  }
}

function nameOf(delivery: Delivery): string | undefined {
  const { tenant, trigger, incarnation, orderKey } = delivery
  return orderKey === undefined ? undefined : `${tenant}/${trigger}.${incarnation} ${laneOf(delivery)} ${orderKey}`
}
