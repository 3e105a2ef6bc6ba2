import type { Clock } from "../../../core/clock.ts"
import { unendedMs } from "../../../core/deliveries.ts"
import type { Store } from "../store.ts"
import { putAgain, stateOf } from "./kept.ts"
import type { Row } from "./lane.ts"

/** What has come to be noted is written together, so often at most. */
const pauseMs = 25

interface Begun {
  readonly row: Row
  readonly token: number
  /** By the clock's steady time. */
  readonly at: number
}

/**
 * Notes of attempts that are under way for long: should the process die before they end, their rows say that they counted. Most
 * end before, and cost nothing.
 */
export class Notes {
  readonly #store: Store
  readonly #clock: Clock
  /** In the order in which they began; it has what began a moment ago, and no more. */
  #begun: Begun[] = []
  #cancel: (() => void) | undefined
  #closed = false

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  begun(row: Row): void {
    if (this.#closed) return
    this.#begun.push({ row, token: row.token, at: this.#clock.steady() })
    if (this.#cancel === undefined) this.#lookIn(unendedMs)
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#begun = []
  }

  #lookIn(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => this.#look())
  }

  #look(): void {
    this.#cancel = undefined
    const until = this.#clock.steady() - unendedMs
    const next = this.#begun.findIndex(({ at }) => at > until)
    const long = next < 0 ? this.#begun : this.#begun.slice(0, next)
    this.#begun = next < 0 ? [] : this.#begun.slice(next)
    if (next >= 0) this.#lookIn(Math.max(pauseMs, this.#begun[0]!.at - until))
    this.#note(long.filter(({ row, token }) => row.state === "leased" && row.token === token).map(({ row }) => row))
  }

  /** A note that is refused costs no more than that the attempt is forgotten in a crash. */
  #note(rows: readonly Row[]): void {
    if (rows.length === 0) return
    const writes = rows.map((row) => {
      row.isNoted = true
      return putAgain(row, { ...stateOf(row), attempts: row.attempts + 1, unended: true })
    })
    this.#store.write(writes).catch(() => undefined)
  }
}
