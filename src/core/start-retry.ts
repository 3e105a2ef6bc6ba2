import type { Catalog } from "./catalog.ts"
import { type Clock, sleep } from "./clock.ts"
import { OverloadError, StartRefusedError, UnavailableError } from "./errors.ts"

/** A start retries for so long while nobody answers: servers that start too, or choose a leader, take as long. */
export const startMsMax = 20_000
const restMs = 200

/** Whether nobody who stores answers at present, and a moment later somebody may. */
export function isAway(error: unknown): boolean {
  return error instanceof UnavailableError || error instanceof OverloadError
}

/**
 * Retries what a start needs, with a rest in between, while it fails with an error that `passes`. So `work` may be done twice.
 * Throws an error that does not pass, and one that is still there after 20 s.
 */
export async function retryAtStart<T>(clock: Clock, work: () => Promise<T>, passes = isAway): Promise<T> {
  const until = clock.steady() + startMsMax
  // Ends: after the 20 s at the latest.
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!passes(error) || clock.steady() >= until) throw error
    }
    await sleep(clock, restMs)
  }
}

/** What the hub keeps could not be read or written while it started. */
export class StorageAwayError extends StartRefusedError {
  override readonly name = "StorageAwayError"
  constructor(error: Error) {
    super(
      `what the hub keeps cannot be had: ${error.message}`,
      ["See that the servers that `engine` names run and reach each other, and start again."],
      { cause: error },
    )
  }
}

/** The catalog for a start: it retries while nobody answers yet, and throws StorageAwayError where that stays so. */
export function catalogAtStart(catalog: Catalog, clock: Clock): Pick<Catalog, "get" | "put"> {
  const retried = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await retryAtStart(clock, work)
    } catch (error) {
      throw isAway(error) ? new StorageAwayError(error as Error) : error
    }
  }
  return {
    get: (key, options) => retried(() => catalog.get(key, options)),
    put: (key, value, expected) => retried(() => catalog.put(key, value, expected)),
  }
}
