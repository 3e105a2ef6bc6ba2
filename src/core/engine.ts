import type { Address } from "./address.ts"
import type { AuditOptions, AuditReport } from "./audit.ts"
import type { Cursor } from "./cursor.ts"
import type { DeadLetter, DeadReason, Delivery, TriggerName, Verdict } from "./delivery.ts"
import type { Event } from "./event.ts"
import type { Figures, LaneBacklog } from "./figures.ts"
import type { LaneReport, LaneStatus } from "./lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "./open-delivery.ts"
import type { Retention } from "./resources.ts"
import type { Condition } from "./troubles.ts"

/** Everything durable. The rest of the hub keeps nothing that it cannot rebuild from here. */
export interface Engine {
  readonly log: EventLog
  readonly queue: DeliveryQueue
  readonly catalog: Catalog
  readonly shares: Shares
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

/** An event at rest. */
export interface StoredEvent {
  readonly address: Address
  readonly cursor: Cursor
  /** Unix milliseconds; never falls along the log. */
  readonly storedAt: number
  readonly event: Event
}

/** An event that is durable: where it is, and whether it was there before. */
export interface Appended {
  readonly cursor: Cursor
  readonly duplicate: boolean
}

export interface AppendOptions {
  /** Refuse with ExpectedLastError unless this is the address's last event; `"none"`: unless it has none. */
  readonly expectedLast?: Cursor | "none"
  /** An equal `source` + `id` stored on this tenant's topic within this time is a duplicate. 0: none is. */
  readonly dedupeWindowMs?: number
  /**
   * Of a copy: when the events were stored where they come from, Unix milliseconds; raised where it would fall along the log.
   * Copies are stored in the order of calls in a whole partition, so that nothing is raised that comes in the order of time.
   */
  readonly storedAt?: number
}

/** Where reading begins: after a cursor, at the first event stored at or after a time, or at either end. */
export type From = Cursor | "oldest" | "newest" | { readonly time: number }

export interface ReadOptions {
  /** Absent members match all; a `key` needs its `topic`, a `topic` its `tenant`. */
  readonly where?: Partial<Address>
  /** What part of the log; default: the one that `where` names a topic of, else the first. */
  readonly partition?: number
  /** Default: the oldest. */
  readonly from?: From
  /** Stop after this cursor. */
  readonly until?: Cursor
  /** Wait for more at the end of the log until this aborts. Without it reading ends at the end of the log. */
  readonly follow?: AbortSignal
  /** Events a batch at most; default 1,000. */
  readonly batchMax?: number
}

export interface GetOptions {
  /** The event may be given as it was read a moment ago, though retention has dropped it since. */
  readonly recent?: boolean
  readonly of?: { readonly tenant: string; readonly topic: string }
}

/** Events in log order; `next` is where reading on begins, also where the last part held nothing that matched. */
export interface Batch {
  readonly events: readonly StoredEvent[]
  readonly next: Cursor
}

/**
 * Events in order of their being stored. The log may be in several partitions, numbered from 0: a topic is in one of them,
 * order holds within one, and a cursor is a place in one, which only cursors of the same one are compared with.
 */
export interface EventLog {
  readonly partitions: number
  partitionOf(address: { readonly tenant: string; readonly topic: string }): number
  /**
   * Durable when it resolves; in the order given, on one topic in the order of calls. A duplicate keeps its first cursor.
   * Rejects with OverloadError, StorageFullError, StorageError, ExpectedLastError or ClosedError: then none is acknowledged.
   */
  append(address: Address, events: readonly Event[], options?: AppendOptions): Promise<readonly Appended[]>
  read(options: ReadOptions): AsyncIterable<Batch>
  /**
   * Undefined where no event is (any more). `of`: the topic whose event was at this cursor; then it is undefined only where
   * retention has dropped that, or at {@link EventLog.oldest}. Throws DamagedError, also where it should be there; and
   * InvalidCursorError. Throws UnavailableError where the log does not show so much yet as was read of it before.
   */
  get(cursor: Cursor, options?: GetOptions): Promise<StoredEvent | undefined>
  /** The newest event of a tenant's topic with this `source` and `id`. */
  find(address: Address, identity: { readonly source: string; readonly id: string }): Promise<StoredEvent | undefined>
  /** The end of a partition (default: the first): reading from here sees what is appended from now on. */
  head(partition?: number): Promise<Cursor>
  /** Before the first event: reading from here sees all that is kept. */
  oldest(partition?: number): Cursor
  /** Before the first event stored at or after `time` (Unix milliseconds); the head where there is none yet. */
  at(time: number, partition?: number): Promise<Cursor>
  /** The address's newest event; undefined where it has none. */
  last(address: Address): Promise<Cursor | undefined>
  /** Negative, zero or positive, as `a` is before, at or after `b`. Throws InvalidCursorError, also for two partitions. */
  compare(a: Cursor, b: Cursor): number
  /** Names what the address's topic holds. */
  stats(address: Address): Promise<TopicStats>
  /** Drops the topic's events that `keep` no longer covers; answers how many. */
  trim(address: Address, keep: Retention): Promise<number>
}

export interface TopicStats {
  readonly events: number
  readonly bytes: number
  readonly oldestAt?: number
  readonly newestAt?: number
}

/** How far a named reader of the log has come. */
export interface Position {
  readonly reader: string
  readonly cursor: Cursor
  /** On whose behalf: refused with ShareLostError once a later holder of that share has called {@link DeliveryQueue.claim}. */
  readonly fence?: Fence
}

/** Which holding of a share this is: later ones have greater epochs. */
export interface Fence {
  readonly name: string
  readonly epoch: number
}

/** A timed hold on a delivery. */
export interface Lease {
  readonly delivery: Delivery
  /** From 1: leases of this delivery that ended, lapsed ones included, and one. */
  readonly attempt: number
  /** Attempts that no longer count against the policy, from before a redrive. */
  readonly attemptsForgiven: number
  /** When the delivery first became due; what its policy's age counts from. Holding it back by pause moves it. */
  readonly firstDueAt: number
  readonly token: number
}

export interface DeliveryQueue {
  /**
   * Adds deliveries and moves the reader's position in one step. Idempotent: a delivery that is open or dead stays as it
   * is, and a call whose position is not beyond the saved one changes nothing, so that nothing done comes back.
   */
  enqueue(deliveries: readonly Delivery[], position?: Position): Promise<void>
  position(reader: string): Promise<Cursor | undefined>
  /** From now on nothing is taken of earlier holders of this share; what they were told was stored, is there. */
  claim(fence: Fence): Promise<void>
  /** Forgets a reader. */
  forget(reader: string): Promise<void>
  /** Yields a lane of this process's whenever it has come to have due work; ends when `stop` aborts. */
  lanes(stop: AbortSignal): AsyncIterable<string>
  /** Up to `max` due deliveries, oldest event first, each hidden from others for `leaseMs`. Empty: none is due now. */
  lease(options: { readonly lane: string; readonly max: number; readonly leaseMs: number }): Promise<readonly Lease[]>
  /** Begins the lease's time anew. Throws LeaseLostError. */
  extend(lease: Lease, leaseMs: number): Promise<void>
  /** Ends the lease: finishes, parks or buries the delivery. Throws LeaseLostError. */
  settle(lease: Lease, verdict: Exclude<Verdict, { kind: "dead" }>): Promise<void>
  bury(lease: Lease, letter: DeadLetter): Promise<void>
  /** Gives the lease back uncounted; the delivery is due again after `delayMs`. Throws LeaseLostError. */
  release(lease: Lease, delayMs: number): Promise<void>
  /** Gives the lease back uncounted and holds the delivery until its trigger is resumed. Throws LeaseLostError. */
  hold(lease: Lease): Promise<void>
  /** Makes due what was held for this trigger, of this incarnation alone; answers how many. */
  resume(tenant: string, trigger: string, incarnation: string): Promise<number>
  /** Every trigger that something is held for, once each. */
  held(): Promise<readonly TriggerName[]>
  /** Drops the open deliveries of this trigger (it was deleted), of this incarnation alone; answers how many. */
  drop(tenant: string, trigger: string, incarnation: string): Promise<number>
  /**
   * Brings the open deliveries of this trigger to another destination: there they are due, with no attempts made, as they would
   * be had they just been enqueued. Those that are leased stay where they are. Answers how many. Idempotent.
   */
  move(of: TriggerName, destination: string): Promise<number>
  /** The open delivery, if it is one. */
  open(delivery: Delivery): Promise<OpenDelivery | undefined>
  /** Looks at a bounded number of rows: a page may hold few that match, or none, and there be more. */
  openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage>
  /** Open deliveries of a lane. */
  depth(lane: string): Promise<number>
  /** Whoever delivers in this process tells how its lanes fare. */
  reportBy(report: (lane: string) => LaneReport): void
  /** Where lanes stand, by name, each as the process tells that has it. Those of which nobody can be asked are missing. */
  statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>>
  deadLetters(options: DeadLetterQuery): Promise<readonly DeadLetter[]>
  deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined>
  /** Makes a dead letter a due delivery again; false where there is none of this id. Its attempts so far are forgiven. */
  redrive(tenant: string, id: string): Promise<boolean>
  /** Forgets a dead letter for good; false where there is none of this id. */
  discard(tenant: string, id: string): Promise<boolean>
  /**
   * Every open delivery and dead letter, for another queue to carry on with; at most 512 at once. Each comes once while nothing
   * is added, leased or redriven; what is leased comes as if it were not, and what comes due meanwhile waits for the end.
   */
  carried(): AsyncIterable<readonly Carried[]>
  /**
   * Takes over what another queue held, in any order; durable when it resolves. Idempotent: what is open or dead here stays as
   * it is. No reader's position is asked or moved.
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
}

export interface CarriedLetter {
  readonly kind: "dead"
  readonly letter: DeadLetter
  /** Leases that ended, and count. */
  readonly attempts: number
}

/** In order of id, that is, of event; `after` is an id. */
export interface DeadLetterQuery {
  readonly tenant: string
  readonly after?: string
  readonly limit: number
  readonly trigger?: string
  readonly destination?: string
  readonly reason?: DeadReason
}

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

/** Events that others put into the engine past the hub: not checked, wrapped or recognised as duplicates yet. */
export interface Inbox {
  /** Each is given until it is settled: by this process, or another one if this one dies. Ends when `stop` aborts. */
  receive(stop: AbortSignal): AsyncIterable<readonly InboxMessage[]>
}

export interface InboxMessage {
  readonly address: Address
  /** The event, where the message is one; else its bytes, and what they are said to be. */
  readonly content: Event | RawContent
  /** It is in the log, or never can be; `refusal` says why, and is kept with it. */
  settle(refusal?: string): Promise<void>
  /** It is given again later. */
  giveBack(): Promise<void>
}

export interface RawContent {
  readonly data: Uint8Array
  readonly contentType?: string
  /** Why it is no event as it stands, though it says that it is one. */
  readonly faults?: readonly string[]
}

/** Lets others publish and read past the hub, in the engine itself, each the events of one tenant only. */
export interface TenantCredentials {
  /** Throws OverloadError where the engine does not answer; then it may be tried again. */
  issue(tenant: string, options: CredentialsOptions): Promise<IssuedCredentials>
  /**
   * Ends all credentials of the tenant that were issued before, also where they are in use; those issued after it has resolved
   * are good. Throws OverloadError.
   */
  revoke(tenant: string): Promise<RevokedCredentials>
}

export interface CredentialsOptions {
  /** Which consumer they read with, of those that share nothing but the events; default: the tenant's one. */
  readonly consumer?: string
  readonly expiresInMs: number
}

export type IssuedCredentials =
  | {
      readonly kind: "issued"
      /** What the client's file holds. Nobody else has it. */
      readonly text: string
      /** Unix milliseconds. */
      readonly expiresAt: number
      /** Where they may publish. */
      readonly subject: string
      /** What they read with, of each of the streams. */
      readonly consumer: string
      readonly streams: readonly string[]
    }
  | { readonly kind: "refused"; readonly reason: string }

/** `unknown`: none was ever issued. */
export type RevokedCredentials =
  | { readonly kind: "revoked" }
  | { readonly kind: "unknown" }
  | { readonly kind: "refused"; readonly reason: string }

/** Small, named, versioned state: topics, triggers, destinations, keys. Values are JSON. */
export interface Catalog {
  /** `newest`: as it is stored now, also where this process has not heard of that yet. Throws UnavailableError then. */
  get<T>(key: string, options?: { readonly newest?: boolean }): Promise<Item<T> | undefined>
  /** In key order, from after `after`. */
  list<T>(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<readonly Item<T>[]>
  /** Durable when it resolves; answers the new revision. `expected`: the revision this replaces, 0 for none. Throws ConflictError, once what came first can be read. */
  put(key: string, value: unknown, expected?: number): Promise<number>
  /** Durable when it resolves; false where nothing was there. Throws ConflictError. */
  delete(key: string, expected?: number): Promise<boolean>
  /** What is there now, and then each change, in order; ends when `stop` aborts. */
  watch<T>(prefix: string, stop: AbortSignal): AsyncIterable<Change<T>>
}

export interface Item<T> {
  readonly key: string
  readonly value: T
  readonly revision: number
}

/** `current` closes the listing of what was there at the start. */
export type Change<T> =
  | { readonly kind: "put"; readonly item: Item<T> }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "current" }
