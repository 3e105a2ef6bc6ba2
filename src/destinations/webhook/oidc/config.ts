import Type, { type Static } from "typebox"

/** How the hub says who it is, by tokens that it signs (RFC 7519). */
export const identityTokenConfig = Type.Object(
  {
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2048,
        description: "Whom the tokens are for, as the receiver checks it. Default: the origin of `url`.",
        examples: ["https://shop.example.com"],
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      "Tokens that the hub signs: OpenID Connect, RS256, an hour each, of the subject `<tenant>/<destination>`. Needs the setting publicUrl, their issuer.",
  },
)

export type IdentityTokenConfig = Static<typeof identityTokenConfig>

/** What is wrong with it; undefined: nothing. */
export function faultOfAudience({ audience = "" }: IdentityTokenConfig): string | undefined {
  return /\p{Cc}/u.test(audience) ? "must not hold control characters" : undefined
}
