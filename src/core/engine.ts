import type { Assignments } from "./assignments.ts"
import type { AuditOptions, AuditReport } from "./audit.ts"
import type { Catalog } from "./catalog.ts"
import type { TenantCredentials } from "./credentials.ts"
import type { Figures, LaneBacklog } from "./figures.ts"
import type { Inbox } from "./inbox.ts"
import type { EventLog } from "./log.ts"
import type { DeliveryQueue } from "./queue.ts"
import type { Condition } from "./troubles.ts"

/** Keeps everything durable. The rest of the hub keeps nothing that it cannot rebuild from here. */
export interface Engine {
  readonly log: EventLog
  readonly queue: DeliveryQueue
  readonly catalog: Catalog
  readonly assignments: Assignments
  /** Hands over what others publish past the hub, into the engine itself; undefined where nobody can. */
  readonly inbox?: Inbox
  /** Lets others into the engine itself; undefined where nobody can, or where it was not set up. */
  readonly credentials?: TenantCredentials
  /** Says why the engine can store or read nothing at present; undefined where it can. */
  outage(): string | undefined
  /** Says what an operator should know: nothing when all is well. */
  health(): readonly string[]
  /** Answers what of `outage` and `health` comes and goes, and the engine itself does not tell the log of. */
  troubles(): readonly Condition[]
  /** Says what this engine, as it is set up, promises less of than it could. The hub says it at its start, and is ready. */
  warnings(): readonly string[]
  /** Reads a whole partition of the log, and checks each event, and that none is missing or there twice. */
  audit(partition: number, options: AuditOptions): Promise<AuditReport>
  /** The longest dedupe window that the engine can keep; undefined: any. */
  readonly dedupeWindowMsMax?: number
  /** Who has the engine's directory open, as the lock there says it; undefined where processes share the engine. */
  readonly holder?: string
  /** Answers figures for the metrics page. */
  figures(): Figures
  /** Answers what is owed to each lane whose queue this process holds. */
  backlog(): readonly LaneBacklog[]
  /** Refuses new work, makes durable what it took before, and closes. */
  close(): Promise<void>
}
