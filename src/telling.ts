import type { Settings } from "./config/schema.ts"
import { type Clock, sleep } from "./core/clock.ts"
import type { Engine } from "./core/engine.ts"
import { engineFigures } from "./core/figures.ts"
import type { ReadOptions } from "./core/log.ts"
import type { Logger } from "./core/logger.ts"
import { ByTheMinute } from "./core/minutes.ts"
import { type Condition, Conditions } from "./core/troubles.ts"
import type { DeliveryWorker } from "./deliver/worker.ts"
import type { PublishObserver } from "./ingest/publish.ts"
import type { RetentionLoop } from "./retention/retention.ts"
import { Lag, type LagSource } from "./route/lag.ts"
import type { CatchingUp, Router, RoutingPlace } from "./route/router.ts"
import { ClockWatch } from "./telemetry/clock-watch.ts"
import { watchLanes } from "./telemetry/lanes.ts"
import type { Metrics } from "./telemetry/metrics.ts"
import { loopFigures, startWatchdog } from "./telemetry/watchdog.ts"

/** What a hub tells its operator of; undefined for what this process does not do. */
export interface Watched {
  readonly engine: Engine
  readonly router: Router | undefined
  readonly retention?: RetentionLoop | undefined
  readonly worker: DeliveryWorker | undefined
  readonly clock: Clock
}

/** Has the metrics tell what the engine and the loops hold. */
export function watchEngine(metrics: Metrics, { engine, router, retention, worker, clock }: Watched): void {
  // Of each destination there is more below.
  const { deliveries_open, leases, ...help } = engineFigures
  metrics.watchFigures(help, () => engine.figures())
  if (router) metrics.watchFigures(routeFigures, () => routeFiguresOf(router))
  if (retention) metrics.watchFigures(retentionFigures, () => retentionFiguresOf(retention))
  watchLanes(metrics, {
    backlog: () => engine.backlog(),
    work: () => worker?.lanes() ?? [],
    now: () => clock.now(),
  })
}

const routeFigures = {
  triggers_catching_up: "Triggers that read their past at the moment.",
  triggers_resting: "Triggers that cannot be matched; redcar trigger list says which, and why.",
} as const

function routeFiguresOf(router: Router): Readonly<Record<keyof typeof routeFigures, number>> {
  return { triggers_catching_up: router.catching(), triggers_resting: router.resting().length }
}

const retentionFigures = {
  retention_held_events: "Events that topics keep beyond their limits because somebody is owed them.",
  retention_held_topics: "Topics that do.",
} as const

function retentionFiguresOf(retention: RetentionLoop): Readonly<Record<keyof typeof retentionFigures, number>> {
  const { events, topics } = retention.figures()
  return { retention_held_events: events, retention_held_topics: topics }
}

/** Has the log and the metrics tell when the event loop is blocked; answers what ends that. */
export function watchLoop({ logLevel: level, logFormat: format }: Settings, metrics: Metrics): () => Promise<void> {
  const watchdog = startWatchdog({ level, format })
  metrics.watchFigures(loopFigures, () => watchdog.figures())
  return () => watchdog.stop()
}

const lookMs = 2_000
/** Where the log ends is asked for every so many looks. */
const looksForEnd = 5
/** A reader of the log that is later than this is behind. */
const lagMsMax = 30_000
/** Triggers that are told of by name at a time. */
const namedMax = 10

/** What the log is told of. */
export interface Looked extends Pick<Watched, "engine" | "router" | "clock"> {
  readonly log: Logger
  /** Of the process; default: nothing. */
  readonly conditions?: () => readonly Condition[]
}

/** Tells the log what comes and goes, each time it begins and each time it is over. */
export function tellConditions({ engine, router, clock, log, conditions: more = () => [] }: Looked): {
  readonly done: Promise<void>
  stop(): Promise<void>
} {
  const stop = new AbortController()
  const conditions = new Conditions(log)
  const watch = new ClockWatch(clock, log)
  const followers = new Followers(engine, clock, stop.signal)
  const readers = new LateReaders()
  const look = async () => {
    for (let looks = 0; !stop.signal.aborted; looks++) {
      await sleep(clock, lookMs, stop.signal)
      if (stop.signal.aborted) return
      watch.look()
      const places = router?.places() ?? []
      if (looks % looksForEnd === 0) await followers.look(places)
      conditions.see([...engine.troubles(), ...followers.behind(), ...readers.look(places, clock.steady()), ...more()])
    }
  }
  const done = look()
  return {
    done,
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}

/** How far the router is, partition by partition. */
class Followers {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #stop: AbortSignal
  readonly #lags = new Map<number, Lag>()

  constructor(engine: Engine, clock: Clock, stop: AbortSignal) {
    this.#engine = engine
    this.#clock = clock
    this.#stop = stop
  }

  /** Where the log does not say how far it goes, what was known last holds. */
  async look(places: readonly RoutingPlace[]): Promise<void> {
    const { log } = this.#engine
    const partitions = new Set(places.map(({ partition }) => partition))
    for (const partition of this.#lags.keys()) if (!partitions.has(partition)) this.#lags.delete(partition)
    for (const { partition, here } of places) {
      const end = await log.head(partition).catch(() => undefined)
      if (end === undefined) continue
      const lag = this.#lags.get(partition) ?? new Lag(lagMsMax, this.#sourceOf(partition))
      this.#lags.set(partition, lag)
      await lag.look(here, end, this.#clock.steady())
    }
  }

  #sourceOf(partition: number): LagSource {
    const { log } = this.#engine
    return {
      compare: (a, b) => log.compare(a, b),
      holdsEvent: (from, until) => this.#holdsEvent({ partition, from, until }).catch(() => undefined),
    }
  }

  async #holdsEvent(stretch: ReadOptions): Promise<boolean | undefined> {
    for await (const { events } of this.#engine.log.read({ ...stretch, batchMax: 1 })) {
      if (events.length > 0) return true
      if (this.#stop.aborted) return undefined
    }
    return false
  }

  behind(): readonly Condition[] {
    const seconds = lagMsMax / 1_000
    return [...this.#lags].flatMap(([partition, { isBehind }]) => {
      if (!isBehind) return []
      const which = this.#engine.log.partitions === 1 ? "routing" : `routing of partition ${partition}`
      return [{ line: `${which} is more than ${seconds} s behind what is published`, over: `${which} has caught up` }]
    })
  }
}

/** The triggers that have read their past for long: so many of them, each until it reads no more. */
class LateReaders {
  #told: ReadonlySet<string> = new Set()

  look(places: readonly RoutingPlace[], now: number): readonly Condition[] {
    const late = places.flatMap(({ catching }) => catching.filter(({ since }) => now - since > lagMsMax))
    const isNew = (each: CatchingUp) => Number(!this.#told.has(nameOf(each)))
    late.sort((a, b) => isNew(a) - isNew(b) || a.since - b.since || (nameOf(a) < nameOf(b) ? -1 : 1))
    const told = late.slice(0, namedMax)
    this.#told = new Set(told.map(nameOf))
    return told.map((each) => {
      const name = nameOf(each)
      return {
        line: `${name} is reading its past, for more than ${lagMsMax / 1_000} s`,
        get over() {
          return each.stopped ? `${name} reads its past no more, and has not caught up` : `${name} has caught up`
        },
      }
    })
  }
}

function nameOf({ tenant, trigger }: CatchingUp): string {
  return `trigger ${tenant}/${trigger}`
}

/** Tells the log of requests that are answered 503 because there is too much to do: the first at once, then their number. */
export class Overloads {
  readonly #minutes: ByTheMinute
  readonly #log: Logger

  constructor(clock: Clock, log: Logger) {
    this.#minutes = new ByTheMinute(clock)
    this.#log = log
  }

  /** Counts what publishing refuses, beside what `observe` is told. */
  publishing(observe?: PublishObserver): PublishObserver {
    return {
      ...observe,
      published: (counts) => {
        if (counts.code === "overloaded") this.met("publishing")
        observe?.published(counts)
      },
    }
  }

  /** `detail`: why, where that is known. */
  met(what: string, detail?: string): void {
    const fields = { ...(detail !== undefined && { detail }) }
    this.#minutes.met(what, {
      first: () => this.#log.warn(fields, `overload: ${what} is answered 503`),
      more: (count) => this.#log.warn({ count }, `overload: ${what} was answered 503 so many times more`),
    })
  }

  close(): void {
    this.#minutes.close()
  }
}
