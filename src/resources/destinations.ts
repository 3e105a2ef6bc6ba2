import Type, { type Static, type TSchema } from "typebox"
import { destinationDeletionKeys, destinationKeys, handshakeKeys } from "../core/catalog-keys.ts"
import type { DestinationKind, SentTo } from "../core/destination.ts"
import type { Agreement, Destination, SigningKey } from "../core/resources.ts"
import { noSecrets } from "../core/secrets.ts"
import { issueSigningKey } from "../destinations/signing.ts"
import { checkSchema, formatPath, joinPath } from "./check-schema.ts"
import type { ResourceContext } from "./context.ts"
import type { Needed } from "./needs.ts"
import { force, owedTo, refusalFor } from "./owed.ts"
import { redact, redacted, restore } from "./redaction.ts"
import type { Draft, ResourceType } from "./resource-type.ts"
import { component, Description, LabelsInput, ResourceId, strict } from "./schemas.ts"
import { openedDestination, sealDestination, withoutSealed } from "./sealing.ts"

const concurrencyDefault = 32

/** The members of a destination as it is wanted, but for what is of its kind. */
export const destinationFields = {
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

/** What a body is checked against before its kind is known. */
const AnyDestinationInput = strict({ ...destinationFields, kind: Type.String(), config: Type.Unknown() })
type Body = Static<typeof AnyDestinationInput>

/** A destination as triggers need it. */
export const neededDestination: Needed = { keys: destinationKeys, deletions: destinationDeletionKeys }

/** The destination's resource type: how it is read, checked and shown. */
export function destinationType(context: ResourceContext): ResourceType<Destination> {
  const { secrets = noSecrets } = context
  return {
    name: "destination",
    ...neededDestination,
    plural: "destinations",
    idPrefix: "dst",
    input: component("DestinationInput", AnyDestinationInput),
    inputOf: ({ kind }) => {
      const config = context.kinds.get(kind)?.config as TSchema | undefined
      return strict({ ...destinationFields, kind: Type.String(), config: config ?? Type.Unknown() })
    },
    readOnly: ["signingKeys", "agreement", "status"],
    read: (body, draft) => readDestination(context, body as Body, draft),
    show: (destination, previous) => showDestination(context, destination, previous),
    opened: (stored) => openedDestination(secrets, stored),
    withoutSealed: (stored) => withoutSealed(context.kinds.get(stored.kind)?.config, stored),
    sealed: (destination, previous) =>
      sealDestination(secrets, context.kinds.get(destination.kind)?.config, destination, previous),
    inUse: async (destination) => refusalFor(destination, await owedTo(context, destination)),
    removed: async (destination) => {
      await context.engine.catalog.delete(handshakeKeys.of(destination))
    },
    force: async (destination, dryRun) => force(context, destination, await owedTo(context, destination), dryRun),
  }
}

/** A signing key as it may be seen. */
export interface ShownKey {
  readonly id: string
  readonly scheme: SigningKey["scheme"]
  readonly secret?: string
  readonly publicKey?: string
  readonly createdAt: string
  readonly expiresAt?: string
}

function showAgreement({ at, perMinute }: Agreement) {
  return { at: new Date(at).toISOString(), ...(perMinute !== undefined && { perMinute }) }
}

/** One signing key as JSON; its secret only where it is `fresh`. A v1a secret never leaves. */
export function showSigningKey(key: SigningKey, fresh: boolean): ShownKey {
  return {
    id: key.id,
    scheme: key.scheme,
    ...(fresh && key.scheme === "v1" && { secret: key.secret }),
    ...(key.publicKey !== undefined && { publicKey: key.publicKey }),
    createdAt: new Date(key.createdAt).toISOString(),
    ...(key.expiresAt !== undefined && { expiresAt: new Date(key.expiresAt).toISOString() }),
  }
}

async function readDestination(context: ResourceContext, body: Body, draft: Draft<Destination>): Promise<Destination> {
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
    ...(sound && agreementOf(kind, config, body, previous)),
    signingKeys: sound ? signingKeys(context, kind.signing(config), previous?.signingKeys ?? [], now) : [],
    createdAt: previous?.createdAt ?? now,
    updatedAt: now,
  }
}

/** What was agreed to stays, as long as it is what the receiver would be asked. */
function agreementOf(
  kind: DestinationKind,
  config: unknown,
  { ratePerSecond }: Body,
  previous: Destination | undefined,
): Pick<Destination, "agreement"> {
  const agreement = previous?.agreement
  return agreement !== undefined && kind.asks?.(config, ratePerSecond)?.what === agreement.asked ? { agreement } : {}
}

function readKind(
  context: ResourceContext,
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
  const before = previous?.kind === kind.kind ? previous.config : undefined
  const add = (path: readonly string[], message: string) => faults.add(joinPath("config", formatPath(path)), message)
  const config = restore(
    kind.config,
    body.config,
    before,
    (path) => add(path, 'is "***", which stands for a stored secret; there is none that can be read'),
    (path) => {
      const message = sentElsewhere(kind.sentTo?.(before, path) ?? [], kind.sentTo?.(body.config, path) ?? [])
      if (message !== undefined) add(path, message)
    },
  )
  for (const fault of kind.check(config)) faults.add(joinPath("config", fault.field), fault.message)
  return config
}

/** Why a secret that was sent `before` is not kept for where it would be sent now; undefined where it is. */
function sentElsewhere(before: readonly SentTo[], now: readonly SentTo[]): string | undefined {
  for (const { field, origin } of now) {
    const old = before.find((each) => each.field === field)?.origin
    if (origin !== undefined && origin !== old)
      return `must be given again: ${joinPath("config", field)} goes to another host now, ${origin} instead of ${old}`
  }
  return undefined
}

/** The keys for a configuration that asks for `scheme`: those there are, or a first one. Keys of another scheme go. */
function signingKeys(
  context: ResourceContext,
  scheme: SigningKey["scheme"] | undefined,
  keys: readonly SigningKey[],
  now: number,
): readonly SigningKey[] {
  if (scheme === undefined) return []
  const kept = keys.filter((key) => key.scheme === scheme)
  return kept.length > 0 ? kept : [issueSigningKey(scheme, now, context.chance)]
}

function showDestination(
  context: ResourceContext,
  destination: Destination,
  previous: Destination | undefined,
): Record<string, unknown> {
  const { description, labels, kind, config, concurrency, ratePerSecond, agreement } = destination
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
    ...(agreement && { agreement: showAgreement(agreement) }),
    signingKeys: destination.signingKeys
      .filter((key) => key.expiresAt === undefined || key.expiresAt > now)
      .map((key) => showSigningKey(key, !known.has(key.id))),
  }
}
