import type { Address } from "./address.ts"
import type { Cursor } from "./cursor.ts"

/** The duty to bring one event to one destination. */
export interface Delivery {
  /** Derived from event, trigger and incarnation ({@link deliveryId}), so the same match found twice is one delivery. */
  readonly id: string
  readonly tenant: string
  readonly trigger: string
  /** Which trigger of that id (`Trigger.incarnation`); the empty text: one that has none. */
  readonly incarnation: string
  readonly destination: string
  readonly cursor: Cursor
  /** What the event at the cursor has to be (`fingerprintOf`); 0: that was not kept. */
  readonly fingerprint: number
  /**
   * Of an ordered trigger's: deliveries of one trigger to one destination that are equal in this are made one at a time, in the
   * order of their events. At most {@link orderKeyMax} characters of the printable ASCII ones, no spaces. Absent: in no order.
   */
  readonly orderKey?: string
  /** The id of the replay that it was made by; absent: it was made when its event came. */
  readonly replay?: string
}

/** Characters of an order key at most. */
export const orderKeyMax = 64

/** Which trigger: one that was deleted and made anew under its id is another one. */
export type TriggerName = Pick<Delivery, "tenant" | "trigger" | "incarnation">

/**
 * The id of the delivery of the event at `cursor` for this trigger. A trigger that was deleted and made anew is another one,
 * and owes anew what the one before it has delivered or given up.
 */
export function deliveryId(cursor: Cursor, trigger: string, incarnation: string): string {
  return incarnation === "" ? `${cursor}.${trigger}` : `${cursor}.${trigger}.${incarnation}`
}

/** The id of the delivery of the event at `cursor` that a replay makes for this trigger: it is no delivery that was made before. */
export function replayedId(cursor: Cursor, { trigger, incarnation }: TriggerName, replay: string): string {
  return `${deliveryId(cursor, trigger, incarnation)}.${replay}`
}

/** No name of a resource holds it. */
const replayMark = "~replay"

/** The lane of a destination, or of what is replayed to it: lanes never wait for each other. */
export function laneOf(delivery: Pick<Delivery, "tenant" | "destination" | "replay">): string {
  const { tenant, destination, replay } = delivery
  return replay === undefined ? `${tenant}/${destination}` : `${tenant}/${destination}${replayMark}`
}

/** The lanes of a destination. */
export function lanesOf(of: { readonly tenant: string; readonly destination: string }): readonly string[] {
  return [laneOf(of), laneOf({ ...of, replay: "" })]
}

/** Whose lane it is. */
export function partsOfLane(lane: string): { readonly tenant: string; readonly destination: string } {
  const slash = lane.indexOf("/")
  return {
    tenant: lane.slice(0, slash),
    destination: lane.slice(slash + 1, isReplayLane(lane) ? -replayMark.length : undefined),
  }
}

/** The path of its destination: `<tenant>/<id>`. */
export function pathOfLane(lane: string): string {
  return isReplayLane(lane) ? lane.slice(0, -replayMark.length) : lane
}

/** Whether a lane is of what is replayed. */
export function isReplayLane(lane: string): boolean {
  return lane.endsWith(replayMark)
}

/** What a destination answered. Expected failures are values; a throw is a bug. */
export type Outcome = Delivered | Failed

export interface Delivered {
  readonly kind: "delivered"
  /** One line for people: `204 No Content`. */
  readonly detail: string
  readonly response?: ResponseRecord
  /** What became of the events that it answered with; absent: it answered with none, or nobody wants them. */
  readonly reply?: ReplyRecord
}

/**
 * Events that a destination answered with: where they are, or why they never will be. `duplicate`: they are those of an earlier
 * attempt, or were on the topic already.
 */
export type ReplyRecord =
  | {
      readonly kind: "published"
      readonly topic: string
      readonly cursors: readonly Cursor[]
      readonly duplicate?: true
    }
  | { readonly kind: "refused"; readonly detail: string }

export interface Failed {
  readonly kind: "failed"
  readonly detail: string
  /** No later attempt can succeed. */
  readonly permanent: boolean
  /** The destination asks for this much rest, for all its deliveries. */
  readonly retryAfterMs?: number
  /** The destination is gone for good: triggers that send to it are paused. */
  readonly gone?: boolean
  /** Nothing was sent, and nothing is to be before `retryAfterMs` is over: it counts as no attempt. */
  readonly unsent?: true
  /** It was not sent because the receiver has not agreed to it. */
  readonly awaits?: "agreement"
  /** Why there is no answer; absent where there is one, and where it is something else. */
  readonly cause?: FailureCause
  readonly response?: ResponseRecord
}

/**
 * Why no answer came: no connection could be made (the name, the address, TLS included); none in time; the connection broke before
 * one; what came is none.
 */
export const failureCauses = ["connect", "timeout", "broken", "protocol"] as const
export type FailureCause = (typeof failureCauses)[number]

/** What is kept of an answer: at most the first 4 KiB of its body, as UTF-8 or base64. */
export interface ResponseRecord {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly bodyEncoding: "utf8" | "base64"
  readonly bodyTruncated: boolean
}

/** One try of a delivery. */
export interface Attempt {
  /** From 1. */
  readonly number: number
  readonly startedAt: number
  readonly durationMs: number
  readonly outcome: Outcome
  /** The request that it was made in together with others; absent: alone. */
  readonly batch?: { readonly id: string; readonly events: number }
}

/**
 * Why a delivery is given up: the destination refuses it for good, or its event is gone; attempts are used up; it became too
 * old; its event is not in the log as it was stored, so that there is nothing to send; its destination is gone, and its trigger
 * sends elsewhere by now.
 */
export const deadReasons = ["permanent", "exhausted", "expired", "damaged", "gone"] as const
export type DeadReason = (typeof deadReasons)[number]

/** What we do next. */
export type Verdict =
  | { readonly kind: "done" }
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "dead"; readonly reason: DeadReason }

/**
 * When a failed delivery is tried again. Attempt n + 1 comes `delaysMs[n - 1]` after attempt n (the last delay repeats),
 * shortened by up to `jitter` of it by chance; none after `attemptsMax` attempts, nor once `ageMaxMs` would have passed.
 */
export interface RetryPolicy {
  readonly delaysMs: readonly number[]
  /** 0 (none) to 1. */
  readonly jitter: number
  readonly attemptsMax: number
  readonly ageMaxMs: number
  /** What follows from failures of certain causes, in their order; absent: nothing but what the hub does by itself. */
  readonly rules?: readonly RetryRule[]
}

/**
 * What follows from a failure: it is tried again by the policy, also where the hub would not; it is dead at once; its trigger is
 * paused, and it waits; it is tried again, and until then nothing else is sent to its destination.
 */
export const ruleActions = ["retry", "dead", "pause", "rest"] as const

/** What follows from failures of these causes: statuses (`408`), classes of them (`4xx`), {@link failureCauses}, `any`. */
export interface RetryRule {
  readonly on: readonly string[]
  readonly do: (typeof ruleActions)[number]
}

/** A delivery given up. Its id is the delivery's. */
export interface DeadLetter extends Delivery {
  readonly address: Address
  readonly reason: DeadReason
  readonly attempts: number
  readonly diedAt: number
  readonly lastOutcome: Outcome
}
