import type { Clock } from "../../core/clock.ts"

/** Something that its signal or its deadline may end early. */
export interface Watched {
  readonly signal: AbortSignal
  /** Called when the signal aborts. May call {@link Watch.delete}. */
  abort(): void
  /** Called once the time is over. May call {@link Watch.delete}. */
  expire(): void
}

/** A deadline is kept to this part of its time: late by so much at most, never early. */
const precision = 20

/**
 * Watches over what is in flight with one timer and one listener for each signal: a timer and a listener for each
 * delivery would cost 4 of the 25 us that a delivery takes. The timer ticks, so that a wall clock that is set moves
 * no deadline.
 */
export class Watch {
  readonly #clock: Clock
  readonly #tickMs: number
  /** The tick that each began in, in the order in which they began. */
  readonly #begun = new Map<Watched, number>()
  readonly #users = new Map<AbortSignal, number>()
  #tick = 0
  #ticking = false

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock
    this.#tickMs = timeoutMs / precision
  }

  get size(): number {
    return this.#begun.size
  }

  /** Its signal has not aborted yet. */
  add(watched: Watched): void {
    this.#begun.set(watched, this.#tick)
    const users = this.#users.get(watched.signal) ?? 0
    this.#users.set(watched.signal, users + 1)
    if (users === 0) watched.signal.addEventListener("abort", this.#onAbort)
    if (!this.#ticking) this.#arm()
  }

  delete(watched: Watched): void {
    if (!this.#begun.delete(watched)) return
    const users = this.#users.get(watched.signal)! - 1
    if (users > 0) {
      this.#users.set(watched.signal, users)
      return
    }
    this.#users.delete(watched.signal)
    watched.signal.removeEventListener("abort", this.#onAbort)
  }

  readonly #onAbort = () => {
    for (const watched of [...this.#begun.keys()]) if (watched.signal.aborted) watched.abort()
  }

  #arm(): void {
    this.#ticking = true
    this.#clock.after(this.#tickMs, () => {
      this.#tick++
      this.#ticking = false
      const overdue = this.#tick - precision
      for (const [watched, tick] of [...this.#begun]) {
        if (tick >= overdue) break
        watched.expire()
      }
      if (this.#begun.size > 0) this.#arm()
    })
  }
}
