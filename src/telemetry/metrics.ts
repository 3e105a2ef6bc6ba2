import { collectDefaultMetrics, type Metric, Registry } from "prom-client"
import type { Attempt, DeadLetter, Delivery } from "../core/delivery.ts"
import { type Figure, type Instrument, type InstrumentOptions, Reading, Spread, Tally } from "./instruments.ts"

/** Told by ingest: what became of the events of one request. */
export interface PublishMetrics {
  published(counts: {
    readonly accepted: number
    readonly duplicates: number
    readonly refused: number
    readonly bytes: number
  }): void
}

/** Told by the router: a batch of the log was routed; `storedAt` is its last event's. */
export interface RouteMetrics {
  routed(batch: { readonly events: number; readonly deliveries: number; readonly storedAt: number }): void
}

/** Told by the delivery workers. */
export interface DeliverMetrics {
  attempt(told: {
    readonly delivery: Delivery
    readonly attempt: Attempt
    readonly verdict: { readonly kind: string }
  }): void
  dead(letter: DeadLetter): void
  breaker(lane: string, state: "closed" | "open" | "half-open"): void
  leaseLost(lane: string): void
  recordLost(): void
}

/** The hub's metrics. The members of `publish`, `route` and `deliver` cost a few additions each. */
export interface Metrics {
  readonly publish: PublishMetrics
  readonly route: RouteMetrics
  readonly deliver: DeliverMetrics
  /** Adds figures that are read when the page is asked for: `redcar_engine{figure="bytes"}`. */
  watchFigures(name: string, help: string, read: () => Readonly<Record<string, number>>): void
  /** Adds a gauge that is read when the page is asked for; a figure's labels are in the order of `options.labels`. */
  watch(options: InstrumentOptions, read: () => readonly Figure[]): void
  /** The page for Prometheus. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>
}

/** The hub's metrics and the process's own. One per hub: nothing is shared through prom-client's global registry. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const add: Add = (instrument) => {
    // The registry asks a metric for its name and for get(), nothing else.
    registry.registerMetric(instrument as unknown as Metric)
    return instrument
  }
  const watch: Metrics["watch"] = (options, read) => void add(new Reading(options, read))
  return {
    publish: publishMetrics(add),
    route: routeMetrics(add),
    deliver: deliverMetrics(add),
    watch,
    watchFigures: (name, help, read) =>
      watch({ name, help, labels: ["figure"] }, () =>
        Object.entries(read()).map(([figure, value]) => ({ value, labels: [figure] })),
      ),
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  }
}

type Add = <T extends Instrument>(instrument: T) => T

function publishMetrics(add: Add): PublishMetrics {
  const events = add(
    counter("redcar_published_events_total", "Events that were published, by what became of them.", ["outcome"]),
  )
  const bytes = add(counter("redcar_published_bytes_total", "Bytes of the events that were stored.", []))
  return {
    published: ({ accepted, duplicates, refused, bytes: size }) => {
      if (accepted > 0) events.add(accepted, "accepted")
      if (duplicates > 0) events.add(duplicates, "duplicate")
      if (refused > 0) events.add(refused, "refused")
      if (size > 0) bytes.add(size)
    },
  }
}

function routeMetrics(add: Add): RouteMetrics {
  const events = add(counter("redcar_routed_events_total", "Events that were matched against the triggers.", []))
  const deliveries = add(counter("redcar_routed_deliveries_total", "Deliveries that came of them.", []))
  let lastStoredAt: number | undefined
  const options = {
    name: "redcar_routed_until_timestamp_seconds",
    help: "When the newest event that was routed was stored.",
    labels: [],
  }
  add(new Reading(options, () => (lastStoredAt === undefined ? [] : [{ value: lastStoredAt / 1_000, labels: [] }])))
  return {
    routed: (batch) => {
      events.add(batch.events)
      deliveries.add(batch.deliveries)
      lastStoredAt = batch.storedAt
    },
  }
}

function deliverMetrics(add: Add): DeliverMetrics {
  const where = ["tenant", "destination"]
  const attempts = add(
    counter("redcar_attempts_total", "Attempts, by what came of them.", [...where, "outcome", "verdict"]),
  )
  const seconds = add(new Spread({ name: "redcar_attempt_seconds", help: "How long attempts took.", labels: where }))
  const dead = add(counter("redcar_dead_letters_total", "Deliveries that were given up.", [...where, "reason"]))
  const breakers = add(
    counter("redcar_breaker_changes_total", "Changes of a destination's breaker.", ["lane", "state"]),
  )
  const lost = add(counter("redcar_leases_lost_total", "Attempts that ended after their lease.", ["lane"]))
  const untold = add(
    counter("redcar_records_lost_total", "Attempts and dead letters that the log was not told of.", []),
  )
  return {
    attempt: ({ delivery: { tenant, destination }, attempt, verdict }) => {
      attempts.add(1, tenant, destination, attempt.outcome.kind, verdict.kind)
      seconds.record(attempt.durationMs, tenant, destination)
    },
    dead: ({ tenant, destination, reason }) => dead.add(1, tenant, destination, reason),
    breaker: (lane, state) => breakers.add(1, lane, state),
    leaseLost: (lane) => lost.add(1, lane),
    recordLost: () => untold.add(1),
  }
}

function counter(name: string, help: string, labels: readonly string[]): Tally {
  return new Tally({ name, help, labels })
}
