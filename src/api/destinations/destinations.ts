import Type, { type TSchema } from "typebox"
import type { DestinationKind } from "../../core/destination.ts"
import type { Destination } from "../../core/resources.ts"
import { destinationFields } from "../../resources/destinations.ts"
import { patchSchemaOf } from "../../resources/patch-schema.ts"
import {
  choice,
  component,
  componentKeyword,
  LabelsInput,
  ResourceId,
  strict,
  Timestamp,
} from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"
import { DestinationStatus, statusesOf } from "./lane-status.ts"

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

const AgreementOutput = component(
  "Agreement",
  Type.Object(
    {
      at: Timestamp,
      perMinute: Type.Optional(
        Type.Integer({ description: "Deliveries a minute at most; absent: as many as there are." }),
      ),
    },
    { readOnly: true, description: "That its receiver agreed to be sent to, by calling back." },
  ),
)

/** What became of it when a destination that is needed was deleted all the same. */
const Forced = component(
  "ForcedDeletion",
  Type.Object(
    {
      id: Type.String({ description: "The destination that was deleted." }),
      pausedTriggers: Type.Array(Type.String(), {
        description: "They sent to it, and rest now: their deliveries wait with them, their events in the log.",
      }),
      openDeliveries: Type.Integer({
        description:
          "How many were open. Those of paused triggers wait; the others become dead letters (`gone`) as they come due.",
      }),
      openTriggers: Type.Array(Type.String(), { description: "The triggers that they are of." }),
    },
    { description: "With force, what became of what needed it; with validate_only, what would." },
  ),
)

/** What is shown of destinations beyond what they are. */
export function destinationView(context: ApiContext): ResourceView<Destination> {
  return {
    tag: "Destinations",
    output: component("Destination", Type.Object({})),
    statuses: (destinations) =>
      statusesOf(
        context,
        destinations.map(({ tenant, id }) => ({ tenant, destination: id })),
      ),
    forced: {
      description: "Delete it though triggers need it or deliveries are owed to it, and answer what became of those.",
      output: Forced,
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

function formOf(form: Form, kind: DestinationKind): object {
  const own = { kind: Type.Literal(kind.kind), config: kind.config as unknown as TSchema }
  const input = strict({ ...destinationFields, ...own }, { description: kind.description })
  if (form === "DestinationInput") return input
  if (form === "DestinationPatch") return patchSchemaOf(input)
  const output = {
    ...destinationFields,
    ...own,
    ...resourceFields,
    id: ResourceId,
    labels: LabelsInput,
    concurrency: Type.Integer(),
    agreement: Type.Optional(AgreementOutput),
    signingKeys: Type.Array(SigningKeyOutput, { readOnly: true }),
    status: Type.Optional(DestinationStatus),
  }
  return Type.Object(output, { description: `${kind.description} Secrets in config read as "***".` })
}
