import type { Server } from "node:http"
import fastify, { type FastifyHttpOptions, type FastifyInstance, type FastifyRequest, type RouteOptions } from "fastify"

/** What a hub gave to be called. */
// biome-ignore lint/suspicious/noExplicitAny: it is passed on as it came
type Call = (...args: any[]) => any

/** What one hub has registered, in the order in which it came. */
interface Life {
  readonly calls: Call[]
}

/** A request belongs to the hub that lived when it came. */
type Marked = FastifyRequest & { life?: Life }

interface Shared {
  readonly app: FastifyInstance
  /** What is registered at each place. */
  readonly names: string[]
  readonly routes: RouteOptions[]
  life: Life
}

const made: { shared?: Shared } = {}

/**
 * In place of Fastify: all hubs of this process have one app, with the routes that the first of them made, and requests go to what
 * the newest one has in each one's place. Making them anew takes as long as all else of a start. Only one hub lives at a time.
 */
export function sharedApp(settings: FastifyHttpOptions<Server>): FastifyInstance {
  const life: Life = { calls: [] }
  const isFirst = made.shared === undefined
  made.shared ??= begin(settings, life)
  const { shared } = made
  shared.life = life
  if (!isFirst) settings.serverFactory?.(() => {}, {})
  return instead(shared, life, isFirst) as unknown as FastifyInstance
}

function begin(settings: FastifyHttpOptions<Server>, life: Life): Shared {
  const app: FastifyInstance = fastify(settings)
  const routes: RouteOptions[] = []
  app.addHook("onRoute", (route) => void routes.push(route))
  app.addHook("onRequest", (request: Marked, _, done) => {
    request.life = made.shared!.life
    done()
  })
  app.decorateRequest("life", undefined)
  return { app, routes, names: [], life }
}

/** What the API asks of an app. */
function instead(shared: Shared, life: Life, isFirst: boolean) {
  const { app, routes, names } = shared
  /** What calls this, or what stands in its place in the life of a request; undefined where that is registered. */
  const take = (name: string, run: Call): ((request: Marked) => Call) | undefined => {
    const index = life.calls.push(run) - 1
    if (isFirst) names.push(name)
    else if (names[index] !== name) throw new Error(`${name} is registered in the place of ${names[index]}`)
    return isFirst ? (request) => (request.life ?? shared.life).calls[index]! : undefined
  }
  const route = (method: "get" | "post" | "put" | "patch" | "delete") => (path: string, options: object, run: Call) => {
    const its = take(`${method} ${path}`, run)
    if (its) app[method](path, options, (request, reply) => its(request)(request, reply))
  }
  const once = (run: () => unknown) => void (isFirst && run())
  return {
    ...{ get: route("get"), post: route("post"), put: route("put"), patch: route("patch"), delete: route("delete") },
    decorateRequest: (name: string) => once(() => app.decorateRequest(name, undefined)),
    removeAllContentTypeParsers: () => once(() => app.removeAllContentTypeParsers()),
    setErrorHandler(run: Call) {
      const its = take("error handler", run)
      if (its) app.setErrorHandler((error, request, reply) => its(request)(error, request, reply))
    },
    addContentTypeParser(types: string[], options: { parseAs: "buffer" }, run: Call) {
      const its = take("parser", run)
      if (its) app.addContentTypeParser(types, options, (request, body, done) => its(request)(request, body, done))
    },
    addHook(name: "onRoute" | "onRequest" | "preParsing" | "preValidation" | "onSend", run: Call) {
      if (name === "onRoute") return isFirst ? void app.addHook(name, run) : routes.forEach(run)
      const its = take(name, run)
      if (!its) return
      if (name === "onSend" || name === "preParsing") addLongHook(app, name, its)
      else addShortHook(app, name, its)
    },
    ready: async () => void (isFirst && (await app.ready())),
    inject: (request: object) => app.inject(request),
    async close() {},
  }
}

/** A hook that is given what goes in or out. */
function addLongHook(app: FastifyInstance, name: "preParsing" | "onSend", its: (request: Marked) => Call): void {
  // Fastify tells by its length that a hook calls what is done.
  const hook = (request: Marked, reply: unknown, payload: unknown, done: unknown): void =>
    its(request)(request, reply, payload, done)
  app.addHook(name as "preParsing", hook as Call)
}

function addShortHook(app: FastifyInstance, name: "onRequest" | "preValidation", its: (request: Marked) => Call): void {
  const hook = (request: Marked, reply: unknown, done: unknown): void => its(request)(request, reply, done)
  app.addHook(name as "onRequest", hook as Call)
}
