import Type, { type Static } from "typebox"
import type { Fault } from "./fault.ts"
import type { AddressGuard } from "./guard.ts"
import { clientCredentialsConfig } from "./oauth2/config.ts"
import { faultOfAudience, identityTokenConfig } from "./oidc/config.ts"
import { faultOfUrl } from "./url.ts"

const secret = (maxLength: number, description: string) =>
  Type.String({ minLength: 1, maxLength, writeOnly: true, description })

/** By what a webhook's receiver knows the hub. */
export const authConfig = Type.Object(
  {
    bearer: Type.Optional(
      Type.Object({ token: secret(8192, "Sent as it is.") }, { additionalProperties: false, description: "A token." }),
    ),
    basic: Type.Optional(
      Type.Object(
        {
          username: Type.String({ maxLength: 1024, description: "Without a colon." }),
          password: Type.String({ maxLength: 1024, writeOnly: true }),
        },
        { additionalProperties: false, description: "A user name and a password." },
      ),
    ),
    oauth2: Type.Optional(clientCredentialsConfig),
    oidc: Type.Optional(identityTokenConfig),
  },
  {
    additionalProperties: false,
    description: "What the authorization header says: exactly one of these.",
    examples: [{ bearer: { token: "…" } }],
  },
)

export type AuthConfig = Static<typeof authConfig>

const tokenForm = /^[\x21-\x7e]+$/
const control = /\p{Cc}/u

/** What the schema cannot say. */
export function checkAuth(auth: AuthConfig, headers: readonly string[], guard: AddressGuard): readonly Fault[] {
  const faults: Fault[] = []
  const add = (field: string, message: string) =>
    faults.push({ field: field === "" ? "auth" : `auth.${field}`, message })
  const { bearer, basic, oauth2, oidc } = auth
  const said = Object.values(auth).filter((each) => each !== undefined).length
  if (said !== 1)
    add("", "must say exactly one of bearer, basic, oauth2 and oidc; a patch takes another away with null")
  if (headers.some((name) => name.toLowerCase() === "authorization"))
    add("", "sets the authorization header, and so does headers.authorization: say one of them")
  if (bearer && !tokenForm.test(bearer.token))
    add("bearer.token", "holds a space or another character that no token may hold")
  if (basic?.username.includes(":")) add("basic.username", "must not hold a colon")
  for (const name of ["username", "password"] as const)
    if (basic && control.test(basic[name])) add(`basic.${name}`, "must not hold control characters")
  const tokenUrl = oauth2 && faultOfUrl(oauth2.tokenUrl, guard)
  if (tokenUrl !== undefined) add("oauth2.tokenUrl", tokenUrl)
  const audience = oidc && faultOfAudience(oidc)
  if (audience !== undefined) add("oidc.audience", audience)
  return faults
}

/** The authorization header, where it is always the same. */
export function fixedAuthorization({ bearer, basic }: AuthConfig): string | undefined {
  if (bearer) return `Bearer ${bearer.token}`
  return basic && `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString("base64")}`
}
