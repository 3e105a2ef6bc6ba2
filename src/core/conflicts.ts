import { type Clock, sleep } from "./clock.ts"
import { ConflictError, OverloadError } from "./errors.ts"

const triesMax = 20
const [restMinMs, restMaxMs] = [5, 500]

/**
 * Does `change`, which reads something and writes what becomes of it, again each time that another write came first. It rests
 * in between, so that the other writer gets past, and throws OverloadError after 20 times, some seven seconds, or once `stop`
 * aborts.
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
