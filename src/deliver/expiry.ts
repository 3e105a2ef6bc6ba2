import type { Event } from "../core/event.ts"
import { isTimestamp } from "../formats/attributes.ts"

/**
 * When the event is of no use any more, by its `expirytime`, in Unix milliseconds; undefined where it says nothing that is a time.
 * Source: CloudEvents extension "Expiry Time".
 */
export function expiryOf(event: Event): number | undefined {
  const text = event.attribute("expirytime")
  if (typeof text !== "string" || !isTimestamp(text)) return undefined
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}
