import type { Clock } from "../core/clock.ts"

/** Bounds guesses: whoever misses too often is not heard for an instant. */
export interface MissLimit {
  /** Whether one more may be looked at. */
  ask(): boolean
  /** It was none, or may be. */
  count(): void
}

/** A bucket that fills by `perSecond`. */
export function createMissLimit(clock: Clock, perSecond: number): MissLimit {
  let left = perSecond
  let at = clock.steady()
  return {
    ask(): boolean {
      if (left >= 1) return true
      const now = clock.steady()
      left = Math.min(perSecond, left + (Math.max(0, now - at) * perSecond) / 1_000)
      at = now
      return left >= 1
    },
    count(): void {
      left--
    },
  }
}
