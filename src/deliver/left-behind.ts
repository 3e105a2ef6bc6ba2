import type { Delivery } from "../core/delivery.ts"
import type { Trigger } from "../core/resources.ts"

/** Whether the delivery is to go where its trigger sends now, and was made for another destination. */
export function isLeftBehind({ destination, backlog }: Trigger, delivery: Pick<Delivery, "destination">): boolean {
  return backlog === "move" && destination !== delivery.destination
}
