import type { Clock } from "../core/clock.ts"
import type { Logger } from "../core/logger.ts"

/** Less than this is a clock that is being synchronised. */
const leapMsMin = 1_000

/** Tells the log when the machine's clock was set, each time once. */
export class ClockWatch {
  readonly #clock: Clock
  readonly #log: Logger
  #offsetMs: number

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#offsetMs = clock.now() - clock.steady()
  }

  /** To be called now and then. */
  look(): void {
    const offsetMs = this.#clock.now() - this.#clock.steady()
    const leapMs = offsetMs - this.#offsetMs
    this.#offsetMs = offsetMs
    if (Math.abs(leapMs) < leapMsMin) return
    const seconds = Math.round(Math.abs(leapMs) / 1_000)
    const text =
      leapMs > 0
        ? "the clock was set forward, or the machine slept"
        : "the clock was set back: events go on with the time that was reached, until the clock has come to it"
    this.#log.warn({ seconds }, text)
  }
}
