/** Divides work that only one process may do at a time among the processes of one engine. */
export interface Shares {
  /**
   * Yields each share of `kind`, of those numbered from 0 to below `count`, whenever it comes to be this process's; ends when
   * `stop` aborts. All that take part name the same count. Every share comes to be somebody's within seconds, and they are
   * spread evenly.
   */
  take(kind: string, count: number, stop: AbortSignal): AsyncIterable<Share>
}

/** A share, while it is this process's. */
export interface Share {
  readonly kind: string
  readonly number: number
  /** Greater than that of every earlier holder. */
  readonly epoch: number
  /** Aborts when it is to be given up, or is lost already. */
  readonly lost: AbortSignal
  /** Nothing is done for it any more: another process may have it. To be called once, also after `lost`. */
  release(): Promise<void>
}
