import type { Catalog } from "./catalog.ts"
import { type Clock, sleep } from "./clock.ts"
import { OverloadError, StartRefusedError, UnavailableError } from "./errors.ts"

/** How long a start bears that nobody answers: servers that start too, or choose a leader, take so long. */
export const startMsMax = 20_000
const restMs = 200

/** Whether nobody who stores answers at present, and a moment later somebody may. */
export function isAway(error: unknown): boolean {
  return error instanceof UnavailableError || error instanceof OverloadError
}

/**
 * Does what a start needs, again and again with a rest in between, while it fails in a way that `passes`; so only what may be
 * done twice. Throws on what does not pass, and what is still so after 20 s.
 */
export async function patiently<T>(clock: Clock, work: () => Promise<T>, passes = isAway): Promise<T> {
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

/** The catalog for a start, which bears that nobody answers yet. Throws StorageAwayError where it stays so. */
export function patientCatalog(catalog: Catalog, clock: Clock): Pick<Catalog, "get" | "put"> {
  const bear = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await patiently(clock, work)
    } catch (error) {
      throw isAway(error) ? new StorageAwayError(error as Error) : error
    }
  }
  return {
    get: (key, options) => bear(() => catalog.get(key, options)),
    put: (key, value, expected) => bear(() => catalog.put(key, value, expected)),
  }
}
