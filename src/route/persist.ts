import type { Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import { DamagedError, isPassing } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"
import type { Troubles } from "../core/troubles.ts"

/** The stage is stopping: what was to be done is left undone, and is found again at the next start. */
export class StoppedError extends Error {
  override readonly name = "StoppedError"
  constructor() {
    super("the router is stopping")
  }
}

/** What {@link persist} needs to try again: time, a log, and a signal that ends it. */
export interface RetryContext {
  readonly clock: Clock
  readonly log: Logger
  /** Tells the log of what has to be tried again. */
  readonly troubles: Troubles
  readonly stop: AbortSignal
}

/** How long reading waits after the log could not be read. */
export const rereadAfterMs = 1_000
const [delayMinMs, delayMaxMs] = [100, 10_000]

/**
 * Does `work` until the engine takes it: a full disk or a failing one delays routing and loses nothing. Everything that
 * goes through here may be done twice. Throws StoppedError, and whatever is a bug.
 */
export async function persist<T>(
  { clock, troubles, stop }: RetryContext,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  // Ends: the engine takes it, fails for good, or the router stops; meanwhile it rests, longer each time.
  for (let delayMs = delayMinMs; ; delayMs = Math.min(2 * delayMs, delayMaxMs)) {
    if (stop.aborted) throw new StoppedError()
    try {
      const done = await work()
      troubles.over(what)
      return done
    } catch (error) {
      if (!isRetried(error)) throw error
      troubles.met(what, `${what} failed; it is tried again until it works`, { err: error })
      await sleep(clock, delayMs, stop)
    }
  }
}

/** Whether it may be tried again: also what is damaged, for it may be mended. */
export function isRetried(error: unknown): boolean {
  return isPassing(error) || error instanceof DamagedError
}
