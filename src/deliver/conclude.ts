import type { Address } from "../core/address.ts"
import type { Lease } from "../core/deliveries.ts"
import type {
  Attempt,
  DeadLetter,
  DeadReason,
  Delivery,
  Failed,
  Outcome,
  RetryPolicy,
  RetryRule,
  Verdict,
} from "../core/delivery.ts"
import { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import { decide } from "./decide.ts"
import { addressOf, eventOf } from "./event.ts"
import { expiryOf } from "./expiry.ts"
import type { Hub } from "./hub.ts"
import type { Job, ReadyJob } from "./job.ts"
import { isLeftBehind } from "./left-behind.ts"
import type { ToldVerdict } from "./records.ts"
import { ruleFor } from "./rules.ts"

/** A delivery to be given up. */
export interface Death {
  readonly address: Address
  /** Undefined where the event is not there. */
  readonly stored: StoredEvent | undefined
  readonly reason: DeadReason
  readonly attempts: number
  readonly outcome: Outcome
  /** Those behind it in its order wait for it. */
  readonly holdsKey: boolean
}

export type Prepared =
  | ({ readonly kind: "ready" } & Pick<ReadyJob, "stored" | "isAnswered">)
  | ({ readonly kind: "dead" } & Death)
  /** Nothing is to be sent. */
  | { readonly kind: "over"; end(): Promise<void> }

/** What it takes to find out what becomes of a lease without an attempt, and to have it so. */
export interface Preparing extends Pick<Hub, "clock" | "observe"> {
  readonly engine: Hub["engine"]
  readonly directory: Pick<Hub["directory"], "trigger" | "replay" | "keepsBack" | "isPaused">
  readonly backlog: Pick<Hub["backlog"], "move">
  readonly records: Pick<Hub["records"], "deadLetter">
  readonly gate: Pick<Hub["gate"], "end" | "persist" | "trouble">
  readonly telling: Pick<Hub["telling"], "unsent" | "damaged" | "dead">
  /** A trigger's policy as the destination has it; default: as the trigger says. */
  readonly policyOf?: (policy: RetryPolicy) => RetryPolicy
}

/** What is leased. */
type Leased = Pick<Job, "lease">

const unreadableDelayMs = 5_000

/**
 * Fetches what sending needs. A delivery whose trigger was deleted is done, one whose trigger is paused is held, one that its
 * trigger has left behind is moved, and one whose event is gone or damaged is dead. Never throws.
 */
export async function prepare(job: Leased, hub: Preparing): Promise<Prepared> {
  const { engine, directory, gate, telling } = hub
  const { lease } = job
  const { delivery } = lease
  try {
    const known = directory.trigger(delivery)
    const trigger = known instanceof Promise ? await known : known
    if (!trigger) {
      telling.unsent(delivery, "its trigger was deleted")
      return over(() => gate.end(lease, { kind: "done" }))
    }
    const replay = delivery.replay === undefined ? undefined : await directory.replay(delivery)
    if (replay?.state === "cancelled") {
      telling.unsent(delivery, `the replay ${delivery.replay} was cancelled`)
      return over(() => gate.end(lease, { kind: "done" }))
    }
    if (trigger.paused || isLeftBehind(trigger, delivery) || directory.keepsBack(delivery)) {
      const sends = `sends to ${trigger.destination} by now, and takes it along`
      telling.unsent(delivery, `its trigger ${isLeftBehind(trigger, delivery) ? sends : "is paused"}`)
      return over(() => hold(lease, hub))
    }
    const event = await eventOf(delivery, { trigger, replay }, engine)
    const stored = event.kind === "there" ? event.stored : undefined
    const policy = hub.policyOf?.(trigger.retry) ?? trigger.retry
    const end = event.kind === "there" ? (expired(event.stored, hub.clock.now()) ?? exhausted(lease, policy)) : event
    if (stored !== undefined && end === undefined)
      return { kind: "ready", stored: marked(stored, delivery), isAnswered: trigger.reply !== undefined }
    const { reason, detail } = end!
    if (reason === "damaged") telling.damaged(delivery, detail)
    const outcome: Outcome = { kind: "failed", detail, permanent: reason !== "exhausted" }
    const address = stored?.address ?? addressOf(trigger)
    const holdsKey = trigger.ordering?.deadLetter === "hold"
    return { kind: "dead", stored, address, reason, attempts: lease.attempt - 1, outcome, holdsKey }
  } catch (error) {
    gate.trouble(error, `reading ${delivery.cursor}`)
    return over(() => gate.end(lease, { kind: "release", delayMs: unreadableDelayMs }))
  }
}

/** Why an event is not sent any more, where it has expired. */
function expired(
  { event }: StoredEvent,
  now: number,
): (Pick<Death, "reason"> & { readonly detail: string }) | undefined {
  const at = expiryOf(event)
  if (at === undefined || at > now) return undefined
  return { reason: "expired", detail: `the event expired at ${new Date(at).toISOString()}, by its expirytime` }
}

/** Why an event is not sent any more whose attempts are used up, where the last one of them had no end that could say so. */
function exhausted(
  { attempt, attemptsForgiven, unended }: Lease,
  { attemptsMax }: RetryPolicy,
): (Pick<Death, "reason"> & { readonly detail: string }) | undefined {
  if (!unended || attempt - 1 - attemptsForgiven < attemptsMax) return undefined
  return { reason: "exhausted", detail: "the hub died during its last attempt" }
}

/** The event as it is sent: one that is replayed says so. */
function marked(stored: StoredEvent, { replay }: Delivery): StoredEvent {
  if (replay === undefined) return stored
  const { attributes, data, dataKind } = stored.event
  return { ...stored, event: Event.of({ ...attributes, redcarreplay: replay }, data, dataKind) }
}

function over(end: () => Promise<unknown>): Prepared {
  return {
    kind: "over",
    async end() {
      await end()
    },
  }
}

/** An attempt that has ended. */
export interface Concluded {
  readonly job: Job
  readonly stored: StoredEvent
  readonly attempt: Attempt
  /** Whether the outcome is that of several deliveries, and may be the fault of another. */
  readonly isShared: boolean
  readonly lane: string
  /** Nothing else is sent to the destination for so long. */
  rest(ms: number): void
}

/**
 * Decides what follows by the trigger as it is now, tells the log, and only then ends the lease: an attempt that counts is one
 * that can be read. Where the lease was lost meanwhile nothing follows; of a trigger that was deleted meanwhile nothing is told,
 * for one that has its id now owes deliveries of its own.
 */
export async function conclude(concluded: Concluded, hub: Hub): Promise<void> {
  const { job, stored, attempt, lane } = concluded
  const { lease } = job
  const { delivery } = lease
  const known = hub.directory.trigger(delivery)
  const trigger = known instanceof Promise ? await known : known
  if (!trigger) return void (await hub.gate.end(lease, { kind: "done" }))
  // Begun before anything else is waited for: what is for a destination that is gone is not sent any more.
  const judging = verdictOn(concluded, trigger, hub)
  const extending = hub.gate.extend(lease, hub.limits.leaseMs)
  const [judged, isOurs] = await Promise.all([judging, extending])
  const verdict = isOurs ? judged : ({ kind: "lost" } as const)
  if (hub.gate.stopped) return
  await hub.records.attempt(stored, delivery, attempt, verdict)
  if (!(await carryOut(concluded, trigger, verdict, hub))) hub.observe.leaseLost?.(lane)
  hub.telling.concluded(delivery, attempt, verdict)
  hub.observe.attempt?.({ lane, delivery, attempt, verdict, waitedMs: waitedMs(concluded, trigger) })
}

/** What follows, as far as the trigger and its destination go; of one that is gone, they are paused. */
async function verdictOn(concluded: Concluded, trigger: Trigger, hub: Hub): Promise<ToldVerdict> {
  const { job, stored, attempt, isShared, rest } = concluded
  const { delivery, attempt: number, attemptsForgiven, firstDueAt } = job.lease
  const { outcome } = attempt
  const action = outcome.kind === "failed" ? ruleFor(outcome, trigger.retry.rules)?.do : undefined
  if (isShared && outcome.kind === "failed" && isJudgedAlone(outcome, action)) return alone
  const isGone = outcome.kind === "failed" && outcome.gone && action === undefined
  if (isGone || (action === "pause" && trigger.destination === delivery.destination)) {
    const reason = `${delivery.destination} ${isGone ? "is gone" : "failed, and a retry rule pauses it"}: ${outcome.detail}`
    if (trigger.destination === delivery.destination && (await hub.directory.pause(delivery, reason)))
      return { kind: "held" }
    const now = await hub.directory.newest(delivery)
    return !now || isLeftBehind(now, delivery) ? { kind: "held" } : { kind: "dead", reason: "gone" }
  }
  const expiresAt = expiryOf(stored.event)
  const until = expiresAt === undefined ? {} : { expiresAt }
  const standing = { attempt: number, attemptsForgiven, firstDueAt, now: hub.clock.now(), ...until }
  const verdict = decide(outcome, standing, trigger.retry, hub.chance)
  if (isShared && verdict.kind === "dead") return alone
  if (action === "rest" && verdict.kind === "retry" && trigger.destination === delivery.destination)
    rest(verdict.delayMs)
  return verdict.kind === "retry" && isLeftBehind(trigger, delivery) ? { kind: "retry", delayMs: 0 } : verdict
}

/** The next attempt is made at once, and alone: see Ready. */
const alone: Verdict = { kind: "retry", delayMs: 0 }

/** Whether what became of several must not be held against one: a refusal of what they are, and what ends it or its trigger. */
function isJudgedAlone({ gone, response }: Failed, action: RetryRule["do"] | undefined): boolean {
  if (action !== undefined) return action === "dead" || action === "pause"
  const status = response?.status ?? 0
  return gone !== true && status >= 400 && status < 500 && ![408, 425, 429].includes(status)
}

/** Answers false where somebody else has the delivery. */
async function carryOut(concluded: Concluded, trigger: Trigger, verdict: ToldVerdict, hub: Hub): Promise<boolean> {
  const { job, stored, attempt } = concluded
  const { lease } = job
  switch (verdict.kind) {
    case "lost":
      return false
    case "held":
      // Counted, as it is told: whoever leases it next finds that it is to be held, or moved.
      return hub.gate.end(lease, { kind: "retry", delayMs: 0 })
    case "dead": {
      const { address } = stored
      const { reason } = verdict
      const holdsKey = trigger.ordering?.deadLetter === "hold"
      await bury(job, { address, stored, reason, attempts: lease.attempt, outcome: attempt.outcome, holdsKey }, hub)
      return true
    }
    default:
      return hub.gate.end(lease, verdict)
  }
}

/** Time since its publish, of a first attempt; what was routed of the past did not wait for it. */
function waitedMs({ stored, attempt }: Concluded, trigger: Trigger): number | undefined {
  if (attempt.number !== 1 || stored.storedAt < trigger.updatedAt) return undefined
  return Math.max(0, attempt.startedAt - stored.storedAt)
}

/**
 * Holds until the trigger is resumed, where it sends now if it is to take its backlog along; if the resuming came first, or the
 * trigger's end, it is resumed again.
 */
export async function hold(lease: Lease, { engine, directory, backlog, gate }: Preparing): Promise<void> {
  const { delivery } = lease
  await gate.end(lease, { kind: "hold" })
  await gate.persist("resuming a trigger", async () => {
    const trigger = await directory.trigger(delivery)
    if (trigger && isLeftBehind(trigger, delivery)) await backlog.move(delivery)
    if (trigger?.paused || directory.isPaused(delivery)) return
    await engine.queue.resume(delivery.tenant, delivery.trigger, delivery.incarnation)
  })
}

/**
 * Tells of the dead letter, then makes it one: a crash in between tells twice, under one id. Answers false where somebody else has
 * the delivery.
 */
export async function bury(job: Leased, death: Death, hub: Preparing): Promise<boolean> {
  const { address, stored, reason, attempts, outcome, holdsKey } = death
  const { delivery } = job.lease
  const diedAt = hub.clock.now()
  const letter: DeadLetter = { ...delivery, address, reason, attempts, diedAt, lastOutcome: outcome }
  await hub.records.deadLetter(stored, letter)
  if (!(await hub.gate.end(job.lease, { kind: "dead", letter, holdsKey }))) return false
  hub.telling.dead(letter)
  hub.observe.dead?.(letter)
  return true
}
