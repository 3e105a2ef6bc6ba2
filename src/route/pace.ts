import { sleep } from "../core/clock.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import type { Decision, Matcher } from "../match/matcher.ts"
import { type RetryContext, StoppedError } from "./persist.ts"

/** Steps of matching between two rests: a few milliseconds. Counted, not timed, so that a simulated run is always the same. */
export const turnSteps = 500_000

/** Steps that an event takes beside its matching, and a trigger that it fires. */
const eventSteps = 64

/** Matches events, and lets others have their turn whenever it has worked for long: between events, and within one. */
export class Pace {
  readonly #retrying: Pick<RetryContext, "clock" | "stop">
  #left = turnSteps

  constructor(retrying: Pick<RetryContext, "clock" | "stop">) {
    this.#retrying = retrying
  }

  /** The triggers that an event fires: at once where there is no need to rest. Rejects with StoppedError. */
  match(matcher: Matcher, stored: StoredEvent): readonly Trigger[] | Promise<readonly Trigger[]> {
    const decision = matcher.begin(stored, turnSteps)
    this.#left -= decision.steps + eventSteps * (1 + decision.found.length)
    return decision.done && this.#left > 0 ? decision.found : this.#finish(decision)
  }

  async #finish(decision: Decision): Promise<readonly Trigger[]> {
    const { clock, stop } = this.#retrying
    // Ends: each turn decides about something, or it is stopped.
    for (;;) {
      await sleep(clock, 0, stop)
      if (stop.aborted) throw new StoppedError()
      this.#left = turnSteps
      if (decision.done) return decision.found
      decision.goOn(turnSteps)
    }
  }
}
