import type { Chance } from "../core/clock.ts"
import type { LiveLease } from "../core/deliveries.ts"
import { type Attempt, type Delivery, laneOf, type Outcome, type RetryPolicy, type Verdict } from "../core/delivery.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Replay, Trigger } from "../core/resources.ts"
import { bury } from "../deliver/conclude.ts"
import { decide } from "../deliver/decide.ts"
import { addressOf, eventOf } from "../deliver/event.ts"
import { isLeftBehind } from "../deliver/left-behind.ts"
import type { Desk } from "./preparing.ts"

/** How a worker's attempt ended, as it says. */
export type Result =
  | { readonly kind: "done" }
  /** Again `afterMs` later, or as the policy says. */
  | { readonly kind: "retry"; readonly afterMs?: number; readonly reason?: string }
  | { readonly kind: "reject"; readonly reason?: string }

export interface Settling {
  readonly lease: LiveLease
  readonly result: Result
  readonly chance: Chance
  /** The trigger's policy, as the queue has it. */
  policyOf(policy: RetryPolicy): RetryPolicy
}

/** Telling the log must not outlast the lease. */
const tellingMs = 60_000
/** What could not be settled is asked for again soon; the attempt is told once then. */
const toldWindowMs = 3_600_000

/**
 * Decides what follows by the trigger as it is now, tells the log, and only then ends the lease, as the delivery of what is pushed
 * does. Answers false where the lease is lost. Throws what the engine throws.
 */
export async function settle(settling: Settling, desk: Desk): Promise<boolean> {
  const { lease, result } = settling
  const { delivery } = lease
  const now = desk.clock.now()
  const durationMs = Math.round(lease.heldMs)
  const trigger = await desk.directory.trigger(delivery)
  if (trigger === undefined) return desk.gate.end(lease, { kind: "done" })
  const replay = delivery.replay === undefined ? undefined : await desk.directory.replay(delivery)
  const stored = desk.given.find(delivery) ?? (await readAgain(delivery, { trigger, replay }, desk))
  const outcome = outcomeOf(result)
  const attempt = { number: lease.attempt, startedAt: lease.begunAt, durationMs, outcome }
  const verdict = verdictOn(settling, trigger, outcome, now)
  if (lease.leftMs < tellingMs && !(await desk.extend(lease, tellingMs))) return false
  // What retention has dropped since it was leased has been worked on all the same.
  const tried = stored ?? { address: addressOf(replay ?? trigger), event: undefined }
  await desk.records.attempt(tried, delivery, attempt, verdict, toldWindowMs)
  if (!(await carryOut({ lease, trigger, stored, attempt, verdict }, desk))) {
    desk.observe.leaseLost?.(laneOf(delivery))
    return false
  }
  desk.given.forget(delivery)
  desk.telling.concluded(delivery, attempt, verdict)
  desk.observe.attempt?.({ lane: laneOf(delivery), delivery, attempt, verdict })
  return true
}

async function readAgain(
  delivery: Delivery,
  of: { readonly trigger: Trigger; readonly replay: Replay | undefined },
  desk: Desk,
): Promise<StoredEvent | undefined> {
  const found = await eventOf(delivery, of, desk.engine)
  return found.kind === "there" ? found.stored : undefined
}

function outcomeOf(result: Result): Outcome {
  if (result.kind === "done") return { kind: "delivered", detail: "done by a worker" }
  const detail =
    result.reason ?? (result.kind === "retry" ? "a worker wants it tried again" : "a worker has rejected it")
  return { kind: "failed", detail, permanent: result.kind === "reject" }
}

/** What a worker says goes before the retry policy's rules, which are about answers. */
function verdictOn(
  { lease, result, chance, policyOf }: Settling,
  trigger: Trigger,
  outcome: Outcome,
  now: number,
): Verdict {
  const { rules: _, ...policy } = policyOf(trigger.retry)
  const afterMs = result.kind === "retry" ? result.afterMs : undefined
  const asked = afterMs === undefined ? policy : { ...policy, delaysMs: [afterMs], jitter: 0 }
  const { attempt, attemptsForgiven, firstDueAt } = lease
  const verdict = decide(outcome, { attempt, attemptsForgiven, firstDueAt, now }, asked, chance)
  return verdict.kind === "retry" && isLeftBehind(trigger, lease.delivery) ? { kind: "retry", delayMs: 0 } : verdict
}

interface Settled {
  readonly lease: LiveLease
  readonly trigger: Trigger
  readonly stored: StoredEvent | undefined
  readonly attempt: Attempt
  readonly verdict: Verdict
}

async function carryOut({ lease, trigger, stored, attempt, verdict }: Settled, desk: Desk): Promise<boolean> {
  if (verdict.kind !== "dead") return desk.gate.end(lease, verdict)
  const { reason } = verdict
  const address = stored?.address ?? addressOf(trigger)
  const holdsKey = trigger.ordering?.deadLetter === "hold"
  const { number: attempts, outcome } = attempt
  return bury({ lease }, { address, stored, reason, attempts, outcome, holdsKey }, desk)
}
