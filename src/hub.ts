import { createServer, type RequestListener, type Server } from "node:http"
import type { FastifyInstance } from "fastify"
import { type Authorize, openKeys } from "./access/authorize.ts"
import { HandshakeCallbacks } from "./access/callbacks.ts"
import { HubIdentity } from "./access/identity/identity.ts"
import { type ApiOptions, createApi } from "./api/api.ts"
import { pipelined } from "./api/pipelining.ts"
import type { Role } from "./config/relations.ts"
import type { Address } from "./core/address.ts"
import { deliverAtAttribute } from "./core/delayed.ts"
import { ExpectedLastError, PublishRefusedError } from "./core/errors.ts"
import type { Event } from "./core/event.ts"
import type { Logger } from "./core/logger.ts"
import { noSecrets } from "./core/secrets.ts"
import type { Condition } from "./core/troubles.ts"
import type { DeliveryLimits, DeliveryObserver } from "./deliver/hub.ts"
import type { ReplyPublishing } from "./deliver/replies.ts"
import { type DeliveryWorker, startDelivery } from "./deliver/worker.ts"
import { type Accepted, notConditional } from "./ingest/delay.ts"
import { createIngest, type Ingest } from "./ingest/http.ts"
import { startInbox } from "./ingest/inbox.ts"
import { defaultLimits, type IngestLimits } from "./ingest/limits.ts"
import { createPublisher, type Publisher, type PublishObserver } from "./ingest/publish.ts"
import { Refusal } from "./ingest/refusal.ts"
import { openTopics } from "./ingest/topics.ts"
import { type Loop, Loops } from "./loops.ts"
import { type RetentionLoop, startRetention } from "./retention/retention.ts"
import { startReplays } from "./route/replay/replays.ts"
import type { Router, RouterLimits, RouterObserver } from "./route/router.ts"
import { startRouting } from "./route/routing.ts"
import { type Schedules, startSchedules } from "./sources/schedule/loop.ts"
import { Overloads, tellConditions } from "./telling.ts"

type OfApi =
  | "engine"
  | "clock"
  | "chance"
  | "kinds"
  | "version"
  | "topics"
  | "metrics"
  | "watch"
  | "secrets"
  | "publicUrl"
  | "createApp"

/** What a hub is made of. */
export interface HubOptions extends Pick<ApiOptions, OfApi> {
  readonly log: Logger
  /** Whose key an Authorization header holds; default: by the keys in the catalog. */
  readonly authorize?: Authorize
  /** What this process does; default: all. */
  readonly roles?: readonly string[]
  /** It is for looking only: nothing is routed, delivered, dropped or published. Default: no. */
  readonly held?: boolean
  readonly limits?: {
    readonly ingest?: Partial<Omit<IngestLimits, "topicsAutoCreate">>
    readonly route?: Partial<RouterLimits>
    readonly delivery?: Partial<DeliveryLimits>
  }
  /** Between two rounds of retention. */
  readonly retentionEveryMs?: number
  /** Told of what happens; default: nobody is. */
  readonly observe?: {
    readonly publish?: PublishObserver
    readonly route?: RouterObserver
    readonly deliver?: DeliveryObserver
  }
  /** What is to be said of the process, besides what the hub says of itself. */
  readonly conditions?: () => readonly Condition[]
  /** Whose requests `listener` will answer; default: one that never listens. */
  readonly server?: Server
}

/** A hub that runs. */
export interface Hub {
  readonly publisher: Publisher
  /** Publishing by HTTP, and the loops that this process does not run, are undefined. */
  readonly ingest: Ingest | undefined
  readonly router: Router | undefined
  readonly retention: RetentionLoop | undefined
  readonly worker: DeliveryWorker | undefined
  readonly api: FastifyInstance
  /** Answers what is asked of the hub by HTTP: publishing, and all of the API. */
  readonly listener: RequestListener
  readonly loops: readonly Loop[]
  /** Ends live streams and exports, which come to no end by themselves. */
  endStreams(): void
  /** Stops the loops in reverse. The engine stays open. */
  stop(): Promise<void>
}

/** Starts a hub over an engine that is open: views of the catalog, the loops, and in front of them publishing and the API. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const { clock, log } = options
  const [loops, overloads, streams] = [new Loops(log), new Overloads(clock, log), new AbortController()]
  const stop = async () => {
    streams.abort()
    await loops.stop()
    overloads.close()
  }
  try {
    const base = { ...options, loops, overloads, topics: topicDefaults(options), ...namedBy(options) }
    const authorize = options.authorize ?? (await openAuthorize(base))
    const publisher = await openPublisher(base)
    const does = (role: Role) => doesIn(options, role) && options.held !== true
    const { router, retention } = does("route") ? startRoutes(base) : {}
    const worker = does("deliver") ? startDeliveries(base, publisher) : undefined
    const schedules = does("ingest") ? startTakingIn(base, publisher) : undefined
    loops.add("telling", tellConditions({ ...options, router }))
    const front = await createFront({ ...base, authorize, publisher, router, schedules, stop: streams.signal })
    return {
      publisher,
      router,
      retention,
      worker,
      ...front,
      loops: loops.running,
      endStreams: () => streams.abort(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** What the parts of one hub share. */
interface Base extends HubOptions, Pick<ApiOptions, "identity" | "callbacks"> {
  readonly loops: Loops
  readonly overloads: Overloads
}

function doesIn({ roles }: HubOptions, role: Role): boolean {
  return roles?.includes(role) ?? true
}

/** The engine may recognise repeated events for less long. */
function topicDefaults({ topics, engine }: HubOptions): HubOptions["topics"] {
  const { autoCreate, dedupeWindowMs } = topics
  return { autoCreate, dedupeWindowMs: Math.min(dedupeWindowMs, engine.dedupeWindowMsMax ?? dedupeWindowMs) }
}

/** What the hub is to receivers, where they can reach it. */
function namedBy({ publicUrl, engine, clock, secrets = noSecrets }: HubOptions): Pick<Base, "identity" | "callbacks"> {
  if (publicUrl === undefined) return {}
  const { catalog } = engine
  return {
    identity: new HubIdentity({ issuer: publicUrl, catalog, clock, secrets }),
    callbacks: new HandshakeCallbacks({ catalog, clock, publicUrl }),
  }
}

async function openAuthorize({ engine, clock, loops }: Base): Promise<Authorize> {
  const view = new AbortController()
  const { authorize, watching } = await openKeys({ catalog: engine.catalog, clock, stop: view.signal })
  loops.add("the view of keys", viewLoop(view, watching))
  return authorize
}

async function openPublisher({ engine, clock, chance, topics, limits, observe, ...base }: Base): Promise<Publisher> {
  const view = new AbortController()
  const { dedupeWindowMs, autoCreate } = topics
  const known = await openTopics({ catalog: engine.catalog, clock, dedupeWindowMs, stop: view.signal })
  base.loops.add("the view of topics", viewLoop(view, known.watching))
  const { eventBytesMax } = { ...defaultLimits, ...limits?.ingest }
  return createPublisher({
    ...{ engine, topics: known, clock, chance },
    limits: { eventBytesMax, topicsAutoCreate: autoCreate },
    observe: base.overloads.publishing(observe?.publish),
  })
}

function viewLoop(view: AbortController, done: Promise<void>): Omit<Loop, "name"> {
  return {
    done,
    async stop() {
      view.abort()
      await done.catch(() => {})
    },
  }
}

function startRoutes({ engine, clock, log, topics, retentionEveryMs: everyMs, observe, loops, limits }: Base) {
  const router = loops.add(
    "router",
    startRouting({
      engine,
      clock,
      log,
      limits: limits?.route ?? {},
      ...(observe?.route && { observe: observe.route }),
    }),
  )
  loops.add("replays", startReplays({ engine, clock, log }))
  const retaining = { engine, clock, log, topics, ...(everyMs !== undefined && { everyMs }) }
  return { router, retention: loops.add("retention", startRetention(retaining)) }
}

function startDeliveries({ engine, clock, chance, kinds, log, ...base }: Base, publisher: Publisher): DeliveryWorker {
  const { secrets, identity, callbacks } = base
  const worker = startDelivery({
    ...{ engine, clock, chance, kinds, log, identity, callbacks },
    ...(secrets && { secrets }),
    publish: (address, event) => publishOne(publisher, address, event),
    replies: repliesBy(publisher, { ...defaultLimits, ...base.limits?.ingest }),
    observe: base.observe?.deliver ?? {},
    limits: base.limits?.delivery ?? {},
  })
  return base.loops.add("delivery", worker)
}

/** Throws PublishRefusedError, which says why. */
async function publishOne(publisher: Publisher, address: Address, event: Event): Promise<void> {
  const [result] = [await publisher.publish(address, [event])].flat()
  if (result instanceof Refusal) throw publishRefused(result)
}

/** A status of the hub's own says that it may be taken another time. */
function publishRefused({ detail, status, more }: Refusal): PublishRefusedError {
  return new PublishRefusedError(detail, more.retryAfterMs, status >= 500)
}

/** Answers are published as by any client. In JSON an event is larger than it counts. */
function repliesBy(publisher: Publisher, { eventBytesMax }: Pick<IngestLimits, "eventBytesMax">): ReplyPublishing {
  return {
    bytesMax: 2 * eventBytesMax,
    async publish(address, events, expectedLast) {
      const result = await publisher.publish(address, events, expectedLast)
      if (!(result instanceof Refusal)) return result as readonly Accepted[]
      if (result === notConditional) throw new PublishRefusedError(`${deliverAtAttribute} cannot be used in an answer`)
      if (result.code === "conflict") throw new ExpectedLastError(result.more.last ?? undefined)
      throw publishRefused(result)
    },
  }
}

/** What comes past HTTP. */
function startTakingIn({ engine, clock, log, loops }: Base, publisher: Publisher): Schedules {
  const { inbox } = engine
  if (inbox !== undefined) loops.add("inbox", startInbox({ inbox, publisher, clock, log }))
  const publish = (address: Address, event: Event) => publishOne(publisher, address, event)
  return loops.add("schedules", startSchedules({ engine, clock, log, publish }))
}

/** What stands in front of the loops. */
interface Behind extends Base {
  readonly authorize: Authorize
  readonly publisher: Publisher
  readonly router: Router | undefined
  readonly schedules: Schedules | undefined
  readonly stop: AbortSignal
}

async function createFront(behind: Behind): Promise<Pick<Hub, "api" | "ingest" | "listener">> {
  const { loops, overloads, router, schedules, server = createServer() } = behind
  const ingest = doesIn(behind, "ingest") ? openIngest(behind) : undefined
  let listener: RequestListener | undefined
  const api = await createApi({
    ...behind,
    readiness: () => loops.failures,
    overloaded: (detail) => overloads.met("the API", detail),
    resting: () => router?.resting().length ?? 0,
    eventBytesMax: { ...defaultLimits, ...behind.limits?.ingest }.eventBytesMax,
    scheduleFailure: (schedule) => schedules?.failureOf(schedule),
    ...(behind.observe?.deliver && { deliveries: behind.observe.deliver }),
    serverFactory(handler) {
      const first: RequestListener = (request, response) => {
        if (ingest?.handles(request)) ingest.handle(request, response)
        else handler(request, response)
      }
      listener = pipelined(first, { isSmall: (request) => ingest?.isSmall(request) ?? false })
      return server
    },
  })
  return { api, ingest, listener: listener! }
}

function openIngest({ publisher, clock, authorize, held = false, log, ...behind }: Behind): Ingest {
  return createIngest({
    ...{ publisher, clock, authorize, held },
    limits: { ...defaultLimits, ...behind.limits?.ingest, topicsAutoCreate: behind.topics.autoCreate },
    observe: behind.overloads.publishing(behind.observe?.publish),
    onBug: (error) => log.error({ err: error }, "a publish failed"),
  })
}
