import Type, { type Static, type TSchema } from "typebox"
import { destinationKeys } from "../core/catalog-keys.ts"
import type { DestinationKind } from "../core/destination.ts"
import type { Destination, SigningKey } from "../core/resources.ts"
import { issueSigningKey } from "../destinations/signing.ts"
import { checkSchema, formatPath, joinPath } from "../resources/check-schema.ts"
import { patchSchemaOf } from "../resources/patch-schema.ts"
import { redact, redacted, restore } from "../resources/redaction.ts"
import {
  choice,
  component,
  componentKeyword,
  Description,
  LabelsInput,
  ResourceId,
  strict,
} from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { DestinationStatus, statusesOf } from "./lane-status.ts"
import { Forced, force, owedTo, refusalFor } from "./owed.ts"
import type { Draft, ResourceType } from "./resource-store.ts"
import { resourceFields } from "./schemas.ts"

const concurrencyDefault = 32

const inputFields = {
  id: Type.Optional(ResourceId),
  description: Type.Optional(Description),
  labels: Type.Optional(LabelsInput),
  concurrency: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1024,
      default: concurrencyDefault,
      description: "Deliveries in flight at once.",
    }),
  ),
  ratePerSecond: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000, description: "Deliveries begun per second at most." }),
  ),
}

export const SigningKeyOutput = component(
  "SigningKey",
  Type.Object({
    id: Type.String(),
    scheme: choice(["v1", "v1a"], { description: "Standard Webhooks: HMAC-SHA256 or Ed25519." }),
    secret: Type.Optional(
      Type.String({ description: "v1 only, and only in the answer that issues it.", examples: ["whsec_…"] }),
    ),
    publicKey: Type.Optional(Type.String({ description: "v1a only.", examples: ["whpk_…"] })),
    createdAt: Type.String({ format: "date-time" }),
    expiresAt: Type.Optional(Type.String({ format: "date-time", description: "Until then it still signs." })),
  }),
)

/** What a body is checked against before its kind is known. */
const AnyDestinationInput = strict({ ...inputFields, kind: Type.String(), config: Type.Unknown() })
type Body = Static<typeof AnyDestinationInput>

/** The destination's resource type: how it is read, checked and shown. */
export function destinationType(context: ApiContext): ResourceType<Destination> {
  return {
    name: "destination",
    keys: destinationKeys,
    plural: "destinations",
    tag: "Destinations",
    idPrefix: "dst",
    input: component("DestinationInput", AnyDestinationInput),
    output: component("Destination", Type.Object({})),
    inputOf: ({ kind }) => {
      const config = context.kinds.get(kind)?.config as TSchema | undefined
      return strict({ ...inputFields, kind: Type.String(), config: config ?? Type.Unknown() })
    },
    readOnly: ["signingKeys", "status"],
    read: (body, draft) => readDestination(context, body as Body, draft),
    show: (destination, previous) => showDestination(context, destination, previous),
    statuses: (destinations) =>
      statusesOf(
        context,
        destinations.map(({ tenant, id }) => ({ tenant, destination: id })),
      ),
    inUse: async (destination) => refusalFor(destination, await owedTo(context, destination)),
    forced: {
      description: "Delete it though triggers need it or deliveries are owed to it, and answer what became of those.",
      output: Forced,
      run: async (destination, dryRun) => force(context, destination, await owedTo(context, destination), dryRun),
    },
  }
}

const forms = ["DestinationInput", "DestinationPatch", "Destination"] as const
type Form = (typeof forms)[number]

/** The components of the document that depend on which kinds there are: one form per kind, told apart by `kind`. */
export function destinationComponents(kinds: ReadonlyMap<string, DestinationKind>): Record<string, object> {
  const components: Record<string, object> = {}
  for (const form of forms) {
    const names = new Map<string, string>()
    for (const kind of kinds.values()) {
      const name = `${kind.kind.charAt(0).toUpperCase()}${kind.kind.slice(1)}${form}`
      components[name] = { ...formOf(form, kind), [componentKeyword]: name }
      names.set(kind.kind, name)
    }
    components[form] = unionOf(form, names)
  }
  return components
}

/** A patch need not say of which kind it is, so that several may fit. */
function unionOf(form: Form, names: ReadonlyMap<string, string>): object {
  const branches = [...names.values()].map((name) => ({ [componentKeyword]: name }))
  if (form === "DestinationPatch") return { [componentKeyword]: form, anyOf: branches }
  const mapping = Object.fromEntries([...names].map(([kind, name]) => [kind, `#/components/schemas/${name}`]))
  return { [componentKeyword]: form, oneOf: branches, discriminator: { propertyName: "kind", mapping } }
}

/** One signing key as JSON; its secret only where it is `fresh`. A v1a secret never leaves. */
export function showSigningKey(key: SigningKey, fresh: boolean): Static<typeof SigningKeyOutput> {
  return {
    id: key.id,
    scheme: key.scheme,
    ...(fresh && key.scheme === "v1" && { secret: key.secret }),
    ...(key.publicKey !== undefined && { publicKey: key.publicKey }),
    createdAt: new Date(key.createdAt).toISOString(),
    ...(key.expiresAt !== undefined && { expiresAt: new Date(key.expiresAt).toISOString() }),
  }
}

function formOf(form: Form, kind: DestinationKind): object {
  const own = { kind: Type.Literal(kind.kind), config: kind.config as unknown as TSchema }
  const input = strict({ ...inputFields, ...own }, { description: kind.description })
  if (form === "DestinationInput") return input
  if (form === "DestinationPatch") return patchSchemaOf(input)
  const output = {
    ...inputFields,
    ...own,
    ...resourceFields,
    id: ResourceId,
    labels: LabelsInput,
    concurrency: Type.Integer(),
    signingKeys: Type.Array(SigningKeyOutput, { readOnly: true }),
    status: Type.Optional(DestinationStatus),
  }
  return Type.Object(output, { description: `${kind.description} Secrets in config read as "***".` })
}

async function readDestination(context: ApiContext, body: Body, draft: Draft<Destination>): Promise<Destination> {
  const { id, tenant, previous, now, faults } = draft
  const kind = readKind(context, body, draft)
  const config = kind === undefined ? undefined : readConfig(kind, body, draft)
  const sound = kind !== undefined && faults.clean("config")
  return {
    id,
    tenant,
    ...(body.description !== undefined && { description: body.description }),
    labels: body.labels ?? {},
    kind: body.kind,
    config,
    concurrency: body.concurrency ?? concurrencyDefault,
    ...(body.ratePerSecond !== undefined && { ratePerSecond: body.ratePerSecond }),
    signingKeys: sound ? signingKeys(context, kind.signing(config), previous?.signingKeys ?? [], now) : [],
    createdAt: previous?.createdAt ?? now,
    updatedAt: now,
  }
}

function readKind(
  context: ApiContext,
  body: Body,
  { previous, faults }: Draft<Destination>,
): DestinationKind | undefined {
  if (!faults.clean("kind")) return undefined
  const kind = context.kinds.get(body.kind)
  if (kind === undefined) {
    faults.add("kind", `must be one of ${[...context.kinds.keys()].map((name) => JSON.stringify(name)).join(", ")}`)
  } else if (previous !== undefined && previous.kind !== body.kind) {
    faults.add("kind", `cannot be changed from ${JSON.stringify(previous.kind)}; create another destination`)
  }
  return kind
}

function readConfig(kind: DestinationKind, body: Body, { previous, faults }: Draft<Destination>): unknown {
  if (faults.clean("config")) checkSchema(kind.config, body.config, faults, "config")
  if (!faults.clean("config")) return undefined
  const config = restore(
    kind.config,
    body.config,
    previous?.kind === kind.kind ? previous.config : undefined,
    (path) => {
      faults.add(joinPath("config", formatPath(path)), 'is "***", which stands for a stored secret; there is none yet')
    },
  )
  for (const fault of kind.check(config)) faults.add(joinPath("config", fault.field), fault.message)
  return config
}

/** The keys for a configuration that asks for `scheme`: those there are, or a first one. Keys of another scheme go. */
function signingKeys(
  context: ApiContext,
  scheme: SigningKey["scheme"] | undefined,
  keys: readonly SigningKey[],
  now: number,
): readonly SigningKey[] {
  if (scheme === undefined) return []
  const kept = keys.filter((key) => key.scheme === scheme)
  return kept.length > 0 ? kept : [issueSigningKey(scheme, now, context.chance)]
}

function showDestination(
  context: ApiContext,
  destination: Destination,
  previous: Destination | undefined,
): Record<string, unknown> {
  const { description, labels, kind, config, concurrency, ratePerSecond } = destination
  const known = new Set(previous?.signingKeys.map((key) => key.id))
  const now = context.clock.now()
  const schema = context.kinds.get(kind)?.config
  return {
    ...(description !== undefined && { description }),
    labels,
    kind,
    config: schema === undefined ? redacted : redact(schema, config),
    concurrency,
    ...(ratePerSecond !== undefined && { ratePerSecond }),
    signingKeys: destination.signingKeys
      .filter((key) => key.expiresAt === undefined || key.expiresAt > now)
      .map((key) => showSigningKey(key, !known.has(key.id))),
  }
}
