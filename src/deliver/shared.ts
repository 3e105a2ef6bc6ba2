import { Rate, SpareRate } from "./rate.ts"

/** What the lanes of one destination share: its rate, and its rest. */
export class Shared {
  #rate: Rate | undefined
  /** Nothing is sent before this, by the clock's steady time. */
  restUntil = Number.NEGATIVE_INFINITY
  /** Whether what is new is leased and waits for the rate: then it has what comes of it. */
  isWanted = false

  /** Undefined: it has none. `spare`: what is left beside the other lane. */
  rate(perSecond: number | undefined, spare: boolean, now: number): Rate | SpareRate | undefined {
    if (perSecond === undefined) return undefined
    if (this.#rate?.perSecond !== perSecond) this.#rate = new Rate(perSecond, now)
    return spare ? new SpareRate(this.#rate, () => this.isWanted) : this.#rate
  }
}

/** What lanes share, by the path of their destination. */
export class SharedOfDestinations {
  readonly #known = new Map<string, { readonly shared: Shared; users: number }>()

  /** To be let go of once, by {@link SharedOfDestinations.release}. */
  take(path: string): Shared {
    const known = this.#known.get(path) ?? { shared: new Shared(), users: 0 }
    known.users++
    this.#known.set(path, known)
    return known.shared
  }

  release(path: string): void {
    const known = this.#known.get(path)
    if (known !== undefined && --known.users === 0) this.#known.delete(path)
  }
}
