import type { Change } from "../core/catalog.ts"
import { triggerKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import { isDelayed, releaseOf } from "../core/delayed.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { AssignmentLostError, ClosedError } from "../core/errors.ts"
import type { Batch } from "../core/log.ts"
import type { Logger } from "../core/logger.ts"
import type { Fence, Position } from "../core/positions.ts"
import type { Trigger } from "../core/resources.ts"
import { mainReaderOf } from "../core/routing.ts"
import { Serial } from "../core/serial.ts"
import { Troubles } from "../core/troubles.ts"
import { createMatcher, type Matcher } from "../match/matcher.ts"
import { Pace } from "./pace.ts"
import { isRetried, persist, type RetryContext, rereadAfterMs, StoppedError } from "./persist.ts"
import { deliveriesOf } from "./record.ts"
import type { Resting } from "./resting.ts"
import { TriggerReaders } from "./trigger-readers.ts"

export interface RouterOptions {
  readonly engine: Engine
  /** What partition of the log; default: the first. */
  readonly partition?: number
  /** Which holding of that partition's routing this is; none where there are no others. */
  readonly fence?: Fence
  readonly clock: Clock
  readonly log: Logger
  /** Empty at the start; default: one of our own. */
  readonly matcher?: Matcher
  readonly observe?: RouterObserver
  readonly limits?: Partial<RouterLimits>
}

/** What telemetry may want to know; each is called from the loop and must return at once. */
export interface RouterObserver {
  /** A batch of the log was routed; `storedAt` is its last event's, `lagMs` how long ago its first one was stored. */
  routed?(batch: {
    readonly events: number
    readonly deliveries: number
    readonly storedAt: number
    readonly lagMs: number
  }): void
  /** A trigger's past was read on by so much. */
  caughtUp?(batch: { readonly events: number; readonly deliveries: number }): void
}

export interface Router {
  /** Rejects when the router had to stop because of a bug; resolves when it was told to. */
  readonly done: Promise<void>
  /** Triggers that read their past at the moment. */
  catching(): number
  /** How far it has come, in each partition that it routes. */
  places(): readonly RoutingPlace[]
  /** Triggers that cannot be matched. */
  resting(): readonly Resting[]
  /** Finishes the batch in hand, saves the position. */
  stop(): Promise<void>
}

/** How far the routing of a partition has come. */
export interface RoutingPlace {
  readonly partition: number
  /** Everything up to here is routed. */
  readonly here: Cursor
  /** The triggers that read their past, and since when, by the clock's steady time. */
  readonly catching: readonly CatchingUp[]
}

export interface CatchingUp {
  readonly tenant: string
  readonly trigger: string
  readonly since: number
  /** Whether it ended before it had caught up: it was paused, changed or deleted, or is another process's. Changes. */
  readonly stopped: boolean
}

export interface RouterLimits {
  /** Deliveries enqueued at once, unless one event alone has more: position and deliveries belong to one write. */
  readonly enqueueMax: number
  /** Without matches the position is saved after so much time, or so many events. */
  readonly saveAfterMs: number
  readonly saveAfterEvents: number
  /** Triggers that read their past at a time. */
  readonly catchUpReadersMax: number
  /** Events of a batch of those, and batches until another's turn comes. */
  readonly catchUpBatchMax: number
  readonly catchUpBatchesMax: number
}

const routerLimits: RouterLimits = {
  enqueueMax: 4_000,
  saveAfterMs: 1_000,
  saveAfterEvents: 10_000,
  catchUpReadersMax: 4,
  catchUpBatchMax: 1_000,
  catchUpBatchesMax: 8,
}

const reading = "reading the log to route it"

/** Reads the log and owes each event to each trigger that it fires: once, whatever crashes in between. */
export function startRouter(options: RouterOptions): Router {
  const router = new MainReader(options)
  const done = router.run()
  return {
    done,
    catching: () => router.catching,
    places: () => [router.place],
    resting: () => router.resting,
    async stop() {
      router.stop()
      await done.catch(() => {})
    },
  }
}

class MainReader {
  readonly #options: RouterOptions
  readonly #limits: RouterLimits
  readonly #matcher: Matcher
  readonly #stop = new AbortController()
  readonly #retrying: RetryContext
  readonly #pace: Pace
  readonly #serial = new Serial()
  readonly #readers: TriggerReaders
  readonly #partition: number
  /** Everything up to here is routed. */
  #here: Cursor
  /** What is saved of that. */
  #saved: Cursor | undefined
  #savedAt = 0
  #eventsSinceSaved = 0
  #cancelSave: (() => void) | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(options: RouterOptions) {
    const { engine, clock, log, partition = 0, fence, observe } = options
    this.#options = options
    this.#partition = partition
    this.#limits = { ...routerLimits, ...options.limits }
    const { catchUpReadersMax, catchUpBatchMax, catchUpBatchesMax } = this.#limits
    this.#here = engine.log.oldest(partition)
    this.#matcher = options.matcher ?? createMatcher()
    this.#retrying = { clock, log, troubles: new Troubles(log), stop: this.#stop.signal }
    this.#pace = new Pace(this.#retrying)
    this.#readers = new TriggerReaders({
      engine,
      partition,
      ...(fence && { fence }),
      ...(observe && { observe }),
      matcher: this.#matcher,
      retrying: this.#retrying,
      serial: this.#serial,
      here: () => this.#here,
      saveHere: () => persist(this.#retrying, "saving the router's position", () => this.#save()),
      readersMax: catchUpReadersMax,
      limits: { batchMax: catchUpBatchMax, batchesMax: catchUpBatchesMax },
      failed: (error) => this.#fail(error),
    })
  }

  get catching(): number {
    return this.#readers.catching
  }

  get place(): RoutingPlace {
    return { partition: this.#partition, here: this.#here, catching: this.#readers.catchingUp() }
  }

  get resting(): readonly Resting[] {
    return this.#readers.resting
  }

  stop(): void {
    this.#stop.abort()
  }

  /** The loops of a process: they end together, and their first failure is the answer. */
  async run(): Promise<void> {
    try {
      await this.#takeOver()
      await this.#readers.load()
      const ready = Promise.withResolvers<void>()
      const watching = this.#watch(ready.resolve).catch((error) => this.#fail(error))
      await Promise.race([ready.promise, watching])
      await this.#read().catch((error) => this.#fail(error))
      await watching
    } catch (error) {
      this.#fail(error)
    }
    await this.#readers.stop()
    this.#cancelSave?.()
    await this.#serial.idle()
    if (this.#failure) throw this.#failure.error
    // What is not saved is read again, and found to be routed.
    await this.#save().catch((error) => (isRetried(error) ? undefined : this.#fail(error)))
  }

  /** Goes on where the one before has come to, who can do nothing any more. */
  async #takeOver(): Promise<void> {
    const { engine, fence } = this.#options
    const reader = mainReaderOf(this.#partition)
    if (fence) await persist(this.#retrying, "taking over routing", () => engine.queue.claim(fence))
    this.#saved = await persist(this.#retrying, "finding the router's position", () => engine.queue.position(reader))
    this.#here = this.#saved ?? this.#here
  }

  async #watch(ready: () => void): Promise<void> {
    for await (const change of this.#options.engine.catalog.watch<Trigger>(triggerKeys.prefix, this.#stop.signal)) {
      await this.#serial.run(() => this.#apply(change))
      if (change.kind === "current") ready()
    }
  }

  async #apply(change: Change<Trigger>): Promise<void> {
    switch (change.kind) {
      case "put":
        return this.#readers.put(change.item.value)
      case "delete":
        return this.#readers.remove(triggerKeys.pathIn(change.key))
      case "current":
        return this.#readers.loaded()
    }
  }

  async #read(): Promise<void> {
    const { engine, clock } = this.#options
    const { troubles } = this.#retrying
    const stop = this.#stop.signal
    this.#savedAt = clock.steady()
    while (!stop.aborted) {
      try {
        for await (const batch of engine.log.read({ partition: this.#partition, from: this.#here, follow: stop })) {
          troubles.over(reading)
          await this.#serial.run(() => this.#route(batch))
        }
      } catch (error) {
        if (!isRetried(error)) throw error
        troubles.met(reading, "the log cannot be read; routing waits", { err: error })
        await sleep(clock, rereadAfterMs, stop)
      }
    }
  }

  async #route(batch: Batch): Promise<void> {
    let deliveries: Delivery[] = []
    let count = 0
    for (const stored of batch.events) {
      if (isDelayed(stored.address)) {
        const release = releaseOf(stored)
        if (release !== undefined) deliveries.push(release)
        if (deliveries.length < this.#limits.enqueueMax) continue
        count += deliveries.length
        await this.#enqueue(deliveries, stored.cursor)
        deliveries = []
        continue
      }
      const matched = this.#pace.match(this.#matcher, stored)
      const all = matched instanceof Promise ? await matched : matched
      const fired = all.filter((trigger) => this.#readers.admits(trigger, stored.cursor))
      for (const delivery of deliveriesOf(stored, fired)) deliveries.push(delivery)
      if (deliveries.length < this.#limits.enqueueMax) continue
      count += deliveries.length
      await this.#enqueue(deliveries, stored.cursor)
      deliveries = []
    }
    if (deliveries.length > 0) await this.#enqueue(deliveries, batch.next)
    this.#here = batch.next
    this.#readers.moved(batch.next)
    await this.#saveLazily(batch.events.length)
    this.#tell(batch.events, count + deliveries.length)
  }

  #tell(events: Batch["events"], deliveries: number): void {
    const { observe, clock } = this.#options
    const [first, last] = [events[0], events.at(-1)]
    if (observe?.routed === undefined || first === undefined || last === undefined) return
    const lagMs = Math.max(0, clock.now() - first.storedAt)
    observe.routed({ events: events.length, deliveries, storedAt: last.storedAt, lagMs })
  }

  async #enqueue(deliveries: readonly Delivery[], cursor: Cursor): Promise<void> {
    const position = this.#position(cursor)
    await persist(this.#retrying, "routing", () => this.#options.engine.queue.enqueue(deliveries, position))
    this.#here = cursor
    this.#wasSaved(cursor)
  }

  async #saveLazily(events: number): Promise<void> {
    if (this.#here === this.#saved) return
    this.#eventsSinceSaved += events
    const { saveAfterMs, saveAfterEvents } = this.#limits
    const due = this.#options.clock.steady() - this.#savedAt >= saveAfterMs || this.#eventsSinceSaved >= saveAfterEvents
    if (due) await persist(this.#retrying, "saving the router's position", () => this.#save())
    else this.#saveLater()
  }

  /** When nothing more comes, the position is saved all the same: it tells others what has been judged. */
  #saveLater(): void {
    this.#cancelSave ??= this.#options.clock.after(this.#limits.saveAfterMs, () => {
      this.#cancelSave = undefined
      const save = () => persist(this.#retrying, "saving the router's position", () => this.#save())
      this.#serial.run(save).catch((error) => this.#fail(error))
    })
  }

  async #save(): Promise<void> {
    if (this.#here === this.#saved) return
    await this.#options.engine.queue.enqueue([], this.#position(this.#here))
    this.#wasSaved(this.#here)
  }

  #position(cursor: Cursor): Position {
    const { fence } = this.#options
    return { reader: mainReaderOf(this.#partition), cursor, ...(fence && { fence }) }
  }

  #wasSaved(cursor: Cursor): void {
    this.#saved = cursor
    this.#savedAt = this.#options.clock.steady()
    this.#eventsSinceSaved = 0
  }

  #fail(error: unknown): void {
    this.#stop.abort()
    if (error instanceof StoppedError || error instanceof AssignmentLostError) return
    if (error instanceof ClosedError || this.#failure) return
    this.#options.log.error({ err: error }, "the router stops: this is a bug")
    this.#failure = { error }
  }
}
