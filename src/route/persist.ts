import type { Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import { DamagedError, OverloadError, StorageError, StorageFullError } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"

/** The stage is stopping: what was to be done is left undone, and is found again at the next start. */
export class StoppedError extends Error {
  override readonly name = "StoppedError"
  constructor() {
    super("the router is stopping")
  }
}

export interface Patience {
  readonly clock: Clock
  readonly log: Logger
  readonly stop: AbortSignal
}

/** How long reading waits after the log could not be read. */
export const rereadAfterMs = 1_000
const [delayMinMs, delayMaxMs] = [100, 10_000]

/**
 * Does `work` until the engine takes it: a full disk or a failing one delays routing and loses nothing. Everything that
 * goes through here may be done twice. Throws StoppedError, and whatever is a bug.
 */
export async function persist<T>({ clock, log, stop }: Patience, what: string, work: () => Promise<T>): Promise<T> {
  // Ends: the engine takes it, fails for good, or the router stops; meanwhile it rests, longer each time.
  for (let delayMs = delayMinMs; ; delayMs = Math.min(2 * delayMs, delayMaxMs)) {
    if (stop.aborted) throw new StoppedError()
    try {
      return await work()
    } catch (error) {
      if (!isPassing(error)) throw error
      log.warn({ err: error, delayMs }, `${what} failed; it will be tried again`)
      await sleep(clock, delayMs, stop)
    }
  }
}

/** Whether the engine may do later what it did not do now. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof StorageError ||
    error instanceof StorageFullError ||
    error instanceof OverloadError ||
    error instanceof DamagedError
  )
}
