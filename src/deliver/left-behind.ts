import type { Delivery } from "../core/delivery.ts"
import type { Trigger } from "../core/resources.ts"

/** Whether the delivery is to go where its trigger sends now, and was made for another destination; a replay goes where it was sent. */
export function isLeftBehind(
  { destination, backlog }: Trigger,
  delivery: Pick<Delivery, "destination" | "replay">,
): boolean {
  return backlog === "move" && destination !== delivery.destination && delivery.replay === undefined
}
