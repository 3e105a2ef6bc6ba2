import { type Clock, sleep } from "./clock.ts"

/** How long one request works before others have their turn. */
const turnMs = 5

/** Steps of deciding about one event before others have theirs: a few milliseconds. */
export const turnSteps = 500_000

/** Lets others have their turn, whenever this one has worked for long: to be called between small pieces of work. */
export function createPace(clock: Clock): () => Promise<void> {
  let since = clock.steady()
  return async () => {
    if (clock.steady() - since < turnMs) return
    await sleep(clock, 0)
    since = clock.steady()
  }
}
