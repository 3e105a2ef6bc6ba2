import { type Missed, missedMax } from "../../core/schedules.ts"
import type { Ticks } from "./ticks.ts"

/** A run that is made so late, and not later, is not missed. */
export const lateMs = 60_000

/** What is to be done now. */
export interface Due {
  /** The runs to make, in order. */
  readonly runs: readonly number[]
  /** Up to here nothing else is to be done. */
  readonly passed: number
}

/** The runs that are due at `now`, of those after `beyond`; undefined where there are none. A missed run is one that another follows, or that is late. */
export function dueRuns(ticks: Ticks, missed: Missed, beyond: number, now: number): Due | undefined {
  const passed = ticks.upTo(now, beyond)
  if (passed === undefined) return undefined
  if (missed === "all") return { runs: newest(ticks, beyond, passed), passed }
  return { runs: missed === "once" || now - passed <= lateMs ? [passed] : [], passed }
}

function newest(ticks: Ticks, beyond: number, last: number): readonly number[] {
  const runs: number[] = []
  for (
    let at: number | undefined = last;
    at !== undefined && runs.length < missedMax;
    at = ticks.upTo(at - 1, beyond)
  ) {
    runs.push(at)
  }
  return runs.reverse()
}
