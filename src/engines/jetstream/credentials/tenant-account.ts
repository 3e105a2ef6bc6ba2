import { encodeAccount, encodeActivation, encodeUser, fmtCreds, type Import } from "@nats-io/jwt"
import { createUser, fromPublic } from "@nats-io/nkeys"
import type { Names } from "../names.ts"
import { consumerGrants, type Grant, tenantGrants } from "./exports.ts"
import type { Issuer } from "./issuer.ts"

/** A tenant in NATS: an account of its own, that sees nothing but what it imports of the hub's. */
export interface TenantAccount {
  readonly tenant: string
  /** The account's public key. Its private one is nowhere: the issuer signs for it. */
  readonly account: string
  /** The consumers that the tenant reads with, as NATS calls them. */
  readonly consumers: readonly string[]
  /** Users issued in this second or before are let in no longer. Unix seconds. */
  readonly revokedAtSeconds?: number
}

/** Connections and subscriptions that one tenant may have open at once, on each server. */
const limits = {
  subs: 100_000,
  data: -1,
  payload: -1,
  imports: -1,
  exports: 0,
  wildcards: false,
  conn: 10_000,
  leaf: 0,
}

/** The account as servers take it: what it imports, each with the hub account's leave. */
export async function encodeTenantAccount(issuer: Issuer, names: Names, of: TenantAccount): Promise<string> {
  const grants = [...tenantGrants(names, of.tenant), ...of.consumers.flatMap((each) => consumerGrants(names, each))]
  const imports = await Promise.all(grants.map((grant) => importOf(issuer, of, grant)))
  return encodeAccount(
    `tenant ${of.tenant}`,
    fromPublic(of.account),
    {
      limits,
      imports,
      signing_keys: [issuer.signer.getPublicKey()],
      ...(of.revokedAtSeconds !== undefined && { revocations: { "*": of.revokedAtSeconds } }),
    },
    { signer: issuer.operator },
  )
}

async function importOf({ account, signer }: Issuer, of: TenantAccount, grant: Grant): Promise<Import> {
  const { subject, local } = grant
  const token = await encodeActivation(
    subject,
    fromPublic(of.account),
    fromPublic(account),
    "service",
    { subject },
    { signer },
  )
  const renamed = local !== undefined && { local_subject: local.replace("*", "$1") }
  return { name: subject, subject, account, type: "service", token, ...renamed }
}

export interface TenantUser {
  /** The consumer that it reads with, as NATS calls it. */
  readonly consumer: string
  /** Unix seconds. */
  readonly expiresAtSeconds: number
}

/** The `.creds` of a new user of the tenant's account, with the rights to one consumer of it. */
export async function issueUser(issuer: Issuer, names: Names, of: TenantAccount, user: TenantUser): Promise<string> {
  const key = createUser()
  const grants = [...tenantGrants(names, of.tenant), ...consumerGrants(names, user.consumer)]
  const allow = grants.map(({ subject, local = subject }) => local)
  const jwt = await encodeUser(
    user.consumer,
    key,
    fromPublic(of.account),
    {
      pub: { allow },
      sub: { allow: [inboxes] },
      allowed_connection_types: ["STANDARD", "WEBSOCKET"],
    },
    { signer: issuer.signer, exp: user.expiresAtSeconds },
  )
  return new TextDecoder().decode(fmtCreds(jwt, key))
}

/** Where clients await answers unless told otherwise. In an account of its own nobody else's are there. */
const inboxes = "_INBOX.>"
