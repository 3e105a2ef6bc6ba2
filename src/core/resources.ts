import { isReservedTopic } from "./address.ts"
import type { Chance } from "./clock.ts"
import type { Cursor } from "./cursor.ts"
import type { RetryPolicy } from "./delivery.ts"

/** Yes or no over one event; exactly one dialect each, as in the CloudEvents Subscriptions API, section 3.2.4. */
export type Filter =
  | { readonly exact: Readonly<Record<string, string>> }
  | { readonly prefix: Readonly<Record<string, string>> }
  | { readonly suffix: Readonly<Record<string, string>> }
  | { readonly all: readonly Filter[] }
  | { readonly any: readonly Filter[] }
  | { readonly not: Filter }
  | { readonly sql: string }
  | { readonly pattern: { readonly [name: string]: unknown } }
  | { readonly path: Readonly<Record<string, string>> }
  | { readonly query: string }

/** What a topic may hold: an event is over when any limit is passed. */
export interface RetentionLimits {
  readonly ageMaxMs?: number
  readonly eventsMax?: number
  readonly bytesMax?: number
}

/** Of a topic's events that match all the filters, those that are over any limit go, wherever they are. */
export interface RetentionRule extends RetentionLimits {
  readonly filters: readonly Filter[]
}

/** How long a topic keeps events: an event goes when any limit is passed, and nobody is owed it any more. No limit: for ever. */
export interface Retention extends RetentionLimits {
  /** Of some of its events; absent: there are none. */
  readonly rules?: readonly RetentionRule[]
  /** Events go though they are still to be read by a trigger, or delivered. */
  readonly dropUndelivered?: true
  /** Events stay for as long as a dead letter is of them. */
  readonly keepDeadLetters?: true
}

/** What raw input becomes on a topic: the attributes that its publisher did not say. */
export interface WrapDefaults {
  readonly source: string
  readonly type: string
}

export interface Labels {
  readonly [name: string]: string
}

interface Resource {
  readonly id: string
  readonly tenant: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** A named log; its id is the topic's name. */
export interface Topic extends Resource {
  readonly description?: string
  readonly labels: Labels
  readonly retention: Retention
  /** How long a repeated `source` + `id` is recognised. */
  readonly dedupeWindowMs: number
  readonly wrap: WrapDefaults
}

/** A topic as its first publish makes it: kept for ever. The hub's own topics know no duplicates: it repeats nothing. */
export function newTopic(tenant: string, id: string, now: number, dedupeWindowMs: number): Topic {
  return {
    id,
    tenant,
    labels: {},
    retention: {},
    dedupeWindowMs: isReservedTopic(id) ? 0 : dedupeWindowMs,
    wrap: { source: `/topics/${id}`, type: "redcar.raw" },
    createdAt: now,
    updatedAt: now,
  }
}

export interface Trigger extends Resource {
  /**
   * Tells it from other triggers that had its id before, or will: given when it is made, kept for as long as it is there.
   * Absent of those that were made before there was such a thing.
   */
  readonly incarnation?: string
  readonly description?: string
  readonly labels: Labels
  /** A topic, or one key of it: `orders`, `orders:123`. */
  readonly topic: string
  /** All must hold; none means every event. */
  readonly filters: readonly Filter[]
  readonly destination: string
  /** What becomes of open deliveries when `destination` changes; absent: they still go to the one that they were made for. */
  readonly backlog?: "move"
  readonly retry: RetryPolicy
  /** Absent: its deliveries are made in no order. */
  readonly ordering?: Ordering
  /** Absent: what its destination answers is an answer and no more. */
  readonly reply?: Reply
  /** Events after this cursor are this trigger's. */
  readonly from: Cursor
  readonly paused?: Pause
}

/** Events of the past that a trigger is to deliver once more. It has its trigger's filters, and its own. */
export interface Replay extends Resource {
  readonly trigger: string
  /** Which trigger of that id. */
  readonly incarnation: string
  readonly topic: string
  readonly filters: readonly Filter[]
  /** Where they are to go. */
  readonly destination: string
  /** Events after `from`, up to `until`. */
  readonly from: Cursor
  readonly until: Cursor
  /** Deliveries made per second at most; absent: as many as its destination takes. */
  readonly ratePerSecond?: number
  readonly state: ReplayState
  /** Why it came to its end, where that was not reached. */
  readonly reason?: string
  readonly progress: ReplayProgress
}

export const replayStates = ["counting", "running", "paused", "done", "cancelled"] as const
export type ReplayState = (typeof replayStates)[number]

/** How far a replay is, as it was noted last. */
export interface ReplayProgress {
  /** Events that it has; absent: they have not been counted yet. */
  readonly total?: number
  /** Deliveries that it has made. */
  readonly done: number
  /** Deliveries made per second, of late. */
  readonly perSecond?: number
  readonly notedAt: number
}

/** Where the events go that a destination answers with. */
export interface Reply {
  readonly topic: string
}

/** Events of one key are delivered one after the other, in the order in which they were stored. */
export interface Ordering {
  /** What the key is: an attribute (`partitionkey`), or a member of the data (`data.customer.id`). */
  readonly by: string
  /** What a dead letter is to those behind it: they go on, or they wait until it is redriven or discarded. */
  readonly deadLetter: "continue" | "hold"
}

const [timeDigits, chanceDigits] = [9, 5]

/** Of a trigger made now: no other has it. In the order of being made, 14 characters of 0-9 and a-z. */
export function newIncarnation(now: number, chance: Chance): string {
  const random = Math.floor(chance.next() * 36 ** chanceDigits)
  return now.toString(36).padStart(timeDigits, "0") + random.toString(36).padStart(chanceDigits, "0")
}

/** Why a trigger rests. Nothing is lost: its events wait in the log, its deliveries in the queue. */
export interface Pause {
  readonly since: number
  readonly reason: string
}

export interface Destination extends Resource {
  readonly description?: string
  readonly labels: Labels
  readonly kind: string
  /** Checked against the kind's schema. */
  readonly config: unknown
  /** Deliveries in flight at once. */
  readonly concurrency: number
  /** Deliveries started per second at most; none means unlimited. */
  readonly ratePerSecond?: number
  /** Newest first; those past `expiresAt` no longer sign. */
  readonly signingKeys: readonly SigningKey[]
  /** What its receiver agreed to by calling back. Absent: it did not. */
  readonly agreement?: Agreement
  /** As it is stored: `config` and `signingKeys` encrypted, and their secrets are not in them. */
  readonly sealed?: string
}

/** That a receiver has said it may be sent to. */
export interface Agreement {
  /** What it had been asked (`Asked.what`): it agreed to nothing else. */
  readonly asked: string
  readonly at: number
  /** Deliveries a minute at most; absent: as many as there are. */
  readonly perMinute?: number
}

/** A key that signs deliveries. `secret` never leaves the hub but once, when it is issued (`v1`). */
export interface SigningKey {
  readonly id: string
  readonly scheme: "v1" | "v1a"
  /** `whsec_…` (v1) or `whsk_…` (v1a). */
  readonly secret: string
  /** `whpk_…`, for v1a. */
  readonly publicKey?: string
  readonly createdAt: number
  /** Set by rotation: the end of the overlap. */
  readonly expiresAt?: number
}
