import type { Chance } from "../core/clock.ts"
import type { Outcome } from "../core/delivery.ts"

/**
 * The circuit breaker of one destination. Pure: each function answers the next state.
 *
 * ```
 * closed ──failuresMax in a row that say "down"──▶ open ──its delay passes──▶ half-open, one probe at a time
 *    ▲                                              ▲                              │
 *    │                                              └──probe says down: twice the delay
 *    └──────────── any answer from the destination ────────────────────────────────┘
 * ```
 * While it is open nothing is leased, so a destination that is down uses up nobody's attempts. Once it closes, two attempts
 * may be in flight, and one more with each answer: twice as many each time around, as far as the destination follows. What
 * has piled up is not thrown at it all at once.
 */
export type Breaker =
  | {
      readonly kind: "closed"
      readonly failures: number
      /** Since it closed after an outage: how many attempts at once its destination has shown that it can take. */
      readonly allowed?: number
    }
  | { readonly kind: "open"; readonly until: number; readonly delayMs: number }
  | { readonly kind: "half-open"; readonly delayMs: number }

export interface BreakerLimits {
  /** Failures in a row that open it. */
  readonly failuresMax: number
  readonly delayMinMs: number
  readonly delayMaxMs: number
  /** Each delay is shortened by up to this part of it, so that hubs do not probe in step. 0 to 1. */
  readonly jitter: number
  /** Attempts at once when it closes after an outage. */
  readonly allowedMin: number
  /** From so many at once on it is as if there had been no outage. */
  readonly allowedMax: number
}

export const breakerLimits: BreakerLimits = {
  ...{ failuresMax: 10, delayMinMs: 1_000, delayMaxMs: 60_000, jitter: 0.2 },
  ...{ allowedMin: 2, allowedMax: 1_024 },
}

export const closedBreaker: Breaker = { kind: "closed", failures: 0 }

/** What an outcome tells about its destination, whatever it means for the one delivery. */
export type Sign = "up" | "down" | "unclear"

/**
 * No answer at all, an error of the server, or too many requests mean down. Every other answer, a refusal included,
 * means that it is there. A permanent failure without an answer (too many hops, say) tells nothing.
 */
export function signOf(outcome: Outcome): Sign {
  if (outcome.kind === "delivered" || outcome.gone) return "up"
  const status = outcome.response?.status
  if (status === undefined) return outcome.permanent ? "unclear" : "down"
  return status >= 500 || status === 429 || status === 408 ? "down" : "up"
}

/** The state at `now`: an open breaker whose delay has passed is half-open. */
export function breakerAt(breaker: Breaker, now: number): Breaker {
  return breaker.kind === "open" && now >= breaker.until ? { kind: "half-open", delayMs: breaker.delayMs } : breaker
}

/** How many deliveries may be in flight: all, one probe, or none. */
export function breakerAllows(breaker: Breaker): number {
  if (breaker.kind === "closed") return Number.POSITIVE_INFINITY
  return breaker.kind === "half-open" ? 1 : 0
}

/** How many attempts of a destination that is up may be in flight, beside what its own limits say. */
export function allowedAtOnce(breaker: Breaker): number {
  return (breaker.kind === "closed" ? breaker.allowed : undefined) ?? Number.POSITIVE_INFINITY
}

/**
 * The state after an attempt. `probe`: it began while the breaker was half-open. What began earlier and fails late says
 * nothing new, and does not move a breaker that is no longer closed.
 */
export function breakerAfter(
  breaker: Breaker,
  seen: { readonly sign: Sign; readonly probe: boolean; readonly now: number },
  chance: Chance,
  limits: BreakerLimits = breakerLimits,
): Breaker {
  if (seen.sign === "up") return answered(breaker, limits)
  if (breaker.kind === "closed") {
    if (seen.sign === "unclear") return breaker
    const failures = breaker.failures + 1
    if (failures >= limits.failuresMax) return opened(limits.delayMinMs, seen.now, chance, limits)
    return { ...breaker, failures }
  }
  if (breaker.kind === "open" || !seen.probe) return breaker
  return opened(Math.min(breaker.delayMs * 2, limits.delayMaxMs), seen.now, chance, limits)
}

function answered(breaker: Breaker, { allowedMin, allowedMax }: BreakerLimits): Breaker {
  if (breaker.kind !== "closed") return { kind: "closed", failures: 0, allowed: allowedMin }
  const allowed = (breaker.allowed ?? allowedMax) + 1
  return allowed > allowedMax ? closedBreaker : { kind: "closed", failures: 0, allowed }
}

function opened(delayMs: number, now: number, chance: Chance, limits: BreakerLimits): Breaker {
  return { kind: "open", delayMs, until: now + Math.round(delayMs * (1 - limits.jitter * chance.next())) }
}
