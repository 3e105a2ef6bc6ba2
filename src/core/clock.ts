/** Time, passed in: the simulator owns it. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number
  /** Milliseconds since some moment. Nobody sets this one, so it is what durations are measured by. */
  steady(): number
  /** Calls `run` once after `ms`; the answer cancels it. A pending call keeps no process alive. */
  after(ms: number, run: () => void): () => void
}

/**
 * A clock's time that never goes back: where the clock is set back it goes on as the time passes, and where it is set forward
 * it leaps with it. So what is due after some time is due by then, whatever becomes of the clock meanwhile.
 */
export function forwardTime(clock: Clock): () => number {
  let ahead = Number.NEGATIVE_INFINITY
  return () => {
    const steady = clock.steady()
    ahead = Math.max(ahead, clock.now() - steady)
    // Sums of fractions miss a whole number by less than this.
    return Math.floor(steady + ahead + 1e-3)
  }
}

/** Chance, passed in: the simulator seeds it. */
export interface Chance {
  /** Uniform in [0, 1). */
  next(): number
  /** An identifier that nobody else makes: 26 characters, sortable by time to the millisecond. */
  id(): string
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      cancel()
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal?.addEventListener("abort", done, { once: true })
  })
}
