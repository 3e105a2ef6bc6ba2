import { collectDefaultMetrics, type Metric, Registry } from "prom-client"
import { type Figure, type Instrument, Reading, Spread, Tally } from "./instruments.ts"

/** What the publish path tells. Every call is a few additions. */
export interface PublishObserver {
  /** Events of one request that are durable now, the duplicates not among them, and the bytes of the request's body. */
  accepted(topic: string, events: number, bytes: number): void
  duplicates(topic: string, events: number): void
  /** Events, or whole requests, that were refused with this problem code. */
  refused(code: string, events: number): void
  /** From the request's last byte to the answer. */
  answered(durationMs: number): void
}

/** What the router tells. */
export interface RouteObserver {
  /** Events read from the log and the deliveries that came of them. */
  routed(events: number, deliveries: number): void
}

/** What the delivery workers tell. */
export interface DeliverObserver {
  attempted(destination: string, outcome: "delivered" | "failed", durationMs: number): void
  /** `dead:exhausted` and the like carry the reason. */
  settled(destination: string, verdict: "done" | "retry" | "dead"): void
  /** From the event's time in the log to the end of the attempt that delivered it. */
  arrived(destination: string, ageMs: number): void
}

export interface Metrics {
  readonly publish: PublishObserver
  readonly route: RouteObserver
  readonly deliver: DeliverObserver
  /** Adds figures that are read when the page is asked for: `redcar_engine{figure="bytes"}`. */
  watchEngine(read: () => Readonly<Record<string, number>>): void
  /** Adds a gauge that is read when the page is asked for; `labels` names what each figure's labels mean. */
  watch(
    options: { readonly name: string; readonly help: string; readonly labels: readonly string[] },
    read: () => readonly Figure[],
  ): void
  /** The page for Prometheus. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>
}

/** The hub's metrics and the process's own. One per hub: nothing is shared through prom-client's global registry. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const add = <T extends Instrument>(instrument: T): T => {
    // The registry asks a metric for its name and for get(), nothing else.
    registry.registerMetric(instrument as unknown as Metric)
    return instrument
  }
  const watch: Metrics["watch"] = (options, read) => void add(new Reading(options, read))
  return {
    publish: publishObserver(add),
    route: routeObserver(add),
    deliver: deliverObserver(add),
    watch,
    watchEngine: (read) => {
      const options = { name: "redcar_engine", help: "What the engine holds, by figure.", labels: ["figure"] }
      watch(options, () => Object.entries(read()).map(([figure, value]) => ({ value, labels: [figure] })))
    },
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  }
}

type Add = <T extends Instrument>(instrument: T) => T

function publishObserver(add: Add): PublishObserver {
  const events = add(counter("redcar_published_events_total", "Events made durable.", ["topic"]))
  const bytes = add(counter("redcar_published_bytes_total", "Bytes of requests that published.", ["topic"]))
  const repeated = add(counter("redcar_duplicate_events_total", "Events that were there already.", ["topic"]))
  const refused = add(counter("redcar_refused_events_total", "Events and requests refused.", ["code"]))
  const seconds = add(spread("redcar_publish_seconds", "From a request's last byte to its answer.", []))
  return {
    accepted: (topic, count, size) => {
      events.add(count, topic)
      bytes.add(size, topic)
    },
    duplicates: (topic, count) => repeated.add(count, topic),
    refused: (code, count) => refused.add(count, code),
    answered: (ms) => seconds.record(ms),
  }
}

function routeObserver(add: Add): RouteObserver {
  const events = add(counter("redcar_routed_events_total", "Events that were matched against the triggers.", []))
  const deliveries = add(counter("redcar_routed_deliveries_total", "Deliveries that came of them.", []))
  return {
    routed: (read, made) => {
      events.add(read)
      deliveries.add(made)
    },
  }
}

function deliverObserver(add: Add): DeliverObserver {
  const attempts = add(counter("redcar_attempts_total", "Attempts, by what came of them.", ["destination", "outcome"]))
  const verdicts = add(counter("redcar_verdicts_total", "What followed the attempts.", ["destination", "verdict"]))
  const seconds = add(spread("redcar_attempt_seconds", "How long attempts took.", ["destination"]))
  const age = add(spread("redcar_delivery_age_seconds", "From an event's storing to its delivery.", ["destination"]))
  return {
    attempted: (destination, outcome, ms) => {
      attempts.add(1, destination, outcome)
      seconds.record(ms, destination)
    },
    settled: (destination, verdict) => verdicts.add(1, destination, verdict),
    arrived: (destination, ms) => age.record(ms, destination),
  }
}

function counter(name: string, help: string, labels: readonly string[]): Tally {
  return new Tally({ name, help, labels })
}

function spread(name: string, help: string, labels: readonly string[]): Spread {
  return new Spread({ name, help, labels })
}
