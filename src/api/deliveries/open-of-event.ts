import type { Cursor } from "../../core/cursor.ts"
import type { OpenDelivery } from "../../core/open-delivery.ts"
import type { ApiContext } from "../context.ts"

const readAtOnce = 64

/** The open deliveries of the event at `cursor`, by id: each where it is now, wherever its trigger sends. */
export async function openOfEvent(
  { engine, stop }: Pick<ApiContext, "engine" | "stop">,
  tenant: string,
  cursor: Cursor,
): Promise<ReadonlyMap<string, OpenDelivery>> {
  const found = new Map<string, OpenDelivery>()
  // An id is the cursor, a dot, and more: those of the event come first after the cursor itself.
  let after: string | undefined = cursor
  // Ends: with the event's deliveries; each page begins behind the last one.
  while (after !== undefined && !stop.aborted) {
    const page = await engine.queue.openDeliveries({ tenant, after, limit: readAtOnce })
    for (const open of page.deliveries) {
      if (open.delivery.cursor !== cursor) return found
      found.set(open.delivery.id, open)
    }
    after = page.next
  }
  return found
}
