import type { Failed, Outcome } from "../core/delivery.ts"
import type { LaneError } from "../core/lane-status.ts"

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

  /** The last failure, for as long as it is kept. */
  get lastError(): LaneError | undefined {
    return this.#lastError
  }

  /** An attempt has ended; `at` is in Unix milliseconds. */
  take(outcome: Outcome, now: number, at: number): void {
    this.#moveTo(now)
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
    const status = outcome.response?.status
    const detail = outcome.detail.slice(0, detailCharactersMax)
    this.#lastError = { at, detail, ...(status !== undefined && { status }) }
  }

  /** Attempts of the last five minutes. */
  counts(now: number): { readonly attempts: number; readonly delivered: number } {
    this.#moveTo(now)
    return { attempts: sum(this.#attempts), delivered: sum(this.#delivered) }
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
