import type { Delivery } from "../../core/delivery.ts"
import { DamagedError, InvalidCursorError } from "../../core/errors.ts"
import { isEventOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { ApiContext } from "../context.ts"

/** The event that a delivery is of; undefined where the log has none that it can be of. */
export async function eventOf(
  { engine }: Pick<ApiContext, "engine">,
  delivery: Delivery,
): Promise<StoredEvent | undefined> {
  try {
    const stored = await engine.log.get(delivery.cursor)
    return stored && isEventOf(stored, delivery) ? stored : undefined
  } catch (error) {
    if (error instanceof DamagedError || error instanceof InvalidCursorError) return undefined
    throw error
  }
}
