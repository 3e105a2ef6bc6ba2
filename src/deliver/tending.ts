import { LeaseLostError } from "../core/errors.ts"
import type { Hub } from "./hub.ts"
import type { Job } from "./job.ts"

/** How long an aborted attempt may take to end before it is left to itself. */
export const abortMs = 2_000

/** While there are jobs: keeps their leases, and ends attempts that take too long. */
export class Tending {
  readonly #jobs: ReadonlySet<Job>
  readonly #hub: Hub
  #running = false

  constructor(jobs: ReadonlySet<Job>, hub: Hub) {
    this.#jobs = jobs
    this.#hub = hub
  }

  /** There are jobs. */
  begin(): void {
    if (this.#running) return
    this.#running = true
    const { clock, limits } = this.#hub
    const everyMs = Math.min(limits.leaseMs / 3, limits.attemptMsMax / 2)
    clock.after(everyMs, () => {
      this.#running = false
      if (this.#jobs.size === 0) return
      for (const job of this.#jobs) tend(job, this.#hub, everyMs)
      this.begin()
    })
  }
}

/** Keeps a job's lease, and ends its attempt where that takes too long. Called every `everyMs`. */
function tend(job: Job, { clock, limits, engine, gate }: Hub, everyMs: number): void {
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
