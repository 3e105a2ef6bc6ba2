import type { Chance } from "../core/clock.ts"
import type { Outcome, RetryPolicy, Verdict } from "../core/delivery.ts"
import { ruleFor } from "./rules.ts"

/** Where a delivery stands when its attempt has ended. */
export interface Standing {
  /** The attempt's number, from 1. */
  readonly attempt: number
  /** How many of them, from before a redrive, do not count. */
  readonly attemptsForgiven: number
  /** Unix milliseconds; the policy's age counts from here. */
  readonly firstDueAt: number
  /** Unix milliseconds. */
  readonly now: number
  /** When the event is of no use any more, in Unix milliseconds; absent: never. */
  readonly expiresAt?: number
}

/**
 * What follows from an attempt's outcome. Pure: the same inputs and the same chance give the same verdict.
 *
 * A delivery expires when the policy's own delay ends after its age. A `retryAfterMs` lengthens that delay and never shortens
 * it, but no further than to the age's end: what the destination asks for puts the last attempt off, and does not take it away.
 * So every attempt is due within `ageMaxMs`; a destination that rests has it when its rest is over. After the event's own expiry
 * there is no attempt.
 */
export function decide(outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: Chance): Verdict {
  if (outcome.kind === "delivered") return { kind: "done" }
  const action = ruleFor(outcome, policy.rules)?.do ?? (outcome.permanent ? "dead" : "retry")
  if (action === "dead") return { kind: "dead", reason: "permanent" }
  const counted = Math.max(1, standing.attempt - standing.attemptsForgiven)
  const base = policy.delaysMs[Math.min(counted, policy.delaysMs.length) - 1]
  if (counted >= policy.attemptsMax || base === undefined) return { kind: "dead", reason: "exhausted" }
  const delayMs = Math.round(base * (1 - policy.jitter * chance.next()))
  const endsAt = Math.min(standing.firstDueAt + policy.ageMaxMs, standing.expiresAt ?? Number.POSITIVE_INFINITY)
  const leftMs = endsAt - standing.now
  if (delayMs > leftMs) return { kind: "dead", reason: "expired" }
  return { kind: "retry", delayMs: Math.max(delayMs, Math.min(outcome.retryAfterMs ?? 0, leftMs)) }
}
