import type { Clock } from "../core/clock.ts"
import { Rate } from "./rate.ts"

/** A rate that several lanes share, which take turns, one attempt each, while it is short. */
export class RateTurns {
  readonly #rate: Rate
  readonly #clock: Clock
  /** Who waits, in the order of their turns. */
  readonly #waiting = new Set<() => void>()
  /** Whose turn it is. */
  #turn: (() => void) | undefined
  #isTimed = false

  constructor(perSecond: number, clock: Clock) {
    this.#clock = clock
    this.#rate = new Rate(perSecond, clock.steady())
  }

  /** Whole tokens there are now for whoever does not wait. */
  get available(): number {
    return this.#waiting.size > 0 ? 0 : this.#rate.available(this.#clock.steady())
  }

  /** Whether the lane may begin an attempt now, for which it takes a token. Else `wake` is called at its turn. */
  ask(wake: () => void): boolean {
    if (this.#turn === wake || (this.#turn === undefined && this.available >= 1)) return true
    this.#waiting.add(wake)
    this.#wakeLater()
    return false
  }

  /** Takes what {@link RateTurns.ask} has allowed; more than one for a batch, which those who come next wait for. */
  take(count = 1): void {
    this.#turn = undefined
    this.#rate.take(count)
  }

  /** Takes back what a lane waits for. */
  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }

  #wakeLater(): void {
    if (this.#isTimed) return
    this.#isTimed = true
    this.#clock.after(Math.max(1, this.#rate.waitMs(this.#clock.steady())), () => {
      this.#isTimed = false
      this.#wake()
    })
  }

  /** As many turns as there are tokens: whoever wants none by now passes its turn on. */
  #wake(): void {
    // Once round at most: who waits again meanwhile has its turn with a later token.
    for (const wake of [...this.#waiting].slice(0, this.#rate.available(this.#clock.steady()))) {
      this.#waiting.delete(wake)
      this.#turn = wake
      wake()
      this.#turn = undefined
    }
    if (this.#waiting.size > 0) this.#wakeLater()
  }
}
