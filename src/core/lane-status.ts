/**
 * How a destination fares, as the process tells that delivers to it: since its start, or since the destination was last sent
 * nothing for some minutes. Times are in Unix milliseconds.
 */
export interface LaneReport {
  readonly breaker: "closed" | "half-open" | "open"
  /** Nothing is sent before this: the breaker is open, or the destination asked for rest. */
  readonly restsUntil?: number
  /** What has to come before anything is sent. */
  readonly awaits?: "agreement"
  /** Attempts under way. */
  readonly inFlight: number
  /** Attempts that ended within the last five minutes, and those of them that delivered. */
  readonly attempts: number
  readonly delivered: number
  readonly lastError?: LaneError
}

/** The last attempt that failed. */
export interface LaneError {
  readonly at: number
  /** One line for people. */
  readonly detail: string
  /** Of the HTTP answer, where there was one. */
  readonly status?: number
}

/** Where a lane stands. */
export interface LaneStatus {
  /** Deliveries that are neither done nor dead. */
  readonly open: number
  /** When the delivery of the oldest event among them first became due, in Unix milliseconds. */
  readonly oldestDueAt?: number
  /** Absent where the process that has the lane delivers nothing. */
  readonly report?: LaneReport
}
