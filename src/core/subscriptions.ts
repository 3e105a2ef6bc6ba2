import type { Cursor } from "./cursor.ts"
import type { Filter, Labels } from "./resources.ts"

/** Subscriptions of one tenant at most. */
export const subscriptionsMax = 10_000

/** A named place in one topic, from which whoever reads goes on, and which moves on when a reader commits. */
export interface Subscription {
  readonly id: string
  readonly tenant: string
  /** Tells it from other subscriptions that had its id before, or will. */
  readonly incarnation: string
  readonly description?: string
  readonly labels: Labels
  /** A topic, or one key of it: `orders`, `orders:123`. */
  readonly topic: string
  /** All must hold; none means every event. */
  readonly filters: readonly Filter[]
  /** Where it began. */
  readonly from: Cursor
  readonly createdAt: number
  readonly updatedAt: number
}

/** Where a subscription stands: events after `cursor` are still to be read. */
export interface SubscriptionPosition {
  /** Of which subscription of that id. */
  readonly incarnation: string
  readonly cursor: Cursor
  /** From 1; each reset makes it one more, so that what was read before a reset is not committed after it. */
  readonly epoch: number
  /** When it was committed or reset last, in Unix milliseconds. */
  readonly movedAt: number
}
