import { orderMark, pastSeparator, separator } from "./row.ts"

/** Keys that wait by name at most; where more do, all of the lane's are asked once more. */
const waitingMax = 1_024

/**
 * Which order keys of a lane are still to be asked for their first delivery: all of them, in a round, and then those that wait
 * since, in the order in which they came. So each has its turn before one has two, and one that is due costs no round over
 * all that are parked.
 */
export class KeyRound {
  readonly #start: string
  readonly #end: string
  /** Where the round has come to; undefined: there is none. */
  #next: string | undefined
  /** Another one follows. */
  #again = false
  readonly #waiting = new Set<string>()

  constructor(lane: string) {
    this.#start = orderMark + lane + separator
    this.#end = orderMark + lane + pastSeparator
  }

  /** False: all that is due is in memory. */
  get isLeft(): boolean {
    return this.#next !== undefined || this.#waiting.size > 0
  }

  /** What is left of the round, of the order index. */
  get range(): { readonly start: string; readonly end: string } | undefined {
    return this.#next === undefined ? undefined : { start: this.#next, end: this.#end }
  }

  /** The keys before the end of this one were asked. */
  passed(prefix: string): void {
    this.#next = prefix.slice(0, -1) + pastSeparator
  }

  /** The round is over. */
  end(): void {
    this.#next = this.#again ? this.#start : undefined
    this.#again = false
  }

  /** The key that has waited longest, where there is no round; it waits no more. */
  take(): string | undefined {
    const [prefix] = this.#waiting
    if (prefix !== undefined) this.#waiting.delete(prefix)
    return prefix
  }

  /** This key is to be asked. */
  add(prefix: string): void {
    // The round will come to it.
    if (this.#again || (this.#next !== undefined && prefix >= this.#next)) return
    this.#waiting.add(prefix)
    if (this.#waiting.size > waitingMax) this.all()
  }

  /** Every key is. */
  all(): void {
    this.#waiting.clear()
    if (this.#next === undefined) this.#next = this.#start
    else this.#again = true
  }
}
