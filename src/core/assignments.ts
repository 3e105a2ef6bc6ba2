/** Divides work that only one process may do at a time among the processes of one engine. */
export interface Assignments {
  /**
   * Yields an assignment of `kind` each time the engine gives one to this process, until `stop` aborts. Assignments are
   * numbered from 0 to below `count`, and every process names the same count. The engine gives each number to some process
   * within seconds, and spreads them evenly.
   */
  take(kind: string, count: number, stop: AbortSignal): AsyncIterable<Assignment>
}

/** One numbered piece of work, while it is this process's. */
export interface Assignment {
  readonly kind: string
  readonly number: number
  /** Greater than the epoch of every earlier holder. */
  readonly epoch: number
  /** Aborts when this process has to give the assignment up, or has lost it already. */
  readonly lost: AbortSignal
  /** Lets another process have the assignment: this one does nothing more for it. To be called once, also after `lost`. */
  release(): Promise<void>
}
