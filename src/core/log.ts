import type { Address } from "./address.ts"
import type { Cursor } from "./cursor.ts"
import type { Event } from "./event.ts"
import type { RetentionLimits } from "./resources.ts"

/**
 * Keeps events in the order in which they were stored. The log has one partition or several, numbered from 0. A topic is in one
 * partition; events have an order within one; a cursor is a place in one, and compares with cursors of the same one only.
 */
export interface EventLog {
  readonly partitions: number
  partitionOf(address: { readonly tenant: string; readonly topic: string }): number
  /**
   * Stores events in the order given, and on one topic in the order of calls; they are durable when it resolves. A duplicate
   * keeps its first cursor. Rejects with OverloadError, StorageFullError, StorageError, ExpectedLastError or ClosedError, and
   * then acknowledges no event of the call.
   */
  append(address: Address, events: readonly Event[], options?: AppendOptions): Promise<readonly Appended[]>
  /** Yields the events that `options` ask for, in log order. */
  read(options: ReadOptions): AsyncIterable<Batch>
  /**
   * Answers the event at the cursor; undefined where none is there, or none any more. `of` names the topic whose event was at
   * this cursor: then it answers undefined only where retention has dropped the event, or at {@link EventLog.oldest}, and throws
   * DamagedError where the event is missing. Throws DamagedError for an event that does not check, InvalidCursorError, and
   * UnavailableError where the log does not show yet what was read of it before.
   */
  get(cursor: Cursor, options?: GetOptions): Promise<StoredEvent | undefined>
  /** Answers the newest event of a tenant's topic with this `source` and `id`. */
  find(address: Address, identity: { readonly source: string; readonly id: string }): Promise<StoredEvent | undefined>
  /** Answers the end of a partition (default: the first): a read from there sees what is appended from now on. */
  head(partition?: number): Promise<Cursor>
  /** Answers the place before the first event: a read from there sees all that is kept. */
  oldest(partition?: number): Cursor
  /** Answers the place before the first event stored at or after `time` (Unix milliseconds); the head where there is none. */
  at(time: number, partition?: number): Promise<Cursor>
  /** Answers the cursor of the address's newest event; undefined where it has none. */
  last(address: Address): Promise<Cursor | undefined>
  /** Answers a negative number, zero or a positive one, as `a` is before, at or after `b`. Throws InvalidCursorError, also for two partitions. */
  compare(a: Cursor, b: Cursor): number
  /** Counts what the address's topic holds; with `after`, what of it is behind that cursor; with `until`, what is up to that one. */
  stats(address: Address, after?: Cursor, until?: Cursor): Promise<TopicStats>
  /** Answers the cursor of the last event of the address's topic that {@link EventLog.trim} has dropped; undefined where it has dropped none. */
  dropped(address: Address): Promise<Cursor | undefined>
  /** Drops the topic's events that `keep` no longer covers, but for those that are needed still; answers how many. */
  trim(address: Address, keep: RetentionLimits, needed?: Needed): Promise<number>
  /** Answers what {@link EventLog.trim} would drop now. */
  trimmable(address: Address, keep: RetentionLimits, needed?: Needed): Promise<Trimmable>
  /**
   * Drops the events of the address's topic that are at these cursors, wherever in it they are, and passes over cursors where it
   * has none. Answers how many went. They are gone as what {@link EventLog.trim} drops. Where it fails, some may be gone, and the
   * rest go with the next call, also one without cursors. Throws InvalidCursorError.
   */
  drop(address: Address, cursors: readonly Cursor[]): Promise<number>
}

/** The event at `from` and all after it, and all events after `after`, which need not be one's. */
export interface Needed {
  readonly from?: Cursor
  readonly after?: Cursor
}

/** Some of a topic's events, its oldest ones. */
export interface Trimmable extends TopicStats {
  /** The newest one of them; absent: there are none. */
  readonly last?: Cursor
}

export interface TopicStats {
  readonly events: number
  readonly bytes: number
  readonly oldestAt?: number
  readonly newestAt?: number
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
