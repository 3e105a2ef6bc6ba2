import type { Failed, Outcome } from "../core/delivery.ts"
import type { LaneError, LaneReport } from "../core/lane-status.ts"

/** What is counted is of the last {@link slices} times {@link sliceMs}: five minutes. */
const sliceMs = 30_000
const slices = 10
/** Of a failure's detail. */
const detailCharactersMax = 200

/** What came of a lane's attempts lately. Times are the clock's steady ones, save where they are told. */
export class Faring {
  readonly #attempts = new Uint32Array(slices)
  readonly #delivered = new Uint32Array(slices)
  /** The slice that is counted into, by its number since the clock's beginning. */
  #slice = 0
  #lastError: LaneError | undefined
  #awaits: Failed["awaits"]

  /** The last failure, for as long as it is kept. */
  get lastError(): LaneError | undefined {
    return this.#lastError
  }

  /** An attempt has ended; `at` is in Unix milliseconds. */
  take(outcome: Outcome, now: number, at: number): void {
    this.#moveTo(now)
    this.#awaits = undefined
    const i = this.#slice % slices
    this.#attempts[i]!++
    if (outcome.kind === "delivered") {
      this.#delivered[i]!++
      return
    }
    this.note(outcome, at)
  }

  /** A failure, whether it was an attempt or not. */
  note(outcome: Failed, at: number): void {
    this.#awaits = outcome.awaits
    const status = outcome.response?.status
    const detail = outcome.detail.slice(0, detailCharactersMax)
    this.#lastError = { at, detail, ...(status !== undefined && { status }) }
  }

  /** Attempts of the last five minutes, the last failure, and what the lane waits for where it rests. */
  report(now: number, isResting: boolean): Omit<LaneReport, "breaker" | "inFlight" | "restsUntil"> {
    this.#moveTo(now)
    return {
      ...(isResting && this.#awaits !== undefined && { awaits: this.#awaits }),
      ...{ attempts: sum(this.#attempts), delivered: sum(this.#delivered) },
      ...(this.#lastError && { lastError: this.#lastError }),
    }
  }

  /** Slices that have passed without an attempt count nothing. */
  #moveTo(now: number): void {
    const slice = Math.floor(now / sliceMs)
    if (slice === this.#slice) return
    const passed = Math.min(slices, Math.max(0, slice - this.#slice))
    for (let n = 0; n < passed; n++) {
      this.#attempts[(slice - n) % slices] = 0
      this.#delivered[(slice - n) % slices] = 0
    }
    this.#slice = slice
  }
}

function sum(counts: Uint32Array): number {
  return counts.reduce((total, each) => total + each, 0)
}
