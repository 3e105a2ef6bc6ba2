import { join } from "node:path"
import { natsServers } from "./config/relations.ts"
import type { Settings } from "./config/schema.ts"
import type { Engine } from "./core/engine.ts"
import type { Logger } from "./core/logger.ts"
import { type EmbeddedOptions, openEmbeddedDirectory, type RebuildStep } from "./engines/embedded/engine.ts"
import { openJetStreamEngine } from "./engines/jetstream/engine.ts"
import { systemClock as clock } from "./telemetry/clock.ts"
import { tellTenths } from "./telemetry/tenths.ts"

/** What is told of an engine that is being opened; what either throws is why it is not. */
export interface OpeningHooks {
  /** Told what could be lost, before anything is made or claimed. */
  accept?(warnings: readonly string[]): void
  /** Told how far it is in making its state anew. */
  onRebuild?(step: RebuildStep): void
}

/** Opens what the settings name. */
export function openEngine(settings: Settings, log: Logger, hooks: OpeningHooks = {}): Promise<Engine> {
  const { data, limits, nats, roles, hold } = settings
  const servers = natsServers(settings.engine)
  if (servers !== undefined) {
    return openJetStreamEngine({
      servers,
      prefix: nats.prefix,
      partitions: nats.partitions,
      replicas: nats.replicas,
      dedupeWindowMsMax: nats.dedupeWindowMs,
      ...(nats.credentials !== "" && { credentialsFile: nats.credentials }),
      ...(nats.ca !== "" && { caFile: nats.ca }),
      ...(nats.issuer !== "" && { issuerFile: nats.issuer }),
      ...(nats.monitor !== "" && { monitor: nats.monitor }),
      directory: join(data, "nats"),
      serveQueue: roles.includes("deliver"),
      yields: hold,
      pendingBytesMax: limits.pendingBytesMax,
      eventBytesMax: limits.eventBytesMax,
      clock,
      log,
      accept: (warnings) => hooks.accept?.(warnings),
    })
  }
  return openEmbedded(settings, log, hooks)
}

async function openEmbedded(settings: Settings, log: Logger, hooks: OpeningHooks): Promise<Engine> {
  const options = embeddedOptions(settings, log)
  let begunAt: number | undefined
  const engine = await openEmbeddedDirectory(settings.data, {
    ...options,
    onRebuild(step) {
      begunAt ??= clock.now()
      options.onRebuild?.(step)
      hooks.onRebuild?.(step)
    },
  })
  if (begunAt !== undefined) log.info({ seconds: (clock.now() - begunAt) / 1_000 }, "the state has been made anew")
  return engine
}

/** What the settings say of the embedded engine. */
export function embeddedOptions(
  { limits, dedupeWindowMs }: Settings,
  log: Logger,
): Omit<EmbeddedOptions, "disk" | "store"> {
  return {
    clock,
    segmentBytes: limits.segmentBytes,
    pendingBytesMax: limits.pendingBytesMax,
    reserveBytes: limits.diskReserveBytes,
    dedupeWindowMs,
    onNotice: (line) => log.error({}, line),
    onFound: (line) => log.warn({}, line),
    onRebuild: tellTenths(log, "the state is made anew from the log"),
  }
}
