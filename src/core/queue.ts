import type { DeadLetters } from "./dead-letters.ts"
import type { Deliveries } from "./deliveries.ts"
import type { Positions } from "./positions.ts"
import type { Transfer } from "./transfer.ts"

/** All of a hub's deliveries, and its readers' positions. What uses a part of it asks for that part's contract. */
export interface DeliveryQueue extends Positions, Deliveries, DeadLetters, Transfer {}
