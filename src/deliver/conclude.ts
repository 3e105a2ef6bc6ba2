import type { Address } from "../core/address.ts"
import type { Attempt, DeadLetter, DeadReason, Outcome } from "../core/delivery.ts"
import type { Lease, StoredEvent } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"
import { decide } from "./decide.ts"
import { addressOf, eventOf } from "./event.ts"
import type { Hub } from "./hub.ts"
import type { Job } from "./job.ts"

/** A delivery to be given up. */
export interface Death {
  readonly address: Address
  /** Undefined where the event is not there. */
  readonly stored: StoredEvent | undefined
  readonly reason: DeadReason
  readonly attempts: number
  readonly outcome: Outcome
}

export type Prepared =
  | { readonly kind: "ready"; readonly stored: StoredEvent; readonly trigger: Trigger }
  | ({ readonly kind: "dead" } & Death)
  /** Nothing is to be sent. */
  | { readonly kind: "over"; end(): Promise<void> }

const unreadableDelayMs = 5_000

/**
 * Fetches what sending needs. A delivery whose trigger was deleted is done, one whose trigger is paused is held, and one
 * whose event is gone or damaged is dead. Never throws.
 */
export async function prepare(job: Job, hub: Hub): Promise<Prepared> {
  const { engine, directory, gate } = hub
  const { lease } = job
  const { delivery } = lease
  try {
    const known = directory.trigger(delivery)
    const trigger = known instanceof Promise ? await known : known
    if (!trigger) return over(() => gate.end(lease, (lease) => engine.queue.settle(lease, { kind: "done" })))
    if (trigger.paused || directory.isPaused(delivery)) return over(() => hold(lease, hub))
    const event = await eventOf(delivery, trigger, engine)
    if (event.kind === "there") return { kind: "ready", stored: event.stored, trigger }
    const { reason, detail } = event
    if (reason === "damaged") hub.damaged.found(delivery, detail)
    const outcome: Outcome = { kind: "failed", detail, permanent: true }
    const address = addressOf(trigger)
    return { kind: "dead", stored: undefined, address, reason, attempts: lease.attempt - 1, outcome }
  } catch (error) {
    gate.trouble(error, `reading ${delivery.cursor}`)
    return over(() => gate.end(lease, (lease) => engine.queue.release(lease, unreadableDelayMs)))
  }
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
  readonly trigger: Trigger
  readonly attempt: Attempt
  readonly lane: string
}

/** Decides what follows, tells the log, and only then ends the lease: an attempt that counts is one that can be read. */
export async function conclude(concluded: Concluded, hub: Hub): Promise<void> {
  const { job, stored, trigger, attempt, lane } = concluded
  const { lease } = job
  const { delivery } = lease
  const { outcome } = attempt
  if (outcome.kind === "failed" && outcome.gone) return concludeGone(concluded, hub)
  const { attemptsForgiven, firstDueAt } = lease
  const standing = { attempt: lease.attempt, attemptsForgiven, firstDueAt, now: hub.clock.now() }
  const verdict = decide(outcome, standing, trigger.retry, hub.chance)
  await hub.records.attempt(stored, delivery, attempt, verdict)
  if (verdict.kind === "dead") {
    const { address } = stored
    await bury(job, { address, stored, reason: verdict.reason, attempts: lease.attempt, outcome }, hub)
  } else {
    const kept = await hub.gate.end(lease, (lease) => hub.engine.queue.settle(lease, verdict))
    if (!kept) hub.observe.leaseLost?.(lane)
  }
  hub.observe.attempt?.({ lane, delivery, attempt, verdict, waitedMs: waitedMs(concluded) })
}

/** Time since its publish, of a first attempt; what was routed of the past did not wait for it. */
function waitedMs({ stored, trigger, attempt }: Concluded): number | undefined {
  if (attempt.number !== 1 || stored.storedAt < trigger.updatedAt) return undefined
  return Math.max(0, attempt.startedAt - stored.storedAt)
}

/** The destination is gone for good: the trigger is paused, and the delivery waits with it, so that nothing is lost. */
async function concludeGone(concluded: Concluded, hub: Hub): Promise<void> {
  const { job, stored, attempt, lane } = concluded
  const { delivery } = job.lease
  const verdict = { kind: "held" } as const
  const reason = `${delivery.destination} is gone: ${attempt.outcome.detail}`
  const pausing = hub.directory.pause(delivery, reason)
  await Promise.all([pausing, hub.records.attempt(stored, delivery, attempt, verdict)])
  await hold(job.lease, hub)
  hub.observe.attempt?.({ lane, delivery, attempt, verdict, waitedMs: waitedMs(concluded) })
}

/** Holds until the trigger is resumed; if that came first, or its end, it is resumed again. */
export async function hold(lease: Lease, { engine, directory, gate }: Hub): Promise<void> {
  const { delivery } = lease
  await gate.end(lease, (lease) => engine.queue.hold(lease))
  await gate.persist("resuming a trigger", async () => {
    const trigger = await directory.trigger(delivery)
    if (trigger?.paused || directory.isPaused(delivery)) return
    await engine.queue.resume(delivery.tenant, delivery.trigger, delivery.incarnation)
  })
}

/** Tells of the dead letter, then makes it one: a crash in between tells twice, under one id. */
export async function bury(job: Job, death: Death, hub: Hub): Promise<void> {
  const { address, stored, reason, attempts, outcome } = death
  const { delivery } = job.lease
  const diedAt = hub.clock.now()
  const letter: DeadLetter = { ...delivery, address, reason, attempts, diedAt, lastOutcome: outcome }
  await hub.records.deadLetter(stored, letter)
  if (await hub.gate.end(job.lease, (lease) => hub.engine.queue.bury(lease, letter))) hub.observe.dead?.(letter)
}
