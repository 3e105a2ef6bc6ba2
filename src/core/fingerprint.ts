import { isReservedTopic } from "./address.ts"
import type { Delivery } from "./delivery.ts"
import type { StoredEvent } from "./log.ts"

const [offset, prime] = [0x811c9dc5, 0x01000193]

/**
 * Whose event this is, in 32 bits, never 0: by that a delivery knows the event that it was made for from another one at its
 * place. The same for every engine: neither place nor time counts, and of the hub's own records, which are keyed and named by
 * other events' places, only what stays when those move.
 */
export function fingerprintOf({ address, event }: Pick<StoredEvent, "address" | "event">): number {
  const { tenant, topic, key = "" } = address
  const { id, source } = event
  const names = isReservedTopic(topic)
    ? [tenant, topic, source, id.slice(id.lastIndexOf(".") + 1)]
    : [tenant, topic, key, source, id, event.type]
  let hash = offset
  for (const name of names) {
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), prime)
    // No name holds this, so that none runs into the next.
    hash = Math.imul(hash ^ 0x1_00_00, prime)
  }
  return hash >>> 0 || 1
}

/** Whether this is the event that the delivery was made for. */
export function isEventOf(stored: StoredEvent, { tenant, fingerprint }: Delivery): boolean {
  return stored.address.tenant === tenant && (fingerprint === 0 || fingerprint === fingerprintOf(stored))
}
