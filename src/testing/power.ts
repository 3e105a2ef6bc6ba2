import type { Clock } from "../core/clock.ts"
import { mortalClock } from "./clock.ts"

/**
 * The life of one process on a simulated machine. Everything it does outside of memory goes through `spend`; once the
 * power is cut none of its promises resolves and none of its timers runs, while what it left behind stays.
 */
export interface Power {
  readonly on: boolean
  /** Time, until the power is cut. */
  readonly clock: Clock
  /**
   * Takes `ms`, then does `effect` and answers what it answered; a throw in it rejects. Never answers, and does not do
   * `effect`, once the power is cut.
   */
  spend<T>(what: string, ms: number, effect: () => T): Promise<T>
  /** Calls `run` when the power is cut, in the order of these calls. */
  onCut(run: () => void): void
  cut(): void
}

export interface PowerOptions {
  readonly clock: Clock
  /** Sees the beginning and the end of everything that is spent, and may cut the power there. */
  readonly watch?: (what: string, power: Power) => void
}

/** Power that is on. */
export function createPower({ clock, watch = () => {} }: PowerOptions): Power {
  const mortal = mortalClock(clock)
  const cuts: (() => void)[] = []
  let on = true
  const power: Power = {
    get on() {
      return on
    },
    clock: mortal.clock,
    spend(what, ms, effect) {
      return new Promise((resolve, reject) => {
        if (!on) return
        watch(what, power)
        mortal.clock.after(ms, () => {
          try {
            const value = effect()
            watch(`${what}, done`, power)
            if (on) resolve(value)
          } catch (error) {
            reject(error)
          }
        })
      })
    },
    onCut(run) {
      cuts.push(run)
    },
    cut() {
      if (!on) return
      on = false
      mortal.stop()
      for (const run of cuts) run()
    },
  }
  return power
}
