import type { FastifyInstance } from "fastify"
import { isObject } from "../resources/merge-patch.ts"
import { patchKeyword } from "../resources/patch-schema.ts"
import { componentKeyword } from "../resources/schemas.ts"
import { RetryInput } from "../resources/triggers.ts"
import type { ApiContext } from "./context.ts"
import { DeliverySchema } from "./deliveries/deliveries.ts"
import { destinationComponents } from "./destinations/destinations.ts"
import { type ProblemCode, statusOf } from "./errors.ts"
import { CausedEventSchema } from "./events/journey.ts"
import { EventSchema, publishOperation, StoredEventSchema } from "./events/published.ts"
import { type App, noCompilers, type RouteDoc } from "./routes.ts"
import { Filter, ProblemSchema } from "./schemas.ts"
import { ClauseSchema } from "./triggers/verdict.ts"

/** Keywords of the schemas that are for the hub alone. */
const ownKeywords: readonly string[] = [componentKeyword, patchKeyword, "errorMessage", "unknownMessage"]
const annotations: readonly string[] = ["description", "default", "examples", "readOnly", "writeOnly", "title"]
const root = "#/components/schemas/"

const description = `Every request but those for this page and the two probes carries a key: \`Authorization: Bearer rck_…\`.

- A refusal is a problem (RFC 9457): \`code\` says which, \`detail\` what to do, and \`errors\` names every wrong field.
- HEAD is answered wherever GET is.
- Lists come in pages: send \`nextPageToken\` back as \`pageToken\` until there is none.
- A change takes \`If-Match\` with the resource's \`etag\`, and \`validate_only=true\` to try it first.
- Durations are texts such as \`10s\` or \`7d\`, or whole milliseconds.
- \`Idempotency-Key\` is kept for raw events; on every other POST it is refused, since it would not be.
- Unknown fields and parameters are refused, by name.`

const tags = [
  { name: "Events", description: "Publish, read and follow events, and see what became of each." },
  { name: "Topics", description: "Named logs of events. The first publish to a topic makes it." },
  { name: "Triggers", description: "Which events of a topic go to which destination, and how often that is tried." },
  { name: "Destinations", description: "Where events go." },
  { name: "Subscriptions", description: "Named places in topics, from which readers go on." },
  { name: "Schedules", description: "Events that the hub publishes when it is time." },
  { name: "Deliveries", description: "What is still to be brought to its destination." },
  { name: "Replays", description: "Events of the past, delivered once more." },
  { name: "Queues", description: "Deliveries that workers lease, instead of being sent them." },
  { name: "Dead letters", description: "Deliveries that were given up; they can be put back." },
  { name: "Tenants", description: "Whose events they are." },
  { name: "Operation", description: "How the hub is." },
]

/**
 * The OpenAPI 3.1 document, as JSON text. `register` adds the routes to a server that never listens: what the live one
 * serves is what is described, and nothing of this costs it memory before somebody asks.
 */
export async function createDocument(context: ApiContext, register: (app: App) => void): Promise<string> {
  const [{ default: fastify }, { default: swagger }] = await Promise.all([
    import("fastify"),
    import("@fastify/swagger"),
  ])
  const components = createComponents(context)
  const app: FastifyInstance = fastify({
    exposeHeadRoutes: false,
    schemaController: { compilersFactory: noCompilers },
  })
  const bodyOptional = new Set<string>()
  app.addHook("onRoute", (route) => {
    const doc = route.config?.doc
    if (doc?.bodyOptional) bodyOptional.add(doc.operationId)
    const takesBody = route.method !== "GET"
    route.schema = doc === undefined ? { hide: true } : describeRoute(doc, takesBody, components)
  })
  await app.register(swagger, {
    openapi: frameOf(context),
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `def-${index}`) },
  })
  register(app)
  const publish = components.refer(publishOperation)
  for (const schema of components.all()) app.addSchema(schema)
  await app.ready()
  const document = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
  await app.close()
  for (const { operationId, requestBody } of Object.values(document.paths).flatMap(Object.values<Operation>)) {
    if (requestBody !== undefined && bodyOptional.has(operationId)) requestBody.required = false
  }
  const events = "/v1/topics/{topic}/events"
  const { [events]: reading, ...others } = document.paths
  document.paths = { [events]: { post: localReferences(publish) as Operation, ...reading }, ...others }
  return JSON.stringify(document)
}

/** The document without its paths. */
function frameOf(context: ApiContext) {
  return {
    openapi: "3.1.0",
    info: {
      title: "Redcar",
      version: context.version,
      summary: "A self-hosted event hub: publish CloudEvents, have them on disk, see them delivered.",
      description,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    } as never,
    servers: [{ url: "/", description: "This hub." }],
    tags,
    security: [{ key: [] }],
    components: {
      securitySchemes: {
        key: {
          type: "http" as const,
          scheme: "bearer",
          description: "A key of the hub, `rck_…`; see `admin.key` in its data directory.",
        },
      },
    },
  }
}

interface Operation {
  readonly operationId: string
  readonly requestBody?: { required: boolean }
}

interface Components {
  /** The schema with every component in it replaced by a reference; they are noted. */
  refer(schema: unknown): unknown
  /** The components that were met so far, each once, with its name as `$id`. */
  all(): readonly object[]
}

function createComponents(context: ApiContext): Components {
  const found = new Map<string, object>()
  const refer = (schema: unknown, isDefinition = false): unknown => {
    if (Array.isArray(schema)) return schema.map((item) => refer(item))
    if (!isObject(schema)) return schema
    const name = schema[componentKeyword]
    if (typeof name === "string" && !isDefinition) {
      if (Object.keys(schema).some((key) => !ownKeywords.includes(key) && !annotations.includes(key)))
        define(name, schema)
      return referenceTo(name, schema, found.get(name))
    }
    const members = Object.entries(withNames(schema)).filter(([key]) => !ownKeywords.includes(key))
    return Object.fromEntries(members.map(([key, value]) => [key, refer(value)]))
  }
  const define = (name: string, schema: Record<string, unknown>) => {
    if (found.has(name)) return
    found.set(name, schema) // first, since components may hold themselves
    found.set(name, { $id: name, ...(refer(schema, true) as object) })
  }
  const given = {
    Filter,
    Filters,
    Event: EventSchema,
    StoredEvent: StoredEventSchema,
    RetryInput,
    Delivery: DeliverySchema,
    Clause: ClauseSchema,
    CausedEvent: CausedEventSchema,
  }
  // Those of destinations go first: the routes only know that there are some.
  for (const [name, schema] of Object.entries({ ...destinationComponents(context.kinds), ...given })) {
    define(name, schema as Record<string, unknown>)
  }
  return { refer, all: () => [...found.values()] }
}

/** A record's one pattern of names, in words that the document keeps. */
function withNames(schema: Record<string, unknown>): Record<string, unknown> {
  const { patternProperties, ...rest } = schema
  const [[pattern, of] = [], more] = isObject(patternProperties) ? Object.entries(patternProperties) : []
  if (pattern === undefined || more !== undefined) return schema
  const names = pattern === "^.*$" ? {} : { propertyNames: { pattern } }
  return { ...rest, ...names, additionalProperties: of }
}

const Filters = {
  [componentKeyword]: "Filters",
  type: "array",
  items: { [componentKeyword]: "Filter" },
  maxItems: 64,
  description: "All of them have to hold.",
}

/** A reference, with what is said of the component at this place only. */
function referenceTo(name: string, schema: Record<string, unknown>, component: object | undefined): object {
  const said = Object.entries(schema).filter(
    ([key, value]) => annotations.includes(key) && value !== (component as Record<string, unknown> | undefined)?.[key],
  )
  return { $ref: `${name}#`, ...Object.fromEntries(said) }
}

function describeRoute(doc: RouteDoc, takesBody: boolean, components: Components): object {
  const { operationId, tag, summary, description, params, query, headers, body, answers, open = false } = doc
  const problems = problemsOf(doc, takesBody)
  const statuses = [...new Set(problems.map((code) => statusOf[code]))].sort()
  const ofStatus = (status: number) => problems.filter((code) => statusOf[code] === status)
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(params && { params: components.refer(params) }),
    ...(query && { querystring: components.refer(query) }),
    ...(headers && { headers: components.refer(headers) }),
    ...(body && { body: components.refer(body) }),
    ...(open && { security: [] }),
    response: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, schema]) => [status, success(status, schema, components)]),
      ),
      ...Object.fromEntries(statuses.map((status) => [status, problemAnswer(ofStatus(status), components)])),
      default: problemAnswer(["internal", "overloaded", "storage-full"], components),
    },
  }
}

/** What a request with a body may be answered, whether or not the route wants one. */
const bodyProblems = ["too-slow", "too-large", "unsupported-media-type"] as const

function problemsOf(doc: RouteDoc, takesBody: boolean): readonly ProblemCode[] {
  const { open = false, operator = false, problems = [] } = doc
  if (open) return problems
  const own = operator ? (["permission-denied", ...problems] as const) : problems
  // Parameters that a route does not have are refused everywhere.
  const all = ["invalid-argument", "unauthenticated", ...own, ...(takesBody ? bodyProblems : [])] as const
  return [...new Set(all)]
}

const successes: Readonly<Record<string, string>> = {
  200: "Done.",
  201: "Created.",
  204: "Deleted.",
  503: "Not ready.",
}

function success(status: string, schema: object | null, components: Components): object {
  const description = (schema as { description?: string } | null)?.description ?? successes[status]
  return schema === null ? { type: "null", description } : { ...(components.refer(schema) as object), description }
}

function problemAnswer(codes: readonly ProblemCode[], components: Components): object {
  return {
    description: codes.join(", "),
    content: { "application/problem+json": { schema: components.refer(ProblemSchema) } },
  }
}

/** References as the document has them, in what swagger has not seen. */
function localReferences(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(localReferences)
  if (!isObject(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) =>
      key === "$ref" ? [key, root + String(value).replace(/#$/, "")] : [key, localReferences(value)],
    ),
  )
}
