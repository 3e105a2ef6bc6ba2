import type { Settings } from "./config/schema.ts"
import type { Clock } from "./core/clock.ts"
import type { Engine } from "./core/engine.ts"
import { engineFigures } from "./core/figures.ts"
import type { DeliveryWorker } from "./deliver/worker.ts"
import type { Router } from "./route/router.ts"
import { watchLanes } from "./telemetry/lanes.ts"
import type { Metrics } from "./telemetry/metrics.ts"
import { loopFigures, startWatchdog } from "./telemetry/watchdog.ts"

/** What a hub tells its operator of; undefined for what this process does not do. */
export interface Watched {
  readonly engine: Engine
  readonly router: Router | undefined
  readonly worker: DeliveryWorker | undefined
  readonly clock: Clock
}

/** Has the metrics tell what the engine and the loops hold. */
export function watchEngine(metrics: Metrics, { engine, router, worker, clock }: Watched): void {
  // Of each destination there is more below.
  const { deliveries_open, leases, ...help } = engineFigures
  metrics.watchFigures(help, () => engine.figures())
  if (router) metrics.watchFigures(routeFigures, () => ({ triggers_catching_up: router.catching() }))
  watchLanes(metrics, {
    backlog: () => engine.backlog(),
    work: () => worker?.lanes() ?? [],
    now: () => clock.now(),
  })
}

const routeFigures = { triggers_catching_up: "Triggers that read their past at the moment." } as const

/** Has the log and the metrics tell when the event loop is blocked; answers what ends that. */
export function watchLoop({ logLevel: level, logFormat: format }: Settings, metrics: Metrics): () => Promise<void> {
  const watchdog = startWatchdog({ level, format })
  metrics.watchFigures(loopFigures, () => watchdog.figures())
  return () => watchdog.stop()
}
