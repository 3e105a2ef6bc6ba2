import type { LaneReport } from "../core/lane-status.ts"
import { Faring } from "./faring.ts"

/** Lanes of which the last failure is kept though there is nothing to do for them. */
const keptMax = 4_096

/** How destinations fared that have had nothing to do for long: only failures are worth keeping. */
export class RestingLanes {
  readonly #farings = new Map<string, Faring>()

  /** The lane is let go. */
  keep(name: string, faring: Faring): void {
    if (faring.lastError === undefined) return
    this.#farings.set(name, faring)
    const [oldest] = this.#farings.keys()
    if (this.#farings.size > keptMax) this.#farings.delete(oldest!)
  }

  /** What is known of a lane that is opened; from here on it is that lane's. */
  take(name: string): Faring {
    const faring = this.#farings.get(name)
    this.#farings.delete(name)
    return faring ?? new Faring()
  }

  /** How a lane fares that is not open; `now` is the clock's steady time. */
  report(name: string, now: number): LaneReport {
    const told = this.#farings.get(name)?.report(now, false) ?? { attempts: 0, delivered: 0 }
    return { breaker: "closed", inFlight: 0, ...told }
  }

  /** Nothing that was known of it counts. */
  forget(name: string): void {
    this.#farings.delete(name)
  }
}
