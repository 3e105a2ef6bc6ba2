import { type Clock, sleep } from "./clock.ts"
import { ConflictError, OverloadError } from "./errors.ts"

const triesMax = 20
const [restMinMs, restMaxMs] = [5, 500]

/**
 * Does `change`, which reads something and writes what becomes of it, anew each time that another write came first; with a rest
 * in between, so that the other one comes by, and no more than 20 times, some seven seconds, nor once `stop` aborts: throws OverloadError then.
 */
export async function changeAgainst<T>(
  clock: Clock,
  what: string,
  change: () => Promise<T>,
  stop?: AbortSignal,
): Promise<T> {
  for (
    let tries = 1, restMs = restMinMs;
    tries <= triesMax && !stop?.aborted;
    tries++, restMs = Math.min(2 * restMs, restMaxMs)
  ) {
    try {
      return await change()
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
    await sleep(clock, restMs, stop)
  }
  throw new OverloadError(1_000, `others keep changing ${what}`)
}
