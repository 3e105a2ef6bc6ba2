import Type, { type Static } from "typebox"

/** How the hub gets tokens for itself (RFC 6749, 4.4). */
export const clientCredentialsConfig = Type.Object(
  {
    tokenUrl: Type.String({
      minLength: 1,
      maxLength: 2048,
      description: "Where tokens are got: http or https, at an address that destinations may be at.",
      examples: ["https://login.example.com/oauth2/token"],
    }),
    clientId: Type.String({ minLength: 1, maxLength: 1024 }),
    clientSecret: Type.String({ minLength: 1, maxLength: 4096, writeOnly: true }),
    scope: Type.Optional(Type.String({ minLength: 1, maxLength: 2048, examples: ["events:write"] })),
    audience: Type.Optional(
      Type.String({ minLength: 1, maxLength: 2048, description: "For servers that ask for whom a token is." }),
    ),
    clientAuth: Type.Optional(
      Type.Enum(["basic", "post"], {
        type: "string",
        default: "basic",
        description: "How id and secret are sent: in the authorization header, or in the body.",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Tokens by OAuth 2.0 client credentials. They are kept until shortly before they expire.",
  },
)

export type ClientCredentialsConfig = Static<typeof clientCredentialsConfig>
