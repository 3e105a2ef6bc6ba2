import type { Assignments } from "./assignments.ts"
import type { AuditOptions, AuditReport } from "./audit.ts"
import type { Catalog } from "./catalog.ts"
import type { TenantCredentials } from "./credentials.ts"
import type { Figures, LaneBacklog } from "./figures.ts"
import type { Inbox } from "./inbox.ts"
import type { EventLog } from "./log.ts"
import type { DeliveryQueue } from "./queue.ts"
import type { Condition } from "./troubles.ts"

/** Everything durable. The rest of the hub keeps nothing that it cannot rebuild from here. */
export interface Engine {
  readonly log: EventLog
  readonly queue: DeliveryQueue
  readonly catalog: Catalog
  readonly assignments: Assignments
  /** What others publish past the hub, into the engine itself; undefined where that cannot be. */
  readonly inbox?: Inbox
  /** Lets others into the engine itself; undefined where that cannot be, or where it was not set up. */
  readonly credentials?: TenantCredentials
  /** Why nothing can be stored or read at present, where that is so. */
  outage(): string | undefined
  /** What an operator should know: empty when all is well. */
  health(): readonly string[]
  /** What of these two comes and goes, and it does not tell the log of by itself. */
  troubles(): readonly Condition[]
  /** What this engine, as it is set up, promises less of than it could: said at the start, no reason not to be ready. */
  warnings(): readonly string[]
  /** Reads a whole partition of the log and checks what it can, each event and that none is missing or there twice. */
  audit(partition: number, options: AuditOptions): Promise<AuditReport>
  /** The longest dedupe window that it can keep; undefined: any. */
  readonly dedupeWindowMsMax?: number
  /** Who has its directory open, as the lock there says it; undefined where no directory is one process's alone. */
  readonly holder?: string
  /** For the metrics page. */
  figures(): Figures
  /** What the lanes are owed whose queue this process holds. */
  backlog(): readonly LaneBacklog[]
  /** Stops accepting, makes durable what was accepted, closes. */
  close(): Promise<void>
}
