import type { Delivery } from "../core/delivery.ts"
import { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"

/** Deliveries that are remembered at most, and bytes of their events' attributes. */
const [rememberedMax, bytesMax] = [20_000, 16 * 1024 * 1024]

/**
 * Events of deliveries that were given to workers a while ago, without their data: what is told of an attempt needs no more, and
 * need not be read again when it is settled. The oldest are forgotten first; whoever finds none here reads the log.
 */
export class Given {
  readonly #events = new Map<string, { readonly stored: StoredEvent; readonly bytes: number }>()
  #bytes = 0

  add(delivery: Delivery, stored: StoredEvent): void {
    this.forget(delivery)
    const { address, cursor, storedAt, event } = stored
    const bytes = event.attributesJson.length
    this.#bytes += bytes
    this.#events.set(delivery.id, { stored: { address, cursor, storedAt, event: Event.of(event.attributes) }, bytes })
    // Ends: each turn forgets one.
    while (this.#events.size > rememberedMax || this.#bytes > bytesMax) this.#drop(this.#events.keys().next().value!)
  }

  find(delivery: Delivery): StoredEvent | undefined {
    const { stored } = this.#events.get(delivery.id) ?? {}
    // An id that came from another engine may be one of this engine's as well.
    return stored?.cursor === delivery.cursor && stored.address.tenant === delivery.tenant ? stored : undefined
  }

  forget(delivery: Delivery): void {
    this.#drop(delivery.id)
  }

  #drop(id: string): void {
    this.#bytes -= this.#events.get(id)?.bytes ?? 0
    this.#events.delete(id)
  }
}
