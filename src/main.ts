import { randomBytes } from "node:crypto"
import type { RequestListener } from "node:http"
import { join } from "node:path"
import { loadAdminKey } from "./access/admin-key.ts"
import { type Authorize, createAuthorizer } from "./access/authorize.ts"
import { apiFigures, createApi } from "./api/api.ts"
import { pipelined } from "./api/pipelining.ts"
import { natsServers, type Role } from "./config/relations.ts"
import type { Settings } from "./config/schema.ts"
import type { Address } from "./core/address.ts"
import type { Chance } from "./core/clock.ts"
import type { DestinationKind } from "./core/destination.ts"
import type { Engine } from "./core/engine.ts"
import { PublishRefusedError, StartRefusedError } from "./core/errors.ts"
import type { Event } from "./core/event.ts"
import type { Logger } from "./core/logger.ts"
import { patientCatalog } from "./core/patience.ts"
import { type DeliveryWorker, startDelivery } from "./deliver/worker.ts"
import { destinationKinds } from "./destinations/index.ts"
import { type Door, makeDoor } from "./door.ts"
import { type EmbeddedOptions, openEmbeddedDirectory, type RebuildStep } from "./engines/embedded/engine.ts"
import { openJetStreamEngine } from "./engines/jetstream/engine.ts"
import { createIngest } from "./ingest/http.ts"
import { startInbox } from "./ingest/inbox.ts"
import { createPublisher, type Publisher } from "./ingest/publish.ts"
import { Refusal } from "./ingest/refusal.ts"
import { openTopics } from "./ingest/topics.ts"
import { unfinishedMigration } from "./migrate/mark.ts"
import { MigrationRefusedError } from "./migrate/refusal.ts"
import { startRetention } from "./retention/retention.ts"
import type { Router } from "./route/router.ts"
import { startRouting } from "./route/routing.ts"
import { createSystemChance, systemClock } from "./telemetry/clock.ts"
import { warnOfDescriptors } from "./telemetry/descriptors.ts"
import { openLog } from "./telemetry/log.ts"
import { createMetrics, type Metrics } from "./telemetry/metrics.ts"
import { tellTenths } from "./telemetry/tenths.ts"
import { Overloads, tellConditions, watchEngine, watchLoop } from "./telling.ts"
import { version } from "./version.ts"

/** A hub that runs. */
export interface Hub {
  /** `http://127.0.0.1:9000` */
  readonly address: string
  /** Stops accepting, finishes what is in flight, closes in reverse. */
  stop(): Promise<void>
}

const clock = systemClock

/**
 * Starts a hub: the engine, the loops over it, and the server in front, which says meanwhile how far it is. `aborting` ends a start
 * that makes the state anew: then its reason is thrown, and the next start makes it anew.
 */
export async function startHub(settings: Settings, aborting?: AbortSignal): Promise<Hub> {
  const closing: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
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
    await startStages({ settings, engine, log, door }, closing)
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

/** Throws MigrationRefusedError where a migration into this engine has not come to its end. */
async function refuseHalfMoved({ catalog }: Engine): Promise<void> {
  const mark = await unfinishedMigration(patientCatalog(catalog, clock))
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

/** What the parts of one hub share. */
interface Shared {
  readonly settings: Settings
  readonly engine: Engine
  readonly log: Logger
  readonly door: Door
  readonly chance: Chance
  readonly metrics: Metrics
  readonly overloads: Overloads
  readonly kinds: ReadonlyMap<string, DestinationKind>
  readonly publisher: Publisher
  readonly authorize: Authorize
  /** Why the hub is not ready. */
  readonly failures: Set<string>
}

type Closing = (() => Promise<unknown>)[]
type Opened = Pick<Shared, "settings" | "engine" | "log" | "door">

async function startStages(opened: Opened, closing: Closing): Promise<void> {
  const shared = await openShared(opened, closing)
  const router = startLoops(shared, closing)
  await startServer(shared, closing, router)
}

async function openShared(opened: Opened, closing: Closing): Promise<Shared> {
  const { settings, engine, log } = opened
  const { limits, topicsAutoCreate } = settings
  const { catalog } = engine
  const dedupeWindowMs = defaultWindowMs(settings, engine)
  const views = new AbortController()
  closing.push(async () => views.abort())
  const failures = new Set<string>()
  const chance = createSystemChance(clock)
  const metrics = createMetrics({
    version,
    engine: natsServers(settings.engine) === undefined ? "embedded" : "jetstream",
  })
  closing.push(watchLoop(settings, metrics))
  const overloads = new Overloads(clock, log)
  closing.push(async () => overloads.close())
  await ensureAdminKey(settings, engine, log)
  const authorize = await createAuthorizer({
    catalog,
    clock,
    stop: views.signal,
    failed: (error) => failures.add(`keys are not watched any more: ${String(error)}`),
  })
  const topics = await openTopics({ catalog, clock, dedupeWindowMs, stop: views.signal })
  const publisher = createPublisher({
    engine,
    topics,
    clock,
    chance,
    limits: { eventBytesMax: limits.eventBytesMax, topicsAutoCreate },
    observe: overloads.publishing(metrics.publish),
  })
  tellFailures(failures, log, { "the view of topics": topics.watching })
  const kinds = destinationKinds({ clock, guard: settings.destinations })
  return { ...opened, chance, metrics, overloads, kinds, publisher, authorize, failures }
}

/** The dedupe window of topics that name none. */
function defaultWindowMs({ dedupeWindowMs }: Settings, { dedupeWindowMsMax = dedupeWindowMs }: Engine): number {
  return Math.min(dedupeWindowMs, dedupeWindowMsMax)
}

function startLoops(shared: Shared, closing: Closing): Router | undefined {
  const { engine, metrics, log } = shared
  const { roles, hold } = shared.settings
  const does = (role: Role) => roles.includes(role) && !hold
  const router = does("route") ? startRoutes(shared, closing) : undefined
  const worker = does("deliver") ? startDeliveries(shared, closing) : undefined
  if (does("ingest")) startTakingIn(shared, closing)
  watchEngine(metrics, { engine, router, worker, clock })
  closing.push(tellConditions({ engine, router, clock }, log))
  return router
}

function startRoutes({ settings, engine, log, metrics, failures }: Shared, closing: Closing): Router {
  const router = startRouting({ engine, clock, log, observe: metrics.route })
  closing.push(() => router.stop())
  const topics = { autoCreate: settings.topicsAutoCreate, dedupeWindowMs: defaultWindowMs(settings, engine) }
  closing.push(startRetention({ engine, clock, log, topics }).stop)
  tellFailures(failures, log, { router: router.done })
  return router
}

function startDeliveries(shared: Shared, closing: Closing): DeliveryWorker {
  const { engine, log, chance, kinds, publisher, metrics, failures } = shared
  const { delivery } = shared.settings
  const worker = startDelivery({
    engine,
    clock,
    chance,
    kinds,
    log,
    publish: (address, event) => publishOne(publisher, address, event),
    observe: metrics.deliver,
    limits: { inFlightMax: delivery.inFlightMax, leaseMs: delivery.leaseMs, stopMs: delivery.shutdownGraceMs },
  })
  closing.push(() => worker.stop())
  tellFailures(failures, log, { delivery: worker.done })
  return worker
}

/** What comes past HTTP. */
function startTakingIn({ engine, log, publisher, failures }: Shared, closing: Closing): void {
  if (engine.inbox === undefined) return
  const inbox = startInbox({ inbox: engine.inbox, publisher, clock, log })
  closing.push(() => inbox.stop())
  tellFailures(failures, log, { inbox: inbox.done })
}

/** Throws PublishRefusedError, which says why. */
async function publishOne(publisher: Publisher, address: Address, event: Event): Promise<void> {
  const [result] = [await publisher.publish(address, [event])].flat()
  if (result instanceof Refusal) throw new PublishRefusedError(result.detail, result.more.retryAfterMs)
}

async function startServer(shared: Shared, closing: Closing, router: Router | undefined): Promise<void> {
  const { settings, door, engine, log, chance, kinds, publisher, authorize, metrics, overloads, failures } = shared
  const { limits, topicsAutoCreate, delivery, roles, hold } = settings
  const dedupeWindowMs = defaultWindowMs(settings, engine)
  const ingest = createIngest({
    publisher,
    clock,
    authorize,
    held: hold,
    limits: {
      ...limits,
      topicsAutoCreate,
      bulk: { eventsMax: limits.bulkEventsMax, bodyBytesMax: limits.bulkBytesMax },
    },
    observe: overloads.publishing(metrics.publish),
    onBug: (error) => log.error({ err: error }, "a publish failed"),
  })
  const takesEvents = roles.includes("ingest")
  const streams = new AbortController()
  let listener: RequestListener | undefined
  await createApi({
    engine,
    clock,
    chance,
    kinds,
    version,
    log,
    authorize,
    stop: streams.signal,
    topics: { autoCreate: topicsAutoCreate, dedupeWindowMs },
    metrics: { open: settings.metricsOpen, render: metrics.render },
    roles,
    held: hold,
    readiness: () => [...failures],
    overloaded: (detail) => overloads.met("the API", detail),
    resting: () => router?.resting().length ?? 0,
    watch: (read) => metrics.watchFigures(apiFigures, read),
    serverFactory(handler) {
      const toIngest: RequestListener = (request, response) => {
        if (takesEvents && ingest.handles(request)) ingest.handle(request, response)
        else handler(request, response)
      }
      listener = pipelined(toIngest, { isSmall: (request) => takesEvents && ingest.isSmall(request) })
      return door.server
    },
  })
  closing.push(() => closeServer(door, streams, delivery.shutdownGraceMs))
  door.lead(listener!, takesEvents ? ingest : undefined)
}

async function ensureAdminKey(settings: Settings, { catalog }: Engine, log: Logger): Promise<void> {
  const admin = await loadAdminKey({
    directory: settings.data,
    ...(settings.adminKey !== "" && { given: settings.adminKey }),
    shared: natsServers(settings.engine) !== undefined,
    catalog: patientCatalog(catalog, clock),
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

/** Notes loops that end though nobody stopped them. */
function tellFailures(failures: Set<string>, log: Logger, loops: Readonly<Record<string, Promise<void>>>): void {
  for (const [name, done] of Object.entries(loops)) {
    done.catch((error: unknown) => {
      failures.add(`${name} has stopped: ${String(error)}`)
      log.error({ err: error }, `${name} has stopped; restart the hub`)
    })
  }
}

/** Lets requests in flight end; those that take longer than the grace are cut. */
async function closeServer(door: Door, streams: AbortController, graceMs: number): Promise<void> {
  const left = door.leave()
  streams.abort()
  const cancel = clock.after(graceMs, () => door.close())
  await left
  cancel()
}
