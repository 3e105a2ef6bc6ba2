import type { Server } from "node:http"
import fastify, {
  type FastifyError,
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify"
import type { Logger } from "../core/logger.ts"
import { Serial } from "../core/serial.ts"
import { WorkQueues } from "../queues/work-queues.ts"
import { destinationType } from "../resources/destinations.ts"
import { scheduleType } from "../resources/schedules.ts"
import { createResourceStore } from "../resources/store.ts"
import { subscriptionType } from "../resources/subscriptions.ts"
import { topicType } from "../resources/topics.ts"
import { triggerType } from "../resources/triggers.ts"
import { auditRoutes } from "./audit.ts"
import { boundBodies } from "./body-room.ts"
import type { ApiContext, ApiFigures, ApiOptions } from "./context.ts"
import { deadLetterRoutes } from "./dead-letters/dead-letters.ts"
import { discardRoutes } from "./dead-letters/discards.ts"
import { delayedRoutes } from "./delayed/delayed-routes.ts"
import { withoutDelayed } from "./delayed/without-delayed.ts"
import { openDeliveryRoutes } from "./deliveries/open-deliveries.ts"
import { resendRoutes } from "./deliveries/resend.ts"
import { destinationRoutes } from "./destinations/destination-routes.ts"
import { destinationView } from "./destinations/destinations.ts"
import { docsRoutes } from "./docs.ts"
import { notFound, ProblemError, toProblem } from "./errors.ts"
import { eventRoutes } from "./events/events.ts"
import { findRoutes } from "./events/find-events.ts"
import { journeyRoutes } from "./events/journey.ts"
import { exportsMax } from "./export.ts"
import { handshakeRoutes } from "./handshakes.ts"
import { identityRoutes } from "./identity.ts"
import { natsCredentialsRoutes } from "./nats-credentials.ts"
import { Places } from "./places.ts"
import { queueRoutes } from "./queues/queue-routes.ts"
import { replayRoutes } from "./replays/replays.ts"
import { bodyBytesMax, letBodiesCome, parseJson, refuseIdempotencyKeys, refuseUnasked } from "./requests.ts"
import { resourceRoutes } from "./resource-routes.ts"
import { Resources } from "./resource-views.ts"
import { AnswerRoom, boundAnswers } from "./room.ts"
import { type App, noCompilers, type RouteDoc } from "./routes.ts"
import { scheduleRoutes } from "./schedules/schedule-routes.ts"
import { scheduleView } from "./schedules/schedules.ts"
import { statusRoutes } from "./status.ts"
import { streamRoutes } from "./streams/stream.ts"
import { Streams } from "./streams/streams.ts"
import { subscriptionRoutes } from "./subscriptions/subscription-routes.ts"
import { subscriptionView } from "./subscriptions/subscriptions.ts"
import { pruneRoutes } from "./topics/prune.ts"
import { topicView } from "./topics/topics.ts"
import { dryRunRoutes } from "./triggers/dry-run.ts"
import { explainRoutes } from "./triggers/explain.ts"
import { filterRoutes } from "./triggers/filters.ts"
import { matchRoutes } from "./triggers/match.ts"
import { triggerRoutes } from "./triggers/trigger-routes.ts"
import { triggerView } from "./triggers/triggers.ts"
import { Slots, Turns } from "./turns.ts"

export { type ApiOptions, apiFigures } from "./context.ts"

/** Room for an event's id and a topic's key, percent-encoded. */
const pathPartCharactersMax = 4096
/** Requests that wait for work at a time. */
const pollsMax = 2_000
/** Of those, such as read at a time. */
const wokenMax = 64

/**
 * The hub's HTTP API: everything but publishing. Ready to answer when it resolves; it does not listen by itself, give
 * `serverFactory` to have it answer the requests of a server of yours.
 */
export async function createApi(options: ApiOptions): Promise<FastifyInstance> {
  const context = createContext(options)
  options.watch?.(() => figuresOf(context))
  const { serverFactory } = options
  const answerError = (error: unknown, _: FastifyRequest, reply: FastifyReply) => answerProblem(context, error, reply)
  const settings: FastifyHttpOptions<Server> = {
    bodyLimit: bodyBytesMax,
    frameworkErrors: answerError,
    schemaController: { compilersFactory: noCompilers },
    routerOptions: { maxParamLength: pathPartCharactersMax },
    ...(serverFactory && { serverFactory: (handler) => serverFactory(handler) }),
  }
  const app = (options.createApp ?? fastify)(settings) as FastifyInstance
  app.decorateRequest("caller", undefined)
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply))
  parseJson(app)
  guard(app, context)
  boundAnswers(app, context.room, context.clock)
  refuseUnknown(app, context)
  refuseIdempotencyKeys(app)
  letBodiesCome(app)
  boundBodies(app, context.clock)
  refuseUnasked(app)
  const register = (on: App) => registerRoutes(on, context)
  register(app)
  docsRoutes(app, context, register)
  await app.ready()
  return app
}

const quiet: Logger = { info() {}, warn() {}, error() {} }

function createContext(given: ApiOptions): ApiContext {
  const delayedIn = given.engine.log
  const options = { ...given, engine: withoutDelayed(given.engine) }
  const { engine, clock, stop, log: logger } = options
  const turns = new Turns()
  const streams = new Streams({ log: engine.log, clock, stop, turns, logger })
  const room = new AnswerRoom()
  const exports = new Places(exportsMax, "exports", "try again later, or read by page")
  const polls = new Places(pollsMax, "requests that wait", "let one end, or try again later")
  const { chance, deliveries: observe = {} } = options
  const queues = new WorkQueues({ engine, clock, chance, log: logger ?? quiet, observe, stop })
  const woken = new Slots(wokenMax)
  const shared = { room, turns, streams, exports, polls, woken, queues, delayedIn }
  return { ...options, ...shared, startedAt: clock.now(), changes: new Serial() }
}

function figuresOf({ room, streams, exports, polls }: ApiContext): ApiFigures {
  const { open, unsentBytes, cut } = streams.figures()
  return {
    api_answer_bytes: room.taken,
    api_exports_open: exports.open,
    api_polls_open: polls.open,
    api_streams_open: open,
    api_streams_unsent_bytes: unsentBytes,
    api_streams_cut_total: cut,
  }
}

/** The routes that the reference describes. */
function registerRoutes(app: App, context: ApiContext): void {
  const topics = new Resources(createResourceStore(context, topicType(context)), topicView(context))
  const triggers = new Resources(createResourceStore(context, triggerType(context)), triggerView(context))
  const destinations = new Resources(createResourceStore(context, destinationType(context)), destinationView(context))
  const schedules = new Resources(createResourceStore(context, scheduleType(context)), scheduleView(context))
  const subscriptions = new Resources(
    createResourceStore(context, subscriptionType(context)),
    subscriptionView(context),
  )
  statusRoutes(app, context)
  auditRoutes(app, context)
  if (context.roles?.includes("api") === false) return
  eventRoutes(app, context)
  findRoutes(app, context)
  journeyRoutes(app, context)
  streamRoutes(app, context)
  resourceRoutes(app, context, topics)
  resourceRoutes(app, context, triggers)
  pruneRoutes(app, context, topics.store)
  triggerRoutes(app, context, triggers)
  explainRoutes(app, context, triggers.store)
  matchRoutes(app, context)
  const answerDryRun = dryRunRoutes(app, context, triggers.store)
  replayRoutes(app, context, triggers.store, answerDryRun)
  filterRoutes(app)
  resourceRoutes(app, context, destinations)
  destinationRoutes(app, context, destinations.store)
  resourceRoutes(app, context, schedules)
  scheduleRoutes(app, context, schedules)
  resourceRoutes(app, context, subscriptions)
  subscriptionRoutes(app, context)
  queueRoutes(app, context, destinations.store)
  openDeliveryRoutes(app, context)
  delayedRoutes(app, context)
  resendRoutes(app, context, triggers.store)
  deadLetterRoutes(app, context)
  discardRoutes(app, context)
  natsCredentialsRoutes(app, context)
  identityRoutes(app, context)
  handshakeRoutes(app, context)
}

/** Every route but the open ones wants a key; so does what is no route, so that nobody learns which there are. */
function guard(app: App, { authorize }: ApiContext): void {
  app.addHook("onRequest", (request, _, done) => {
    const { doc, open = doc?.open } = request.routeOptions.config ?? {}
    if (open === true) return done()
    request.caller = authorize(request.headers.authorization)
    if (request.caller === undefined) throw unauthenticated()
    if (doc?.operator && !request.caller.rights.includes("operate")) throw notOperator(doc)
    done()
  })
}

function unauthenticated(): ProblemError {
  const detail =
    "send a key of this hub as Authorization: Bearer rck_…; the first one is in admin.key in its data directory"
  return new ProblemError("unauthenticated", detail, { headers: { "www-authenticate": 'Bearer realm="redcar"' } })
}

function notOperator({ summary }: RouteDoc): ProblemError {
  const detail = `this is about the whole hub (${summary}), and takes a key of its operator: the one in admin.key in its data directory`
  return new ProblemError("permission-denied", detail)
}

/** 404 for a path that is none, 405 with Allow for a method that the path does not have; before a body is read. */
function refuseUnknown(app: App, { roles }: ApiContext): void {
  const elsewhere = roles && roles.length < 4 ? ` of a process with the roles ${roles.join(", ")}` : ""
  const publishing = { method: "POST", path: /^\/v1\/topics\/[^/]+\/events$/ }
  const routes = roles?.includes("ingest") === false ? [] : [publishing]
  app.addHook("onRoute", ({ method, url }) => {
    const path = new RegExp(
      `^${url.replace(/:?:[a-z-]+/gi, (part) => (part.startsWith("::") ? part.slice(1) : "[^/]+"))}$`,
    )
    for (const each of [method].flat()) routes.push({ method: each, path })
  })
  app.addHook("onRequest", (request, _, done) => {
    if (!request.is404) return done()
    const path = request.url.split("?", 1)[0]!
    const methods = [...new Set(routes.filter((route) => route.path.test(path)).map((route) => route.method))]
    if (methods.length === 0) throw notFound(`${path} is nothing here${elsewhere}; /docs lists what there is`)
    const allow = methods.join(", ")
    throw new ProblemError("method-not-allowed", `${path} takes ${allow}, not ${request.method}${elsewhere}`, {
      headers: { allow },
    })
  })
}

function answerProblem(context: ApiContext, error: unknown, reply: FastifyReply): void {
  const problem = toProblem(error)
  if (problem.code === "overloaded") context.overloaded?.(problem.message)
  if (problem.code === "internal") {
    const { method, url } = reply.request
    context.log?.error({ err: error, method, path: url.split("?", 1)[0] }, "a request failed")
  }
  reply
    .code(problem.status)
    .headers(problem.headers)
    .type("application/problem+json; charset=utf-8")
    .send(JSON.stringify(problem))
}
