import type { Lease } from "../core/deliveries.ts"
import type { Outcome } from "../core/delivery.ts"
import { LeaseLostError } from "../core/errors.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Hub } from "./hub.ts"

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
  /** By the clock's steady time. */
  readonly readyAt: number
}

/** How long an aborted attempt may take to end before it is left to itself. */
export const abortMs = 2_000

/** Keeps a job's lease, and ends its attempt where that takes too long. Called every `everyMs`. */
export function tendJob(job: Job, { clock, limits, engine, gate }: Hub, everyMs: number): void {
  const now = clock.steady()
  // Those that are younger are looked at again before their time is up.
  if (now - job.leasedAt >= everyMs / 2) {
    job.leasedAt = now
    engine.queue.extend(job.lease, limits.leaseMs).catch((error: unknown) => {
      if (!(error instanceof LeaseLostError)) gate.trouble(error, "extending a lease")
    })
  }
  if (!job.sending) return
  const { begunAt, controller, abandon } = job.sending
  const overMs = now - begunAt - limits.attemptMsMax
  if (overMs >= 0) controller.abort()
  const detail = `no end of the attempt within ${limits.attemptMsMax} ms`
  if (overMs >= abortMs) abandon({ kind: "failed", detail, permanent: false })
}
