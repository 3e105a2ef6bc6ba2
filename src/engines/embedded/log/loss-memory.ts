import type { JournalStore } from "../../parts/journal/journal-store.ts"
import type { Store } from "../../parts/store.ts"
import type { LogHealth } from "./health.ts"
import { lossesKey, lossesWrite } from "./losses.ts"

/** Keeps what is found to be lost in the tables, so that a later start names it too, before anybody reads there. */
export class LossMemory {
  readonly #store: Store
  readonly #health: LogHealth
  #tables: JournalStore | undefined
  #isWriting = false

  constructor(store: Store, health: LogHealth) {
    this.#store = store
    this.#health = health
  }

  /** They can be written from now on. */
  attach(tables: JournalStore): void {
    this.#tables = tables
    this.remember()
  }

  /** Something was found. What is found while that is written is written after it; what cannot be, the next start finds again. */
  remember(): void {
    if (this.#tables === undefined || this.#isWriting || !this.#isNews()) return
    this.write().then(
      () => this.remember(),
      () => {},
    )
  }

  /** Writes all that is known, news or not. */
  async write(): Promise<void> {
    this.#isWriting = true
    try {
      await this.#tables!.write([lossesWrite(this.#health.damages)])
    } finally {
      this.#isWriting = false
    }
  }

  #isNews(): boolean {
    const { damages } = this.#health
    const stored = this.#store.get("meta", lossesKey)
    if (stored === undefined) return damages.length > 0
    return Buffer.compare(stored, lossesWrite(damages).value!) !== 0
  }
}
