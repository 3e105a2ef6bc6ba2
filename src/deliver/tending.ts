import type { Hub } from "./hub.ts"
import { type Job, tendJob } from "./job.ts"

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
      for (const job of this.#jobs) tendJob(job, this.#hub, everyMs)
      this.begin()
    })
  }
}
