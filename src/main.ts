import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { loadAdminKey } from "./access/admin-key.ts"
import { apiFigures } from "./api/api.ts"
import { natsServers } from "./config/relations.ts"
import type { Settings } from "./config/schema.ts"
import { parseTenants } from "./config/tenants.ts"
import type { Engine } from "./core/engine.ts"
import { StartRefusedError } from "./core/errors.ts"
import type { Logger } from "./core/logger.ts"
import { catalogAtStart, retryAtStart } from "./core/start-retry.ts"
import { destinationKinds } from "./destinations/index.ts"
import { type Door, makeDoor } from "./door.ts"
import type { RebuildStep } from "./engines/embedded/engine.ts"
import { type Hub, type HubOptions, startHub } from "./hub.ts"
import { unfinishedMigration } from "./migrate/mark.ts"
import { MigrationRefusedError } from "./migrate/refusal.ts"
import { openEngine } from "./opening.ts"
import { openSecrets, sealIdentityKeys, tellSecrets } from "./secrets.ts"
import { systemClock as clock, createSystemChance } from "./telemetry/clock.ts"
import { descriptorsUsedUp, warnOfDescriptors } from "./telemetry/descriptors.ts"
import { openLog } from "./telemetry/log.ts"
import { createMetrics, type Metrics } from "./telemetry/metrics.ts"
import { watchEngine, watchLoop } from "./telling.ts"
import { version } from "./version.ts"

/** A hub that is served. */
export interface ServedHub {
  /** `http://127.0.0.1:9000` */
  readonly address: string
  /** Stops accepting, finishes what is in flight, closes in reverse. */
  stop(): Promise<void>
}

/**
 * Serves a hub as the settings say: the engine, the hub over it, and the server in front, which says meanwhile how far it is.
 * `aborting` ends a start that makes the state anew: then its reason is thrown, and the next start makes it anew.
 */
export async function serveHub(settings: Settings, aborting?: AbortSignal): Promise<ServedHub> {
  const closing: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const set = asSet(settings)
    const log = await openLog({ level: settings.logLevel, format: settings.logFormat })
    warnOfDescriptors(log)
    const door = makeDoor()
    closing.push(async () => door.close())
    const address = await door.open(settings.host, settings.port)
    const engine = await openEngine(settings, log, {
      accept: (warnings) => refuseUndurable(settings, warnings),
      onRebuild(step) {
        aborting?.throwIfAborted()
        door.tell(rebuildText(step))
      },
    })
    closing.push(() => engine.close())
    await refuseHalfMoved(engine)
    for (const warning of engine.warnings()) log.warn({}, warning)
    if (settings.hold) log.warn({}, "the hub is held: it routes, delivers and drops nothing, and publishing is refused")
    const metrics = openMetrics(settings)
    closing.push(watchLoop(settings, metrics))
    await ensureAdminKey(settings, engine, log)
    await retryAtStart(clock, () => tellSecrets({ ...set, engine, log }))
    if (!settings.hold) await retryAtStart(clock, () => sealIdentityKeys({ ...set, engine, log }))
    const hub = await startHub({ ...told(settings, metrics), ...set, engine, log, server: door.server })
    closing.push(() => hub.stop())
    watchEngine(metrics, { engine, router: hub.router, retention: hub.retention, worker: hub.worker, clock })
    closing.push(() => leave(door, hub, settings.delivery.shutdownGraceMs))
    door.lead(hub.listener, hub.ingest)
    log.info({ address, data: settings.data }, "redcar is ready")
    closing.push(async () => log.info({}, "redcar is stopping"))
    return { address, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function rebuildText({ phase, done, total }: RebuildStep): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
  return `the hub is starting: the state is made anew from the log (${phase}, ${percent} %)`
}

/** Throws MigrationRefusedError where a migration into this engine has not come to its end. */
async function refuseHalfMoved({ catalog }: Engine): Promise<void> {
  const mark = await unfinishedMigration(catalogAtStart(catalog, clock))
  if (mark === undefined) return
  throw new MigrationRefusedError(`the move from ${mark.from} to here has not come to its end`, [
    "Run the same redcar migrate again: it goes on where it was.",
  ])
}

/** Throws NotDurableError. */
function refuseUndurable({ requireDurable }: Settings, warnings: readonly string[]): void {
  if (requireDurable && warnings.length > 0) throw new NotDurableError(warnings)
}

/** The engine promises less than it was asked to. */
export class NotDurableError extends StartRefusedError {
  override readonly name = "NotDurableError"
  constructor(warnings: readonly string[]) {
    super(`requireDurable is set, but ${warnings.join("; and ")}`, [
      "See to that (docs/scale.md says how), or start without --require-durable",
    ])
  }
}

function openMetrics({ engine }: Settings): Metrics {
  return createMetrics({ version, engine: natsServers(engine) === undefined ? "embedded" : "jetstream" })
}

/** Whom the hub tells of itself. */
function told({ metricsOpen }: Settings, metrics: Metrics) {
  return {
    observe: metrics,
    metrics: { open: metricsOpen, render: metrics.render },
    watch: (read) => metrics.watchFigures(apiFigures, read),
    conditions: descriptorsUsedUp,
  } satisfies Partial<HubOptions>
}

/** What the settings say of the hub. Throws SecretsKeyError. */
function asSet({
  secretsKey,
  publicUrl,
  limits,
  delivery,
  destinations,
  roles,
  hold,
  topicsAutoCreate,
  dedupeWindowMs,
}: Settings) {
  const named = publicUrl === "" ? {} : { publicUrl }
  return {
    ...{ clock, chance: createSystemChance(clock), version, roles, held: hold },
    kinds: destinationKinds({ clock, guard: destinations, origin: destinations.origin, ...named }),
    ...named,
    secrets: openSecrets({ secretsKey }),
    topics: { autoCreate: topicsAutoCreate, dedupeWindowMs },
    limits: {
      ingest: { ...limits, bulk: { eventsMax: limits.bulkEventsMax, bodyBytesMax: limits.bulkBytesMax } },
      delivery: {
        ...{ inFlightMax: delivery.inFlightMax, leaseMs: delivery.leaseMs, stopMs: delivery.shutdownGraceMs },
        tenants: tenantsIn(delivery.tenants),
      },
    },
  } satisfies Partial<HubOptions>
}

/** What the start has checked. */
function tenantsIn(entries: readonly string[]) {
  const tenants = parseTenants(entries)
  if (typeof tenants === "string") throw new TypeError(tenants)
  return tenants
}

async function ensureAdminKey(settings: Settings, { catalog }: Engine, log: Logger): Promise<void> {
  const admin = await loadAdminKey({
    directory: settings.data,
    ...(settings.adminKey !== "" && { given: settings.adminKey }),
    shared: natsServers(settings.engine) !== undefined,
    catalog: catalogAtStart(catalog, clock),
    clock,
    random: randomBytes,
  })
  if (admin.kind === "refused") throw new AdminKeyError(admin.message)
  if (admin.kind === "elsewhere") {
    const where = "its file is with the process that made it, or with the hub that was migrated"
    return log.info(
      { path: join(settings.data, "admin.key") },
      `the admin key is there already, and not here: ${where}`,
    )
  }
  if (admin.created) log.info({ path: admin.path }, "made the admin key")
}

/** The admin key's file cannot be used as it is; the message says what to do. */
export class AdminKeyError extends StartRefusedError {
  override readonly name = "AdminKeyError"
}

/** Lets requests in flight end; those that take longer than the grace are cut. */
async function leave(door: Door, hub: Hub, graceMs: number): Promise<void> {
  const left = door.leave()
  hub.endStreams()
  const cancel = clock.after(graceMs, () => door.close())
  await left
  cancel()
}
