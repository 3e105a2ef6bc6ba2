import Type from "typebox"
import type { HubIdentity } from "../access/identity/identity.ts"
import { component, strict, Timestamp } from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { notFound, ProblemError } from "./errors.ts"
import { readBody } from "./fields.ts"
import { type App, documented } from "./routes.ts"

/** Whoever keeps what is published keeps it for so long. */
const cacheControl = "public, max-age=300"

const Discovery = component(
  "OpenIdConfiguration",
  Type.Object({
    issuer: Type.String({ examples: ["https://hub.example.com"] }),
    jwks_uri: Type.String({ examples: ["https://hub.example.com/.well-known/jwks.json"] }),
    response_types_supported: Type.Array(Type.String()),
    subject_types_supported: Type.Array(Type.String()),
    id_token_signing_alg_values_supported: Type.Array(Type.String()),
    claims_supported: Type.Array(Type.String()),
  }),
)

const JsonWebKeys = component(
  "JsonWebKeySet",
  Type.Object({
    keys: Type.Array(
      Type.Object({
        kty: Type.String(),
        n: Type.String(),
        e: Type.String(),
        kid: Type.String(),
        use: Type.String(),
        alg: Type.String(),
      }),
    ),
  }),
)

const RotateKeyInput = component(
  "RotateIdentityKeyInput",
  strict({
    revoke: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Whether the old keys are published no more and the new one signs at once, because one of them has leaked.",
      }),
    ),
  }),
)

const RotatedKey = component(
  "RotatedIdentityKey",
  Type.Object({
    kid: Type.String({ description: "The new key." }),
    signsFrom: Timestamp,
    published: Type.Array(Type.String(), { description: "All keys that are published now." }),
  }),
)

/** What receivers check the hub's identity tokens by, for all to read, and the rotation of the keys that sign them. */
export function identityRoutes(app: App, { identity }: ApiContext): void {
  app.get("/.well-known/openid-configuration", documented(docs.discover), async (_, reply) => {
    const { issuer } = published(identity)
    reply.header("cache-control", cacheControl).header("access-control-allow-origin", "*")
    return {
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      claims_supported: ["iss", "sub", "aud", "iat", "exp"],
    }
  })
  app.get("/.well-known/jwks.json", documented(docs.keys), async (_, reply) => {
    const keys = await published(identity).published()
    reply.header("cache-control", cacheControl).header("access-control-allow-origin", "*")
    return { keys }
  })
  app.post("/v1/identity/rotate-key", documented(docs.rotate), async (request) => {
    const { revoke = false } = readBody(RotateKeyInput, request.body, (input) => input)
    if (identity === undefined) throw new ProblemError("conflict", noPublicUrl)
    const keys = await identity.rotate({ revoke })
    const made = keys?.at(-1)
    if (keys === undefined || made === undefined) throw new ProblemError("conflict", isNextThere)
    return {
      kid: made.kid,
      signsFrom: new Date(made.signsFrom).toISOString(),
      published: keys.map(({ kid }) => kid),
    }
  })
}

const noPublicUrl = "this hub signs no identity tokens: it needs the setting publicUrl, which is their issuer"
const isNextThere =
  "the next key is published already, and signs within a day; where the present one has leaked, revoke it (revoke: true)"

function published(identity: HubIdentity | undefined): HubIdentity {
  if (identity === undefined) throw notFound(noPublicUrl)
  return identity
}

const docs = {
  discover: {
    operationId: "getOpenIdConfiguration",
    tag: "Destinations",
    summary: "Where receivers find the keys of identity tokens",
    description: "OpenID Connect Discovery, of the tokens that destinations with `auth.oidc` are sent.",
    answers: { 200: Discovery },
    problems: ["not-found"],
    open: true,
  },
  keys: {
    operationId: "getJsonWebKeys",
    tag: "Destinations",
    summary: "The public keys of identity tokens",
    description: "A JSON Web Key Set (RFC 7517). The first reader has the first key made.",
    answers: { 200: JsonWebKeys },
    problems: ["not-found", "overloaded"],
    open: true,
  },
  rotate: {
    operationId: "rotateIdentityKey",
    tag: "Operation",
    summary: "Make the next key of identity tokens",
    description:
      "It is published at once and signs a day later, and the old one stays published until its last token is over. The hub does " +
      "so by itself every 90 days.",
    operator: true,
    body: RotateKeyInput,
    bodyOptional: true,
    answers: { 200: RotatedKey },
    problems: ["conflict", "overloaded"],
  },
} as const
