import { topicKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import {
  decide,
  delayedDestination,
  delayedTopic,
  deliverAtAttribute,
  deliverAtOf,
  type Standing,
  standingOf,
  targetOf,
  waitingAddress,
} from "../core/delayed.ts"
import type { Lease } from "../core/deliveries.ts"
import { partsOfLane } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { ClosedError, DamagedError, isPassing, LeaseLostError } from "../core/errors.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Logger } from "../core/logger.ts"
import type { Topic } from "../core/resources.ts"
import { Troubles } from "../core/troubles.ts"

export interface ReleasingOptions {
  readonly engine: Pick<Engine, "log" | "queue" | "catalog">
  readonly clock: Clock
  readonly log: Logger
  readonly stop: AbortSignal
}

/** Events of a lane that are seen to at once. */
const leasesMax = 128
const leaseMs = 60_000
const againMs = 1_000
/** It is recognised as published for so long at least: somebody who was taken for dead may be publishing it still. */
const windowMs = 3_600_000
const releasing = "publishing delayed events"
const others = [ClosedError, DamagedError, LeaseLostError]

/** One that is due, and that nobody can cancel any more. */
interface Claimed {
  readonly kind: "claimed"
  readonly lease: Lease
  readonly stored: StoredEvent
  readonly topic: Topic
  /** Where that is noted. */
  readonly noted: Cursor
  /** Somebody has begun to publish it before. */
  readonly isUnsure: boolean
}

/** One that is published, or never will be: what was kept back of it goes. */
interface Over {
  readonly kind: "over"
  readonly lease: Lease
  readonly cursors: readonly Cursor[]
}

/** Publishes delayed events when they are due, each once; parks those that are not. */
export class Releasing {
  readonly #options: ReleasingOptions
  readonly #troubles: Troubles
  /** Lanes at work; true: woken since. */
  readonly #woken = new Map<string, boolean>()
  readonly #working = new Set<Promise<void>>()

  constructor(options: ReleasingOptions) {
    this.#options = options
    this.#troubles = new Troubles(options.log)
  }

  /** Whether it is a lane of delayed events; then what is due of it is seen to. */
  takes(lane: string): boolean {
    if (partsOfLane(lane).destination !== delayedDestination) return false
    const isWorking = this.#woken.has(lane)
    this.#woken.set(lane, isWorking)
    if (isWorking) return true
    const work = this.#run(lane).finally(() => this.#working.delete(work))
    this.#working.add(work)
    return true
  }

  async idle(): Promise<void> {
    await Promise.all(this.#working)
  }

  async #run(lane: string): Promise<void> {
    const { engine, stop, clock, log } = this.#options
    try {
      // Ends: when nothing is due.
      while (!stop.aborted) {
        this.#woken.set(lane, false)
        const leases = await engine.queue.lease({ lane, max: leasesMax, leaseMs })
        if (leases.length > 0) await this.#see(leases)
        else if (this.#woken.get(lane) === false) break
      }
      this.#woken.delete(lane)
    } catch (error) {
      this.#woken.delete(lane)
      if (stop.aborted || error instanceof ClosedError) return
      if (!isExpected(error)) log.error({ err: error, lane }, "delayed events are not published: this is a bug")
      clock.after(againMs, () => void (stop.aborted || this.takes(lane)))
    }
  }

  /** Those that are due are published in the order of their times. */
  async #see(leases: readonly Lease[]): Promise<void> {
    const all = await Promise.all(leases.map((lease) => this.#attempt([lease], () => this.#claim(lease))))
    const seen = all.filter((each) => each !== undefined)
    const due = seen.filter((each) => each.kind === "claimed")
    due.sort((a, b) => deliverAtOf(a.stored.event) - deliverAtOf(b.stored.event))
    const published = await Promise.all(due.map((each) => this.#attempt([each.lease], () => this.#publish(each))))
    const over = [...seen, ...published].filter((each) => each?.kind === "over")
    const ending = over.map(({ lease }) => lease)
    if (ending.length > 0) await this.#attempt(ending, () => this.#end(over))
  }

  /** What was kept back goes, of all at once, and then nobody owes it. */
  async #end(over: readonly Over[]): Promise<void> {
    const address = { tenant: over[0]!.lease.delivery.tenant, topic: delayedTopic }
    const cursors = over.flatMap(({ cursors }) => cursors)
    await this.#options.engine.log.drop(address, cursors)
    await Promise.all(over.map(({ lease }) => this.#done(lease)))
  }

  /** What goes wrong is tried again later. */
  async #attempt<T>(leases: readonly Lease[], work: () => Promise<T>): Promise<T | undefined> {
    try {
      const done = await work()
      this.#troubles.over(releasing)
      return done
    } catch (error) {
      if (!isExpected(error)) throw error
      if (error instanceof ClosedError || error instanceof LeaseLostError) return undefined
      this.#troubles.met(releasing, "a delayed event cannot be published; it is tried again", { err: error })
      await Promise.all(leases.map((lease) => this.#later(lease, againMs).catch(() => this.#giveBack(lease))))
      return undefined
    }
  }

  /** Where not even that it is tried later can be written, as on a full disk: it is due at once, in a while. */
  #giveBack(lease: Lease): void {
    const { clock, stop, engine } = this.#options
    const release = () => engine.queue.end(lease, { kind: "release", delayMs: 0 }).catch(() => {})
    clock.after(againMs, () => void (stop.aborted || release()))
  }

  async #claim(lease: Lease): Promise<Claimed | Over | undefined> {
    const { log } = this.#options.engine
    const { tenant, cursor } = lease.delivery
    const stored = await log.get(cursor)
    if (stored === undefined) return this.#done(lease)
    const waitMs = deliverAtOf(stored.event) - this.#options.clock.now()
    if (waitMs > 0) return this.#later(lease, waitMs)
    const { decision, noted, last } = await standingOf(log, stored)
    const topic = await this.#topicOf(tenant, stored)
    if (decision === "cancelled" || topic === undefined) return this.#giveUp(lease, stored, { decision, noted, last })
    if (noted !== undefined) return { kind: "claimed", lease, stored, topic, noted, isUnsure: true }
    const claim = await decide(log, stored, "claimed", last)
    if (claim !== undefined) return { kind: "claimed", lease, stored, topic, noted: claim, isUnsure: false }
    return this.#later(lease, againMs)
  }

  /** It is published never. Decided first: who cancels it in this moment would leave a note behind. */
  async #giveUp(lease: Lease, stored: StoredEvent, { decision, noted, last }: Standing): Promise<Over | undefined> {
    const { cursor } = stored
    if (decision !== undefined)
      return { kind: "over", lease, cursors: noted === undefined ? [cursor] : [cursor, noted] }
    const decided = await decide(this.#options.engine.log, stored, "cancelled", last)
    return decided === undefined ? this.#later(lease, againMs) : { kind: "over", lease, cursors: [cursor, decided] }
  }

  /** Undefined: it was deleted since. */
  async #topicOf(tenant: string, { address, event }: StoredEvent): Promise<Topic | undefined> {
    const target = targetOf(address)
    const key = topicKeys.of({ tenant, id: target.topic })
    const topic = (await this.#options.engine.catalog.get<Topic>(key, { newest: true }))?.value
    return topic && waitingAddress(topic, target, event).key === address.key ? topic : undefined
  }

  async #publish({ lease, stored, topic, noted, isUnsure }: Claimed): Promise<Over> {
    const { log } = this.#options.engine
    const { address, event, cursor } = stored
    const target = targetOf(address)
    const dedupeWindowMs = Math.max(topic.dedupeWindowMs, windowMs)
    const found = isUnsure || topic.dedupeWindowMs > 0 ? await log.find(target, event) : undefined
    const isThere = found !== undefined && (topic.dedupeWindowMs > 0 || isReleased(found, stored))
    if (!isThere) await log.append(target, [event], { dedupeWindowMs })
    return { kind: "over", lease, cursors: [cursor, noted] }
  }

  async #done(lease: Lease): Promise<undefined> {
    await this.#options.engine.queue.end(lease, { kind: "done" })
    return undefined
  }

  async #later(lease: Lease, delayMs: number): Promise<undefined> {
    await this.#options.engine.queue.end(lease, { kind: "release", delayMs })
    return undefined
  }
}

/** Whether it is the delayed event, and not another of its name, which a topic may have that recognises none. */
function isReleased(found: StoredEvent, { event }: StoredEvent): boolean {
  return found.event.attribute(deliverAtAttribute) === event.attribute(deliverAtAttribute)
}

function isExpected(error: unknown): boolean {
  return isPassing(error) || others.some((kind) => error instanceof kind)
}
