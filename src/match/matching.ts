import type { Trigger } from "../core/resources.ts"
import type { EventView } from "../filters/view.ts"

/** One event on its way through an index. */
export interface Matching {
  readonly view: EventView
  readonly found: Trigger[]
  /** Differs from event to event, so that a trigger that is met twice is taken once. */
  readonly serial: number
}

/** What an index finds under a key. */
export interface Slot {
  /** Adds to what is found the triggers here that the event fires. */
  collect(matching: Matching): void
}
