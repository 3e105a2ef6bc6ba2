import type { Clock } from "../core/clock.ts"
import { Refusal } from "./refusal.ts"

/** How often it is looked at how much of each body has come. */
export const paceMs = 10_000
/** What has to come in that time of a body that is held in memory: 4 KiB a second. */
export const paceBytes = 40 * 1024
/** Of a body of which nothing is held, something has to come within so many times. */
export const idlePacesMax = 3

/** A body on its way in. */
export interface Paced {
  /** Whether memory is held until more of it has come. */
  readonly holds: boolean
  /** It came too slowly. Called once. */
  onSlow(): void
}

/** Watches one body's pace, from when it is made to {@link Pace.end}. */
export class Pace {
  readonly #paces: Paces
  readonly body: Paced
  /** The neighbours in the ring of all. */
  before: Pace = this
  behind: Pace = this
  #bytes = 0
  /** It has been watched for a whole time. */
  #begun = false
  #idle = 0

  constructor(paces: Paces, body: Paced) {
    this.#paces = paces
    this.body = body
  }

  took(bytes: number): void {
    this.#bytes += bytes
  }

  /** The hub is what it waits for: its time begins anew. */
  excuse(): void {
    this.#begun = false
  }

  end(): void {
    this.#paces.remove(this)
  }

  /** Whether too little has come in the time that is over. */
  isSlow(): boolean {
    const bytes = this.#bytes
    const judged = this.#begun
    this.#bytes = 0
    this.#begun = true
    this.#idle = bytes === 0 && judged ? this.#idle + 1 : 0
    if (!judged) return false
    return this.body.holds ? bytes < paceBytes : this.#idle >= idlePacesMax
  }
}

/**
 * The paces of all bodies, looked at by one timer, which runs while there are any. They are a ring and not a Set: what a
 * busy Set leaves behind keeps its entries alive until a full collection.
 */
export class Paces {
  readonly #clock: Clock
  readonly #ring: Pace
  #ticking = false

  constructor(clock: Clock) {
    this.#clock = clock
    this.#ring = new Pace(this, { holds: false, onSlow: () => {} })
  }

  watch(body: Paced): Pace {
    const pace = new Pace(this, body)
    pace.before = this.#ring.before
    pace.behind = this.#ring
    pace.before.behind = pace
    pace.behind.before = pace
    if (!this.#ticking) this.#arm()
    return pace
  }

  remove(pace: Pace): void {
    pace.before.behind = pace.behind
    pace.behind.before = pace.before
    pace.before = pace
    pace.behind = pace
  }

  #arm(): void {
    this.#ticking = true
    this.#clock.after(paceMs, () => {
      this.#ticking = false
      const slow: Pace[] = []
      for (let pace = this.#ring.behind; pace !== this.#ring; pace = pace.behind) if (pace.isSlow()) slow.push(pace)
      for (const pace of slow) {
        this.remove(pace)
        pace.body.onSlow()
      }
      if (this.#ring.behind !== this.#ring) this.#arm()
    })
  }
}

/** A body that came too slowly, or not at all. */
export const tooSlow = new Refusal(
  "too-slow",
  `the body came too slowly: ${paceBytes / 1_024} KiB in ${paceMs / 1_000} s are the least; send it again, in smaller parts`,
)
