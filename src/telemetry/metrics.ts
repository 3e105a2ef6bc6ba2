import { collectDefaultMetrics, type Metric, Registry } from "prom-client"
import { type Attempt, type DeadLetter, type Delivery, partsOfLane } from "../core/delivery.ts"
import { type Figure, type Instrument, type InstrumentOptions, longMs, Reading, Spread, Tally } from "./instruments.ts"

/** Told by ingest: what became of the events of one request. */
export interface PublishMetrics {
  published(counts: {
    readonly accepted: number
    readonly duplicates: number
    readonly refused: number
    /** Why, as the answer says it. */
    readonly code?: string
    readonly bytes: number
  }): void
  /** A request was answered, its events being durable, so long after its head had come. */
  answered(ms: number): void
}

/** Told by the router: a part of the log was routed. `storedAt` is its last event's, `lagMs` how long ago its first one was stored. */
export interface RouteMetrics {
  routed(batch: {
    readonly events: number
    readonly deliveries: number
    readonly storedAt: number
    readonly lagMs: number
  }): void
  /** A trigger's past was read on by so much. */
  caughtUp(batch: { readonly events: number; readonly deliveries: number }): void
}

/** Told by the delivery workers. */
export interface DeliverMetrics {
  attempt(told: {
    readonly delivery: Delivery
    readonly attempt: Attempt
    readonly verdict: { readonly kind: string }
    /** Of a first attempt: how long after its event was stored it began; undefined for an event that is older than its trigger. */
    readonly waitedMs?: number | undefined
  }): void
  dead(letter: DeadLetter): void
  breaker(lane: string, state: "closed" | "open" | "half-open"): void
  leaseLost(lane: string): void
  recordLost(): void
}

/** What each figure is, by its name on the page without `redcar_`. */
export type FigureHelp<Name extends string> = Readonly<Record<Name, string>>

/** The hub's metrics. The members of `publish`, `route` and `deliver` cost a few additions each. */
export interface Metrics {
  readonly publish: PublishMetrics
  readonly route: RouteMetrics
  readonly deliver: DeliverMetrics
  /**
   * Adds figures that are read together, when the page is asked for: those of `help` that are there are `redcar_<name>`,
   * counters where the name ends in `_total`, else gauges.
   */
  watchFigures<Name extends string>(
    help: FigureHelp<Name>,
    read: () => Readonly<Partial<Record<NoInfer<Name>, number>>>,
  ): void
  /** Adds gauges that are read together; a figure's labels are in the order of `options.labels`. */
  watch(options: readonly InstrumentOptions[], read: () => readonly (readonly Figure[])[]): void
  /** The page for Prometheus. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>
}

/** What is told of a hub at all. */
export interface Build {
  readonly version: string
  readonly engine: string
}

/** The hub's metrics and the process's own. One per hub: nothing is shared through prom-client's global registry. */
export function createMetrics(build: Build): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const add: Add = (instrument) => {
    // The registry asks a metric for its name and for get(), nothing else.
    registry.registerMetric(instrument as unknown as Metric)
    return instrument
  }
  add(new Reading(buildInfo, () => [{ value: 1, labels: [build.version, build.engine, process.versions.node] }]))
  const groups: (() => void)[] = []
  return {
    publish: publishMetrics(add),
    route: routeMetrics(add),
    deliver: deliverMetrics(add),
    watch(options, read) {
      let figures: readonly (readonly Figure[])[] = []
      groups.push(() => {
        figures = read()
      })
      for (const [i, one] of options.entries()) add(new Reading(one, () => figures[i] ?? []))
    },
    watchFigures: (help, read) => void groups.push(figureGroup(add, help, read)),
    async render() {
      for (const refresh of groups) refresh()
      return { contentType: registry.contentType, body: await registry.metrics() }
    },
  }
}

const buildInfo = {
  name: "redcar_build_info",
  help: "What runs here; its value is 1.",
  labels: ["version", "engine", "node"],
}

type Add = <T extends Instrument>(instrument: T) => T

/** Reads all figures at once; a gauge is there from when its figure is. */
function figureGroup<Name extends string>(
  add: Add,
  help: FigureHelp<Name>,
  read: () => Readonly<Partial<Record<Name, number>>>,
): () => void {
  let figures = read()
  const known = new Set<Name>()
  return () => {
    figures = read()
    for (const name of Object.keys(help) as Name[]) {
      if (known.has(name) || figures[name] === undefined) continue
      known.add(name)
      const options = { name: `redcar_${name}`, help: help[name], labels: [] }
      add(new Reading(options, () => (figures[name] === undefined ? [] : [{ value: figures[name], labels: [] }])))
    }
  }
}

function publishMetrics(add: Add): PublishMetrics {
  const events = add(
    counter("redcar_published_events_total", "Events that were taken: stored now, or known before.", ["outcome"]),
  )
  const refusals = add(counter("redcar_refused_events_total", "Events that were refused, by why.", ["code"]))
  const bytes = add(counter("redcar_published_bytes_total", "Bytes of the events that were stored.", []))
  const seconds = add(
    new Spread({
      name: "redcar_publish_duration_seconds",
      help: "From a publish's head to its answer, where its events are durable; NDJSON apart.",
      labels: [],
    }),
  )
  for (const code of ["invalid-argument", "overloaded", "storage-full"]) refusals.add(0, code)
  for (const outcome of ["accepted", "duplicate"]) events.add(0, outcome)
  return {
    published: ({ accepted, duplicates, refused, code = "internal", bytes: size }) => {
      if (accepted > 0) events.add(accepted, "accepted")
      if (duplicates > 0) events.add(duplicates, "duplicate")
      if (refused > 0) refusals.add(refused, code)
      if (size > 0) bytes.add(size)
    },
    answered: seconds.recorder(),
  }
}

/** Who reads the log for triggers: all of it as it comes, or the past for one trigger. */
const [router, catchUp] = ["router", "catch-up"] as const

function routeMetrics(add: Add): RouteMetrics {
  const labels = ["reader"]
  const events = add(counter("redcar_routed_events_total", "Events that were matched against triggers.", labels))
  const deliveries = add(counter("redcar_routed_deliveries_total", "Deliveries that came of them.", labels))
  const lag = add(
    new Spread(
      {
        name: "redcar_route_lag_seconds",
        help: "From an event's being stored to its being routed: of each batch the oldest.",
        labels: [],
      },
      longMs,
    ),
  )
  for (const reader of [router, catchUp]) {
    events.add(0, reader)
    deliveries.add(0, reader)
  }
  let lastStoredAt: number | undefined
  const options = {
    name: "redcar_routed_until_timestamp_seconds",
    help: "When the newest event that was routed was stored.",
    labels: [],
  }
  add(new Reading(options, () => (lastStoredAt === undefined ? [] : [{ value: lastStoredAt / 1_000, labels: [] }])))
  return {
    routed: (batch) => {
      events.add(batch.events, router)
      deliveries.add(batch.deliveries, router)
      lag.record(batch.lagMs)
      lastStoredAt = batch.storedAt
    },
    caughtUp: (batch) => {
      events.add(batch.events, catchUp)
      deliveries.add(batch.deliveries, catchUp)
    },
  }
}

/** The labels of what is told of a lane. */
const where = ["tenant", "destination"]

function deliverMetrics(add: Add): DeliverMetrics {
  const attempts = add(
    counter("redcar_attempts_total", "Attempts, by what came of them.", [...where, "outcome", "verdict"]),
  )
  const spread = (name: string, help: string, boundsMs?: readonly number[]) =>
    add(new Spread({ name, help, labels: where }, boundsMs))
  const seconds = spread("redcar_attempt_duration_seconds", "How long attempts took.")
  const waited = spread(
    "redcar_first_attempt_lag_seconds",
    "From an event's being stored to its first attempt; events that are older than their trigger apart.",
    longMs,
  )
  const dead = add(counter("redcar_dead_letters_total", "Deliveries that were given up.", [...where, "reason"]))
  const breakers = add(
    counter("redcar_breaker_changes_total", "Changes of a destination's breaker.", [...where, "state"]),
  )
  const lost = add(counter("redcar_leases_lost_total", "Attempts that ended after their lease.", where))
  const untold = add(
    counter("redcar_records_lost_total", "Attempts and dead letters that the log was not told of.", []),
  )
  return {
    attempt: ({ delivery: { tenant, destination }, attempt, verdict, waitedMs }) => {
      attempts.add(1, tenant, destination, attempt.outcome.kind, verdict.kind)
      seconds.record(attempt.durationMs, tenant, destination)
      if (waitedMs !== undefined) waited.record(waitedMs, tenant, destination)
    },
    dead: ({ tenant, destination, reason }) => dead.add(1, tenant, destination, reason),
    breaker: (lane, state) => breakers.add(1, ...partsOf(lane), state),
    leaseLost: (lane) => lost.add(1, ...partsOf(lane)),
    recordLost: () => untold.add(1),
  }
}

function partsOf(lane: string): readonly [tenant: string, destination: string] {
  const { tenant, destination } = partsOfLane(lane)
  return [tenant, destination]
}

function counter(name: string, help: string, labels: readonly string[]): Tally {
  return new Tally({ name, help, labels })
}
