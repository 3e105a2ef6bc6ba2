import type { Clock } from "../core/clock.ts"
import { ProblemError } from "./errors.ts"

/** How long a request waits for the log to say where something is. */
export const logAnswersWithinMs = 5_000

/** What the log answers; where it takes too long, as while no server of a cluster leads, the request is answered 503. */
export function withinTime<Value>(clock: Clock, answer: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(logAnswersWithinMs, () => {
      const detail = `the log has not answered within ${logAnswersWithinMs / 1_000} s; try again soon`
      reject(new ProblemError("overloaded", detail, { headers: { "retry-after": "5" } }))
    })
    answer.then(resolve, reject).finally(cancel)
  })
}
