/**
 * A token bucket: at most `perSecond` a second, started no more than a tenth of a second's worth (at least one) at once.
 * Time is passed in; a clock that goes back gives nothing.
 */
export class Rate {
  readonly perSecond: number
  readonly #capacity: number
  #tokens: number
  #at: number

  constructor(perSecond: number, now: number) {
    this.perSecond = perSecond
    this.#capacity = Math.max(1, perSecond / 10)
    this.#tokens = this.#capacity
    this.#at = now
  }

  /** Tokens that it can hold. */
  get capacity(): number {
    return this.#capacity
  }

  /** Whole tokens there are now. */
  available(now: number): number {
    if (now > this.#at) {
      this.#tokens = Math.min(this.#capacity, this.#tokens + ((now - this.#at) * this.perSecond) / 1_000)
    }
    this.#at = now
    return Math.floor(this.#tokens + tolerance)
  }

  /** Takes what {@link Rate.available} has shown. */
  take(count: number): void {
    this.#tokens -= count
  }

  /** Milliseconds until there is a whole token. */
  waitMs(now: number): number {
    if (this.available(now) >= 1) return 0
    return Math.ceil(((1 - this.#tokens) * 1_000) / this.perSecond)
  }
}

/** What a rate has left beside those that come first: half of the tokens that it can hold, and none while those wait for one. */
export class SpareRate {
  readonly #rate: Rate
  readonly #isWanted: () => boolean

  constructor(rate: Rate, isWanted: () => boolean) {
    this.#rate = rate
    this.#isWanted = isWanted
  }

  get perSecond(): number {
    return this.#rate.perSecond
  }

  available(now: number): number {
    return this.#isWanted() ? 0 : Math.max(0, this.#rate.available(now) - this.#kept)
  }

  take(count: number): void {
    this.#rate.take(count)
  }

  waitMs(now: number): number {
    if (this.available(now) >= 1) return 0
    return Math.ceil((1_000 * Math.max(1, this.#kept + 1 - this.#rate.available(now))) / this.#rate.perSecond)
  }

  get #kept(): number {
    return Math.floor(this.#rate.capacity / 2)
  }
}

/** Sums of binary fractions miss a whole number by less than this. */
const tolerance = 1e-6
