import type { Clock } from "../../../core/clock.ts"
import type { Store } from "../store.ts"
import type { LogIndex } from "./log-index.ts"
import type { Damage, Reader } from "./reader.ts"
import type { RecentIds } from "./recent-ids.ts"
import type { Segments } from "./segments.ts"
import type { Writer } from "./writer.ts"

/** The parts of an open log, as its operations share them. */
export interface LogState {
  readonly segments: Segments
  readonly writer: Writer
  readonly reader: Reader
  readonly index: LogIndex
  readonly ids: RecentIds
  readonly clock: Clock
  readonly store: Store
  readonly waiters: Waiters
  readonly damages: readonly Damage[]
}

/** Readers at the end of the whole log, waiting for more. */
export class Waiters {
  #waiting = new Set<() => void>()
  readonly #closing = new Set<() => void>()
  #closed = false

  get closed(): boolean {
    return this.#closed
  }

  /** Calls `wake` at the end; the answer takes it back. */
  onClose(wake: () => void): () => void {
    this.#closing.add(wake)
    return () => this.#closing.delete(wake)
  }

  /** Calls `wake` once, at the next commit or at the end; the answer takes it back. */
  add(wake: () => void): () => void {
    this.#waiting.add(wake)
    return () => this.#waiting.delete(wake)
  }

  wake(): void {
    if (this.#waiting.size === 0) return
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const wake of waiting) wake()
  }

  close(): void {
    this.#closed = true
    for (const wake of [...this.#closing]) wake()
  }
}
