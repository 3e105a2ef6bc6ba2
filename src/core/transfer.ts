import type { DeadLetter, Delivery } from "./delivery.ts"

/** Moves all that a queue holds into another one. */
export interface Transfer {
  /**
   * Yields every open delivery and dead letter, for another queue to carry on with; at most 512 at once. Each comes once,
   * provided that nothing is added, leased or redriven meanwhile. A leased delivery comes as if it were not leased, unless its
   * lease never lapses. What comes due meanwhile waits for the end.
   */
  carried(): AsyncIterable<readonly Carried[]>
  /**
   * Adds what another queue held, in any order, durably when it resolves. It leaves as it is what is open or dead here already,
   * so that it may be called twice. It neither asks nor moves a reader's position.
   */
  carry(items: readonly Carried[]): Promise<void>
}

/** What a queue knows of an open delivery, or of a dead letter. */
export type Carried = CarriedDelivery | CarriedLetter

export interface CarriedDelivery {
  readonly kind: "open"
  readonly delivery: Delivery
  /** Leases that ended, and count. */
  readonly attempts: number
  /** Attempts from before the last redrive. */
  readonly attemptsForgiven: number
  readonly firstDueAt: number
  /** When it is due; of a held delivery, when its holding began. */
  readonly dueAt: number
  /** Held until its trigger is resumed. */
  readonly held: boolean
  /** The token of its lease, which never lapses and is carried along; absent: it is in none such. */
  readonly kept?: number
}

export interface CarriedLetter {
  readonly kind: "dead"
  readonly letter: DeadLetter
  /** Leases that ended, and count. */
  readonly attempts: number
  /** Those behind it in its order wait until it is redriven or discarded. */
  readonly holdsKey?: boolean
}
