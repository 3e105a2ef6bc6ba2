import type { FastifyRequest } from "fastify"
import Type from "typebox"
import type { Catalog } from "../core/catalog.ts"
import { accessKeys, destinationKeys, topicKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { IssuedCredentials, TenantCredentials } from "../core/credentials.ts"
import { checkSchema } from "../resources/check-schema.ts"
import { formatDuration, readDuration } from "../resources/durations.ts"
import { createFaults } from "../resources/faults.ts"
import { component, Duration, ResourceId, strict, Timestamp } from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { notFound, ProblemError } from "./errors.ts"
import { readBody } from "./fields.ts"
import { type App, documented, pathPart } from "./routes.ts"

const dayMs = 86_400_000
const expiresInDefaultMs = 90 * dayMs
const expiresInMinMs = 60_000
const expiresInMaxMs = 3_650 * dayMs

const NatsCredentialsInput = component(
  "NatsCredentialsInput",
  strict({
    consumer: Type.Optional({
      ...ResourceId,
      description: "What the client reads with, where several read all events each. Default: the tenant's one.",
      examples: ["reports"],
    }),
    expiresIn: Type.Optional({ ...Duration, description: "When the servers stop taking them. Default: 90d." }),
  }),
)

const NatsCredentials = component(
  "NatsCredentials",
  Type.Object({
    tenant: Type.String(),
    credentials: Type.String({ description: "The text of a .creds file, shown this one time. It is a secret." }),
    expiresAt: Timestamp,
    subject: Type.String({ description: "Where the client may publish.", examples: ["redcar.default.>"] }),
    consumer: Type.String({ description: "What it reads with, on each stream.", examples: ["tenant_default"] }),
    streams: Type.Array(Type.String(), { description: "All the streams.", examples: [["REDCAR_LOG_0"]] }),
    warnings: Type.Optional(
      Type.Array(Type.String(), { description: "Absent where nothing is odd: a tenant that has nothing yet is." }),
    ),
  }),
)

/** Credentials for NATS clients, each of one tenant. The hub's admin alone issues them. */
export function natsCredentialsRoutes(app: App, { engine }: ApiContext): void {
  app.post("/v1/tenants/:tenant/nats-credentials", documented(docs.issue), async (request, reply) => {
    const tenant = readTenant(request)
    const { consumer, expiresInMs } = readBody(
      NatsCredentialsInput,
      request.body,
      ({ consumer, expiresIn }, faults) => {
        const expiresInMs = readDuration(expiresIn, "expiresIn", faults) ?? expiresInDefaultMs
        if (expiresInMs < expiresInMinMs || expiresInMs > expiresInMaxMs) {
          const range = `${formatDuration(expiresInMinMs)} to ${formatDuration(expiresInMaxMs)}`
          faults.add("expiresIn", `must be from ${range}`)
        }
        return { consumer, expiresInMs }
      },
    )
    const issued = await issuerOf(engine.credentials).issue(tenant, {
      ...(consumer !== undefined && { consumer }),
      expiresInMs,
    })
    const shown = show(tenant, issued)
    reply.code(201).header("cache-control", "no-store")
    return (await isKnown(engine.catalog, tenant)) ? shown : { ...shown, warnings: [unknown(tenant)] }
  })
  app.delete("/v1/tenants/:tenant/nats-credentials", documented(docs.revoke), async (request, reply) => {
    const tenant = readTenant(request)
    const revoked = await issuerOf(engine.credentials).revoke(tenant)
    if (revoked.kind === "refused") throw new ProblemError("conflict", revoked.reason)
    if (revoked.kind === "unknown") throw notFound(`no NATS credentials of ${tenant} were ever issued`)
    return reply.code(204).send()
  })
}

/** Whether the tenant has anything of its own yet. */
async function isKnown(catalog: Catalog, tenant: string): Promise<boolean> {
  const prefixes = [accessKeys, topicKeys, triggerKeys, destinationKeys].map((keys) => keys.ofTenant(tenant))
  const found = await Promise.all(prefixes.map((prefix) => catalog.list(prefix, { limit: 1 })))
  return found.some((items) => items.length > 0)
}

function unknown(tenant: string): string {
  return `tenant ${tenant} has no key and no topic yet: if that is not the name that was meant, end these credentials`
}

/** The tenant that the path names. */
function readTenant(request: FastifyRequest): string {
  const tenant = pathPart(request, "tenant")
  const faults = createFaults()
  checkSchema(ResourceId, tenant, faults, "tenant")
  faults.refuse()
  return tenant
}

function issuerOf(credentials: TenantCredentials | undefined): TenantCredentials {
  if (credentials !== undefined) return credentials
  const detail =
    "this hub issues no NATS credentials: it needs --engine nats://… and --nats-issuer <issuer.json>, which " +
    "redcar nats init makes"
  throw new ProblemError("conflict", detail)
}

function show(tenant: string, issued: IssuedCredentials) {
  if (issued.kind === "refused") throw new ProblemError("conflict", issued.reason)
  const { text, expiresAt, subject, consumer, streams } = issued
  return { tenant, credentials: text, expiresAt: new Date(expiresAt).toISOString(), subject, consumer, streams }
}

const params = Type.Object({ tenant: Type.String({ description: "The tenant's name." }) })

const docs = {
  issue: {
    operationId: "issueNatsCredentials",
    operator: true,
    tag: "Tenants",
    summary: "Issue NATS credentials of a tenant",
    description:
      "For NATS clients that publish and read past this API, in the servers themselves: this tenant's events and nothing else. " +
      "Needs the admin key, and a hub on NATS that has an issuer.",
    params,
    body: NatsCredentialsInput,
    bodyOptional: true,
    answers: { 201: NatsCredentials },
    problems: ["conflict", "overloaded"],
  },
  revoke: {
    operationId: "revokeNatsCredentials",
    operator: true,
    tag: "Tenants",
    summary: "End all NATS credentials of a tenant",
    description: "Those issued before end at once, also where they are in use. What has been read stays read.",
    params,
    answers: { 204: null },
    problems: ["not-found", "conflict", "overloaded"],
  },
} as const
