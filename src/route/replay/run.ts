import { parseTopic } from "../../core/address.ts"
import { replayKeys, triggerKeys } from "../../core/catalog-keys.ts"
import { sleep } from "../../core/clock.ts"
import { changeAgainst } from "../../core/conflicts.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Delivery, laneOf, replayedId } from "../../core/delivery.ts"
import type { Engine } from "../../core/engine.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { Fence } from "../../core/positions.ts"
import type { Replay, ReplayProgress, Trigger } from "../../core/resources.ts"
import { replayReaderOf } from "../../core/routing.ts"
import { createMatcher, type Matcher } from "../../match/matcher.ts"
import { Pace } from "../pace.ts"
import { persist, type RetryContext } from "../persist.ts"
import { deliveriesOf } from "../record.ts"

/** What making a replay needs. */
export interface ReplayContext {
  readonly engine: Engine
  readonly retrying: RetryContext
  readonly fence: Fence
}

/** Deliveries of a replay's destination that may be open at a time: the rest waits in the log. */
const openMax = 1_000
const [batchMax, notedEveryMs, roomEveryMs] = [256, 1_000, 200]

/**
 * Makes a replay from where it is to its end, or until it is stopped. What is made and how far it is are one step, so it is made
 * once however often it is cut off. It is counted before, each time that it begins. Rejects with StoppedError, AssignmentLostError.
 */
export async function runReplay(replay: Replay, context: ReplayContext): Promise<void> {
  const { engine, retrying } = context
  const trigger = await triggerOf(replay, engine)
  const run = trigger && new Run(replay, trigger, context)
  await run?.count()
  const isWhole = await run?.make()
  if (retrying.stop.aborted) return
  const isThere = (await triggerOf(replay, engine)) !== undefined
  if (run && isWhole && isThere) return end(replay, context, { state: "done", progress: run.progress() })
  return end(replay, context, { state: "cancelled", reason: "its trigger was deleted" })
}

/** It can never go on. */
export function giveUp(replay: Replay, context: ReplayContext, error: unknown): Promise<void> {
  return end(replay, context, { state: "cancelled", reason: `it cannot go on: ${(error as Error).message}` })
}

/** Undefined: it was deleted, and one that has its id now is another one. */
async function triggerOf({ tenant, trigger, incarnation }: Replay, { catalog }: Engine): Promise<Trigger | undefined> {
  const found = (await catalog.get<Trigger>(triggerKeys.of({ tenant, id: trigger })))?.value
  return (found?.incarnation ?? "") === incarnation ? found : undefined
}

class Run {
  readonly #replay: Replay
  readonly #trigger: Trigger
  readonly #context: ReplayContext
  readonly #matcher: Matcher
  readonly #reader: string
  readonly #pace: Pace
  #position: Cursor
  #total = 0
  #done = 0
  /** Of the clock's steady time; what was done then. */
  #noted: { readonly at: number; readonly done: number }
  #perSecond: number | undefined
  /** Before this, by the clock's steady time, nothing more is made. */
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(replay: Replay, trigger: Trigger, context: ReplayContext) {
    const { topic, destination, filters } = replay
    this.#replay = replay
    this.#trigger = { ...trigger, topic, destination, filters: [...trigger.filters, ...filters] }
    this.#context = context
    this.#matcher = createMatcher()
    this.#matcher.set(this.#trigger)
    this.#reader = replayReaderOf(replayKeys.of(replay))
    this.#pace = new Pace(context.retrying)
    this.#position = replay.from
    this.#noted = { at: context.retrying.clock.steady(), done: 0 }
  }

  progress(): ReplayProgress {
    const notedAt = this.#context.retrying.clock.now()
    const perSecond = this.#perSecond === undefined ? {} : { perSecond: this.#perSecond }
    return { total: this.#total, done: this.#done, ...perSecond, notedAt }
  }

  /** How many there are, and how many of them are made already. */
  async count(): Promise<void> {
    const { engine, retrying } = this.#context
    const saved = await persist(retrying, this.#what("reading"), () => engine.queue.position(this.#reader))
    const isMade = ({ cursor }: Delivery) => saved !== undefined && engine.log.compare(cursor, saved) <= 0
    for await (const { deliveries } of this.#batches(this.#replay.from)) {
      this.#total += deliveries.length
      this.#done += deliveries.filter(isMade).length
    }
    if (saved !== undefined) this.#position = saved
    this.#noted = { at: retrying.clock.steady(), done: this.#done }
    await this.#note()
  }

  /** Answers whether it came to its end: its trigger may have been deleted, or it was stopped. */
  async make(): Promise<boolean> {
    const { engine, retrying, fence } = this.#context
    for await (const { deliveries, next } of this.#batches(this.#position)) {
      if (deliveries.length === 0) continue
      await this.#room(deliveries.length)
      if (retrying.stop.aborted) return false
      const position = { reader: this.#reader, cursor: next, fence }
      await persist(retrying, this.#what("enqueueing"), () => engine.queue.enqueue(deliveries, position))
      this.#done += deliveries.length
      const { at, done } = this.#noted
      const elapsed = retrying.clock.steady() - at
      if (elapsed < notedEveryMs) continue
      this.#perSecond = Math.round((1_000 * (this.#done - done)) / elapsed)
      this.#noted = { at: retrying.clock.steady(), done: this.#done }
      if ((await triggerOf(this.#replay, engine)) === undefined) return false
      await this.#note()
    }
    return !retrying.stop.aborted
  }

  async *#batches(from: Cursor): AsyncIterable<{ readonly deliveries: readonly Delivery[]; readonly next: Cursor }> {
    const { log } = this.#context.engine
    const { tenant, topic, until } = this.#replay
    if (log.compare(from, until) >= 0) return
    const parsed = parseTopic(topic)
    if (typeof parsed === "string") throw new TypeError(parsed)
    const perBatch = Math.max(
      1,
      Math.min(batchMax, Math.floor((this.#replay.ratePerSecond ?? Number.POSITIVE_INFINITY) / 4)),
    )
    for await (const batch of log.read({ where: { tenant, ...parsed }, from, until, batchMax: perBatch })) {
      const found: Delivery[] = []
      for (const stored of batch.events) found.push(...(await this.#deliveriesOf(stored)))
      const next = log.compare(batch.next, until) > 0 ? until : batch.next
      yield { deliveries: found, next }
      if (this.#context.retrying.stop.aborted || next === until) return
    }
  }

  async #deliveriesOf(stored: StoredEvent): Promise<readonly Delivery[]> {
    const fired = await this.#pace.match(this.#matcher, stored)
    const { id: replay } = this.#replay
    return deliveriesOf(stored, fired).map((delivery) => {
      return { ...delivery, id: replayedId(delivery.cursor, delivery, replay), replay }
    })
  }

  /** Waits until so many more may be made: by the replay's rate, and by what its destination has not taken yet. */
  async #room(count: number): Promise<void> {
    const { engine, retrying } = this.#context
    const { clock, stop } = retrying
    const lane = laneOf({ ...this.#replay, replay: this.#replay.id })
    const depth = () => persist(retrying, this.#what("looking at the queue"), () => engine.queue.depth(lane))
    while (!stop.aborted && (await depth()) > openMax) await sleep(clock, roomEveryMs, stop)
    const { ratePerSecond } = this.#replay
    if (ratePerSecond === undefined) return
    const now = clock.steady()
    if (now < this.#notBefore) await sleep(clock, this.#notBefore - now, stop)
    this.#notBefore = Math.max(now, this.#notBefore) + (1_000 * count) / ratePerSecond
  }

  async #note(): Promise<void> {
    await change(this.#replay, this.#context, { state: "running", progress: this.progress() })
  }

  #what(doing: string): string {
    return `${doing} for the replay ${this.#replay.tenant}/${this.#replay.id}`
  }
}

async function end(
  replay: Replay,
  context: ReplayContext,
  to: Pick<Replay, "state"> & Partial<Pick<Replay, "reason" | "progress">>,
): Promise<void> {
  // One that was paused meanwhile has not come to its end, and goes on from its place.
  if (!(await change(replay, context, to))) return
  const reader = replayReaderOf(replayKeys.of(replay))
  await persist(context.retrying, "forgetting a replay's place", () => context.engine.queue.forget(reader))
}

/** Notes how a replay is. Answers false where somebody has paused, cancelled or deleted it meanwhile. */
async function change(replay: Replay, { engine, retrying }: ReplayContext, to: Partial<Replay>): Promise<boolean> {
  const key = replayKeys.of(replay)
  const put = async () => {
    const item = await engine.catalog.get<Replay>(key, { newest: true })
    if (item === undefined || !["counting", "running"].includes(item.value.state)) return false
    await engine.catalog.put(key, { ...item.value, ...to, updatedAt: retrying.clock.now() }, item.revision)
    return true
  }
  return persist(retrying, "noting how a replay is", () =>
    changeAgainst(retrying.clock, "a replay", put, retrying.stop),
  )
}
