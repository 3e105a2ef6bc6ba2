import { foreverMs, type Lease, type LiveLease } from "../core/deliveries.ts"
import type { RetryPolicy } from "../core/delivery.ts"
import { laneOf, lanesOf } from "../core/delivery.ts"
import { ClosedError, isPassing } from "../core/errors.ts"
import type { StoredEvent } from "../core/log.ts"
import { bury, prepare } from "../deliver/conclude.ts"
import { Lines, type Wish } from "./line.ts"
import { createDesk, type Desk, deskFor, type WorkQueuesOptions } from "./preparing.ts"
import { type Result, settle } from "./settle.ts"
import { type LeaseToken, parseLease } from "./token.ts"

export type { WorkQueuesOptions } from "./preparing.ts"
export type { Result } from "./settle.ts"

/** A destination whose deliveries workers lease. */
export interface WorkQueue {
  readonly tenant: string
  readonly destination: string
  /** Instead of what the triggers' policies say. */
  readonly attemptsMax?: number
}

/** A delivery in a worker's hands. */
export interface Leased {
  readonly lease: Lease
  readonly stored: StoredEvent
  /** Unix milliseconds; undefined: never. */
  readonly expiresAt: number | undefined
}

/** What became of what was asked for a lease; failed: nothing, so that it may be asked again. */
export type LeaseState = "settled" | "extended" | "lost" | "failed"

/** What became of what was asked to be unlocked. */
export type UnlockState = "unlocked" | "not-leased" | "failed"

/** What became of what was asked to be made longer. */
export interface Extension {
  readonly state: LeaseState
  /** It never lapses, and was left as it is. */
  readonly isForever: boolean
}

export interface Settlement {
  readonly lease: string
  readonly result: Result
}

/** Deliveries of which the events are read at once. */
const readAtOnce = 16
/** No more events are given at once than come to so much; a first one is, whatever its size. */
const givenBytesMax = 4 * 1024 * 1024
/** What is about to be in a lease that never lapses is leased for so long until it is. */
const preparingMs = 60_000
/** Deliveries that are settled at once of which the events have to be read again. */
const readAgainAtOnce = 64

/** Work queues: deliveries that workers lease, and settle. */
export class WorkQueues {
  readonly #desk: Desk
  readonly #options: WorkQueuesOptions
  readonly #lines: Lines
  /** By token and delivery: what is being settled is settled once. */
  readonly #settling = new Set<string>()

  constructor(options: WorkQueuesOptions) {
    this.#options = options
    this.#desk = createDesk(options)
    this.#lines = new Lines(options.engine.queue.anywhere, options.clock)
  }

  /**
   * Leases what is due, or waits for it. What comes to nothing on the way, as a delivery whose event is gone, ends as it would
   * elsewhere. Throws StorageError, OverloadError, ClosedError.
   */
  async lease(queue: WorkQueue, wish: Wish): Promise<readonly Leased[]> {
    const { clock } = this.#options
    const until = clock.steady() + wish.waitMs
    const isForever = wish.leaseMs === foreverMs
    const leaseMs = isForever ? preparingMs : wish.leaseMs
    // Ends: with the first that are worth it, or with the time.
    for (;;) {
      const waitMs = Math.max(0, until - clock.steady())
      const { leases, expiresAt } = await this.#lines.take(lanesOf(queue), { ...wish, waitMs, leaseMs })
      let ready = await this.#ready(queue, leases, isForever ? undefined : expiresAt)
      if (isForever && !wish.gone.aborted) ready = await this.#keep(queue, ready)
      if (wish.gone.aborted) {
        await this.giveBack(ready)
        return []
      }
      if (ready.length > 0 || leases.length === 0) return ready
    }
  }

  /** As if they had not been leased; nobody is told where that fails: they lapse, or those that never do wait to be unlocked. */
  async giveBack(leased: readonly Leased[]): Promise<void> {
    await Promise.all(leased.map(({ lease }) => this.#release(lease)))
  }

  /** Answers in their order; `by`: from now on. */
  async extend(queue: WorkQueue, leases: readonly string[], byMs: number): Promise<readonly Extension[]> {
    const live = await this.#live(queue, leases)
    const states = await Promise.all(
      live.map((lease) => lease && this.#try(lease, async () => (await this.#desk.extend(lease, byMs)) && "extended")),
    ).then(lostElse)
    return states.map((state, i) => ({ state, isForever: live[i]?.leftMs === foreverMs }))
  }

  /** Ends leases by their deliveries' ids, whoever has them; these are due at once. Answers in their order. */
  async unlock(queue: WorkQueue, ids: readonly string[]): Promise<readonly UnlockState[]> {
    const { anywhere } = this.#options.engine.queue
    const unlocked = new Set<string>()
    let isKnown = true
    for (const lane of ids.length === 0 ? [] : lanesOf(queue)) {
      try {
        for (const id of await anywhere.unlock(lane, ids)) unlocked.add(id)
      } catch (error) {
        if (!isExpected(error)) throw error
        isKnown = false
      }
    }
    return ids.map((id) => (unlocked.has(id) ? "unlocked" : isKnown ? "not-leased" : "failed"))
  }

  /** The next of all that are leased, after the id `after`; `next` is what to go on after, where there may be more. */
  async leased(
    { tenant, destination }: WorkQueue,
    { after, limit }: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<{ readonly ids: readonly string[]; readonly next?: string }> {
    const query = { tenant, destination, state: "leased", limit, ...(after !== undefined && { after }) } as const
    const { deliveries, next } = await this.#options.engine.queue.openDeliveries(query)
    return { ids: deliveries.map(({ delivery }) => delivery.id), ...(next !== undefined && { next }) }
  }

  /** Answers in their order. */
  async settle(queue: WorkQueue, settlements: readonly Settlement[]): Promise<readonly LeaseState[]> {
    const live = await this.#live(
      queue,
      settlements.map(({ lease }) => lease),
    )
    const desk = await deskFor(this.#desk, live)
    const states: LeaseState[] = []
    for (const [from, to] of this.#parts(live)) {
      const part = live.slice(from, to)
      const settling = part.map(
        (lease, i) => lease && this.#settleOnce(queue, lease, settlements[from + i]!.result, desk),
      )
      states.push(...lostElse(await Promise.all(settling)))
    }
    return states
  }

  /** What is settled at once, so that what has to be read for it is bounded. */
  *#parts(live: readonly (LiveLease | undefined)[]): Iterable<readonly [from: number, to: number]> {
    let from = 0
    let toRead = 0
    for (const [i, lease] of live.entries()) {
      if (lease === undefined || this.#desk.given.find(lease.delivery) !== undefined) continue
      if (++toRead <= readAgainAtOnce) continue
      yield [from, i]
      from = i
      toRead = 1
    }
    yield [from, live.length]
  }

  async #settleOnce(queue: WorkQueue, lease: LiveLease, result: Result, desk: Desk): Promise<LeaseState> {
    const name = `${lease.token} ${lease.delivery.id}`
    if (this.#settling.has(name)) return "lost"
    this.#settling.add(name)
    const { chance } = this.#options
    const settling = { lease, result, chance, policyOf: policyOf(queue) }
    return this.#try(lease, async () => (await settle(settling, desk)) && "settled").finally(() =>
      this.#settling.delete(name),
    )
  }

  /** What fails does so for this lease alone. */
  async #try({ delivery }: LiveLease, work: () => Promise<LeaseState | false>): Promise<LeaseState> {
    try {
      return (await work()) || "lost"
    } catch (error) {
      const { id, tenant } = delivery
      if (!isExpected(error))
        this.#options.log.error({ err: error, delivery: id, tenant }, "what a worker asked for a lease failed")
      return "failed"
    }
  }

  /** The leases that live, of those that are of this queue. */
  async #live(queue: WorkQueue, texts: readonly string[]): Promise<readonly (LiveLease | undefined)[]> {
    const asked = texts.map((text) => parseLease(text))
    const [fresh, replayed] = await Promise.all(
      lanesOf(queue).map((lane, i) =>
        this.#find(
          lane,
          asked.map((each) => (each?.isReplayed === (i === 1) ? each : undefined)),
        ),
      ),
    )
    return asked.map((_, i) => fresh![i] ?? replayed![i])
  }

  /** The leases of a lane, in their places. */
  async #find(lane: string, asked: readonly (LeaseToken | undefined)[]): Promise<readonly (LiveLease | undefined)[]> {
    if (asked.every((each) => each === undefined)) return []
    const { anywhere } = this.#options.engine.queue
    const found = await anywhere.leased(
      lane,
      asked.map((each) => ({ token: each?.token ?? 0, id: each?.id ?? "" })),
    )
    return found.map((lease, i) => (lease !== undefined && lease.delivery.id === asked[i]?.id ? lease : undefined))
  }

  /** Has these leases never lapse; what is not so when it answers is none of the worker's. */
  async #keep(queue: WorkQueue, ready: readonly Leased[]): Promise<readonly Leased[]> {
    const { anywhere } = this.#options.engine.queue
    const kept: Leased[] = []
    try {
      for (const lane of lanesOf(queue)) {
        const some = ready.filter(({ lease }) => laneOf(lease.delivery) === lane)
        if (some.length === 0) continue
        const names = some.map(({ lease }) => ({ token: lease.token, id: lease.delivery.id }))
        const isKept = await anywhere.keep(lane, names)
        kept.push(...some.filter((_, i) => isKept[i]))
      }
    } catch (error) {
      await this.giveBack(ready)
      throw error
    }
    return kept
  }

  /** What is to be worked on; once that is enough the rest is given back. */
  async #ready(queue: WorkQueue, leases: readonly Lease[], expiresAt: number | undefined): Promise<readonly Leased[]> {
    const ready: Leased[] = []
    const desk = await deskFor(this.#desk, leases)
    let bytes = 0
    for (let i = 0; i < leases.length; i += readAtOnce) {
      const part = leases.slice(i, i + readAtOnce)
      if (bytes >= givenBytesMax) {
        await Promise.all(part.map((lease) => this.#release(lease)))
        continue
      }
      for (const each of await Promise.all(part.map((lease) => this.#prepare(queue, lease, desk)))) {
        if (each === undefined) continue
        ready.push({ ...each, expiresAt })
        bytes += each.stored.event.data?.length ?? 0
      }
    }
    return ready
  }

  async #prepare(queue: WorkQueue, lease: Lease, desk: Desk): Promise<Pick<Leased, "lease" | "stored"> | undefined> {
    try {
      const prepared = await prepare({ lease }, { ...desk, policyOf: policyOf(queue) })
      if (prepared.kind === "over") await prepared.end()
      else if (prepared.kind === "dead") await bury({ lease }, prepared, desk)
      else if (!(await this.#exhausted(queue, lease, prepared.stored, desk))) {
        desk.telling.leased(lease)
        desk.given.add(lease.delivery, prepared.stored)
        return { lease, stored: prepared.stored }
      }
    } catch (error) {
      if (!isExpected(error)) throw error
      // It lapses, and comes again.
      desk.gate.trouble(error, "leasing to a worker")
    }
    return undefined
  }

  /** Whether all of its attempts are used up, by leases that lapsed; then it is a dead letter. */
  async #exhausted(queue: WorkQueue, lease: Lease, stored: StoredEvent, desk: Desk): Promise<boolean> {
    const trigger = await desk.directory.trigger(lease.delivery)
    if (trigger === undefined) return false
    const before = lease.attempt - 1 - lease.attemptsForgiven
    if (before < policyOf(queue)(trigger.retry).attemptsMax) return false
    const detail = "no worker settled it: its last lease lapsed"
    const outcome = { kind: "failed", detail, permanent: false } as const
    const holdsKey = trigger.ordering?.deadLetter === "hold"
    const { address } = stored
    await bury(
      { lease },
      { address, stored, reason: "exhausted", attempts: lease.attempt - 1, outcome, holdsKey },
      desk,
    )
    return true
  }

  async #release(lease: Lease): Promise<void> {
    const { anywhere } = this.#options.engine.queue
    await anywhere.end(lease, { kind: "release", delayMs: 0 }).catch(() => undefined)
  }
}

/** A trigger's policy, as the queue has it. */
function policyOf({ attemptsMax }: WorkQueue): (policy: RetryPolicy) => RetryPolicy {
  return (policy) => {
    if (attemptsMax === undefined) return policy
    const delaysMs = policy.delaysMs.length > 0 ? policy.delaysMs : [0]
    return { ...policy, delaysMs, attemptsMax }
  }
}

/** Whether it may go better later, or the hub stops. */
function isExpected(error: unknown): boolean {
  return isPassing(error) || error instanceof ClosedError
}

/** What is not there is lost. */
function lostElse(states: readonly (LeaseState | undefined)[]): readonly LeaseState[] {
  return states.map((state) => state ?? "lost")
}
