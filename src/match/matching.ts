/**
 * What stands under a key: 0, nothing; above, one trigger; below, a list of them or an index of its own. {@link Postings}
 * makes and reads it. A number, so that what an event looks at lies close together in memory.
 */
export type Ref = number

/** Nothing stands there. */
export const nothing: Ref = 0

/** Takes what structures find for an event. */
export interface Collector {
  /** Above 0 while what is taken may be found although its key is not fulfilled: all of its filters are to be asked. */
  unproven: number
  take(ref: Ref): void
}
