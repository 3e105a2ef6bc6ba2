import type { Change } from "../core/catalog.ts"
import { triggerKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { AssignmentLostError, ClosedError } from "../core/errors.ts"
import type { Batch } from "../core/log.ts"
import type { Logger } from "../core/logger.ts"
import type { Fence } from "../core/positions.ts"
import type { Trigger } from "../core/resources.ts"
import { mainReaderOf } from "../core/routing.ts"
import { Serial } from "../core/serial.ts"
import { Troubles } from "../core/troubles.ts"
import { createMatcher, type Matcher } from "../match/matcher.ts"
import { Asides, type AsidesOptions } from "./asides.ts"
import { LogReader, type LogReaderOptions, type ReaderLimits } from "./log-reader.ts"
import { isRetried, persist, type RetryContext, rereadAfterMs, StoppedError } from "./persist.ts"
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

export interface RouterLimits extends ReaderLimits {
  /** Deliveries enqueued at once, unless one event alone has more: position and deliveries belong to one write. */
  readonly enqueueMax: number
  /** As `enqueueMax`, where several tenants have triggers: what one enqueues waits behind the other's. */
  readonly sharedEnqueueMax: number
  /** Triggers that read their past at a time. */
  readonly catchUpReadersMax: number
  /** Events of a batch of those, and batches until another's turn comes. */
  readonly catchUpBatchMax: number
  readonly catchUpBatchesMax: number
}

const routerLimits: RouterLimits = {
  enqueueMax: 4_000,
  sharedEnqueueMax: 1_000,
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
  readonly #turns = new Serial()
  readonly #readers: TriggerReaders
  readonly #asides: Asides
  readonly #partition: number
  #reader: LogReader
  #failure: { readonly error: unknown } | undefined

  constructor(options: RouterOptions) {
    const { engine, clock, log, partition = 0, fence, observe } = options
    this.#options = options
    this.#partition = partition
    this.#limits = { ...routerLimits, ...options.limits }
    const { catchUpReadersMax, catchUpBatchMax, catchUpBatchesMax } = this.#limits
    this.#matcher = options.matcher ?? createMatcher()
    this.#retrying = { clock, log, troubles: new Troubles(log), stop: this.#stop.signal }
    this.#reader = this.#mainReader(undefined)
    const shared = { engine, partition, ...(fence && { fence }), retrying: this.#retrying }
    const failed = (error: unknown) => this.#fail(error)
    const of = (tenant: string) => this.#asides.of(tenant)?.reader ?? this.#reader
    this.#asides = new Asides({ ...shared, ...this.#aside(), failed })
    this.#readers = new TriggerReaders({
      ...shared,
      ...(observe && { observe }),
      matcher: this.#matcher,
      inTurn: (tenant, work) => this.#asides.inTurn(tenant, work),
      here: (tenant) => of(tenant).here,
      saveHere: (tenant) => of(tenant).save(),
      readersMax: catchUpReadersMax,
      limits: { batchMax: catchUpBatchMax, batchesMax: catchUpBatchesMax },
      failed,
    })
  }

  #mainReader(saved: Cursor | undefined): LogReader {
    const options = {
      name: mainReaderOf(this.#partition),
      enqueueMax: () => this.#enqueueMax,
      serves: (tenant: string) => this.#asides.of(tenant) === undefined,
    }
    return this.#readerOf(options, this.#turns, saved)
  }

  #aside(): Pick<AsidesOptions, "turns" | "main" | "reader" | "moved" | "routed"> {
    return {
      turns: this.#turns,
      main: () => this.#reader,
      reader: ({ name, tenant, turns }, saved) => {
        const enqueueMax = () => this.#limits.sharedEnqueueMax
        return this.#readerOf({ name, enqueueMax, serves: (served) => served === tenant }, turns, saved)
      },
      moved: () => this.#readers.moved(),
      routed: (events, deliveries) => this.#options.observe?.caughtUp?.({ events, deliveries }),
    }
  }

  /** It starts where the main reader is, unless it was saved. */
  #readerOf(
    options: Pick<LogReaderOptions, "name" | "enqueueMax" | "serves">,
    turns: Serial,
    saved: Cursor | undefined,
  ): LogReader {
    const { engine, fence } = this.#options
    const from = this.#reader?.here ?? engine.log.oldest(this.#partition)
    const more: LogReaderOptions = {
      ...options,
      engine,
      ...(fence && { fence }),
      retrying: this.#retrying,
      limits: this.#limits,
      matcher: this.#matcher,
      admits: (trigger, cursor) => this.#readers.admits(trigger, cursor),
      whenStill: (save) => void turns.run(save).catch((error) => this.#fail(error)),
    }
    return new LogReader(more, saved, from)
  }

  /** Whether several tenants have triggers. */
  get #isShared(): boolean {
    return this.#matcher.tenants > 1
  }

  get #enqueueMax(): number {
    return this.#isShared ? this.#limits.sharedEnqueueMax : this.#limits.enqueueMax
  }

  get catching(): number {
    return this.#readers.catching
  }

  get place(): RoutingPlace {
    return { partition: this.#partition, here: this.#reader.here, catching: this.#readers.catchingUp() }
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
      if (!this.#stop.signal.aborted) this.#asides.start()
      await this.#read().catch((error) => this.#fail(error))
      await watching
    } catch (error) {
      this.#fail(error)
    }
    await this.#readers.stop()
    await this.#asides.stop()
    this.#reader.stop()
    await this.#turns.idle()
    if (this.#failure) throw this.#failure.error
    // What is not saved is read again, and found to be routed.
    await this.#reader.trySave().catch((error) => (isRetried(error) ? undefined : this.#fail(error)))
  }

  /** Goes on where the one before has come to, who can do nothing any more. */
  async #takeOver(): Promise<void> {
    const { engine, fence } = this.#options
    const name = mainReaderOf(this.#partition)
    if (fence) await persist(this.#retrying, "taking over routing", () => engine.queue.claim(fence))
    const saved = await persist(this.#retrying, "finding the router's position", () => engine.queue.position(name))
    this.#reader = this.#mainReader(saved)
    await this.#asides.load()
  }

  async #watch(ready: () => void): Promise<void> {
    for await (const change of this.#options.engine.catalog.watch<Trigger>(triggerKeys.prefix, this.#stop.signal)) {
      await this.#apply(change)
      if (change.kind === "current") ready()
    }
  }

  async #apply(change: Change<Trigger>): Promise<void> {
    switch (change.kind) {
      case "put": {
        const { value } = change.item
        return this.#asides.inTurn(value.tenant, () => this.#readers.put(value))
      }
      case "delete": {
        const path = triggerKeys.pathIn(change.key)
        return this.#asides.inTurn(path.slice(0, path.indexOf("/")), () => this.#readers.remove(path))
      }
      case "current":
        return this.#turns.run(() => this.#readers.loaded())
    }
  }

  async #read(): Promise<void> {
    const { engine, clock } = this.#options
    const { troubles } = this.#retrying
    const follow = this.#stop.signal
    while (!follow.aborted) {
      try {
        for await (const batch of engine.log.read({ partition: this.#partition, from: this.#reader.here, follow })) {
          troubles.over(reading)
          await this.#turns.run(() => this.#route(batch))
        }
      } catch (error) {
        if (!isRetried(error)) throw error
        troubles.met(reading, "the log cannot be read; routing waits", { err: error })
        await sleep(clock, rereadAfterMs, follow)
      }
    }
  }

  async #route({ events, next }: Batch): Promise<void> {
    let count = 0
    for (let start = 0; start < events.length; ) {
      const { deliveries, end } = await this.#reader.gather(events, start)
      await this.#reader.moveTo(end === events.length ? next : events[end - 1]!.cursor, deliveries)
      count += deliveries.length
      start = end
      if (this.#isShared && deliveries.length >= this.#limits.sharedEnqueueMax) await this.#asides.divert(deliveries)
    }
    await this.#reader.moveTo(next, [])
    this.#readers.moved()
    await this.#reader.saveLazily(events.length)
    this.#tell(events, count)
  }

  #tell(events: Batch["events"], deliveries: number): void {
    const { observe, clock } = this.#options
    const [first, last] = [events[0], events.at(-1)]
    if (observe?.routed === undefined || first === undefined || last === undefined) return
    const lagMs = Math.max(0, clock.now() - first.storedAt)
    observe.routed({ events: events.length, deliveries, storedAt: last.storedAt, lagMs })
  }

  #fail(error: unknown): void {
    this.#stop.abort()
    if (error instanceof StoppedError || error instanceof AssignmentLostError) return
    if (error instanceof ClosedError || this.#failure) return
    this.#options.log.error({ err: error }, "the router stops: this is a bug")
    this.#failure = { error }
  }
}
