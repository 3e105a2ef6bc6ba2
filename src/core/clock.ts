/** Time, passed in: the simulator owns it. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number
  /** Calls `run` once after `ms`; the answer cancels it. A pending call keeps no process alive. */
  after(ms: number, run: () => void): () => void
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
