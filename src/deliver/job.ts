import type { Lease } from "../core/deliveries.ts"
import type { Outcome } from "../core/delivery.ts"
import type { StoredEvent } from "../core/log.ts"

/**
 * A lease in hand:
 *
 *   fetching ──▶ ready ──▶ sending ──▶ ending
 *       └──────────┴── given back, held, or dead ──▲
 */
export interface Job {
  readonly lease: Lease
  /** Leased to find out whether the destination is back. */
  readonly probe: boolean
  /** When the lease's time last began, by the clock's steady time. */
  leasedAt: number
  /** Set while it is sent. */
  sending: Sending | undefined
}

/** The request that it is in, alone or with others. */
interface Sending {
  /** By the clock's steady time. */
  readonly begunAt: number
  readonly controller: AbortController
  /** Ends the attempt without its sender, which has not come back. */
  abandon(outcome: Outcome): void
}

/** A job with all that sending needs. */
export interface ReadyJob {
  readonly job: Job
  readonly stored: StoredEvent
  /** Whether its trigger wants what the destination answers with. */
  readonly isAnswered: boolean
  /** By the clock's steady time. */
  readonly readyAt: number
}
