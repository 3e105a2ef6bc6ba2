import Type from "typebox"
import { component, Timestamp } from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { type App, documented } from "./routes.ts"

const held = Type.Boolean({
  description: "Whether it was started with `--hold`: nothing is routed or delivered, and publishing is refused.",
})
const warnings = Type.Array(Type.String(), {
  description: "What this engine, as it is set up, promises less of than it could, such as surviving a power cut.",
})
const Status = component(
  "Status",
  Type.Object({
    version: Type.String(),
    startedAt: Timestamp,
    ready: Type.Boolean(),
    reasons: Type.Array(Type.String(), { description: "Why it is not ready." }),
    health: Type.Array(Type.String(), { description: "What an operator should know; empty when all is well." }),
    warnings,
    held,
    roles: Type.Optional(Type.Array(Type.String(), { description: "What this process does, of what there is to do." })),
    holder: Type.Optional(
      Type.String({
        description: "Who has the data directory open, as the file `lock` in it says; none on NATS JetStream.",
      }),
    ),
    figures: Type.Record(Type.String(), Type.Number()),
  }),
)
const Readiness = component(
  "Readiness",
  Type.Object({
    ready: Type.Boolean(),
    reasons: Type.Array(Type.String(), { description: "Why it is not ready." }),
    degraded: Type.Array(Type.String(), {
      description: "What is wrong though it can work, such as a server that is away; empty when all is well.",
    }),
    warnings,
    held,
  }),
)

/** Without names, for anybody may ask. */
function restingLine(count: number): readonly string[] {
  if (count === 0) return []
  const rest = count === 1 ? "1 trigger rests, for it" : `${count} triggers rest, for they`
  return [`${rest} cannot be matched: redcar trigger list says which, and why`]
}

/** How the hub is: for people, for what restarts it, and for Prometheus. */
export function statusRoutes(app: App, context: ApiContext): void {
  const { engine, stop, metrics, held = false } = context
  const degraded = (): readonly string[] => [...engine.health(), ...restingLine(context.resting?.() ?? 0)]
  const reasons = (): readonly string[] => [
    ...(stop.aborted ? ["the hub is stopping"] : []),
    ...[engine.outage() ?? []].flat(),
    ...(context.readiness?.() ?? []),
  ]
  app.get("/healthz", documented(docs.health), async () => ({ status: "ok" }))
  app.get("/readyz", documented(docs.ready), async (_, reply) => {
    const why = reasons()
    if (why.length > 0) reply.code(503).header("retry-after", "5")
    return { ready: why.length === 0, reasons: why, degraded: degraded(), warnings: engine.warnings(), held }
  })
  app.get("/v1/status", documented(docs.status), async () => {
    const why = reasons()
    return {
      version: context.version,
      startedAt: new Date(context.startedAt).toISOString(),
      ready: why.length === 0,
      reasons: why,
      health: degraded(),
      warnings: engine.warnings(),
      held,
      ...(context.roles && { roles: context.roles }),
      ...(engine.holder !== undefined && { holder: engine.holder }),
      figures: engine.figures(),
    }
  })
  if (metrics === undefined) return
  app.get("/metrics", documented({ ...docs.metrics, open: metrics.open }), async (_, reply) => {
    const { contentType, body } = await metrics.render()
    return reply.type(contentType).send(body)
  })
}

const tag = "Operation"

const docs = {
  health: {
    operationId: "getHealth",
    tag,
    summary: "Whether the hub is alive",
    answers: { 200: Type.Object({ status: Type.Literal("ok") }) },
    open: true,
  },
  ready: {
    operationId: "getReadiness",
    tag,
    summary: "Whether the hub can work",
    answers: { 200: Readiness, 503: Readiness },
    open: true,
  },
  status: {
    operationId: "getStatus",
    tag,
    summary: "The hub's version, health and figures",
    description: "For its operator: it is of all tenants.",
    operator: true,
    answers: { 200: Status },
  },
  metrics: {
    operationId: "getMetrics",
    tag,
    summary: "Figures for Prometheus",
    description: "For the hub's operator, unless `metricsOpen` is set: they are of all tenants.",
    operator: true,
    answers: { 200: { content: { "text/plain": { schema: Type.String() } } } },
  },
} as const
