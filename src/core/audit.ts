/** How a reading of a whole partition is followed and ended. */
export interface AuditOptions {
  /** Called now and then, with how far it is. */
  progress(done: number, total: number): void
  /** Ends it early. */
  readonly stop: AbortSignal
}

/** What an audit of one partition found. */
export interface AuditReport {
  /** What was read, by the name that its operator knows. */
  readonly name: string
  /** Whether it came to the end. */
  readonly complete: boolean
  readonly events: number
  readonly bytes: number
  /** Events that retention has dropped, where that is known. */
  readonly dropped?: number
  /** The first 1,000. */
  readonly findings: readonly AuditFinding[]
  readonly findingsCount: number
}

/** One thing that is wrong. */
export interface AuditFinding {
  readonly kind: "damaged" | "duplicate" | "missing"
  /** Where and what, for people. */
  readonly detail: string
}
