import { type Account, encodeAccount, encodeOperator, encodeUser, fmtCreds, type OperatorLimits } from "@nats-io/jwt"
import { createAccount, createOperator, createUser, type KeyPair } from "@nats-io/nkeys"
import type { Names } from "../names.ts"
import { offers } from "./exports.ts"
import { formatIssuer, seedOf } from "./issuer.ts"
import { type ServerPlan, serverConfig } from "./server-config.ts"

export { monitorPort } from "./server-config.ts"

export interface InitOptions {
  readonly names: Names
  /** The servers to be set up: one, or an odd number that make a cluster. */
  readonly servers: readonly ServerPlan[]
}

/** Files by name, all of them secret but the servers' configurations. */
export type InitFiles = ReadonlyMap<string, string>

const unlimited: OperatorLimits = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
}

/**
 * Makes what NATS servers need to serve a hub and its tenants: an operator, a system account, the hub's account with
 * JetStream, and what the hub needs to enter it and to issue credentials.
 *
 * - `<server>.conf`: the configuration of each server; `accounts.conf`: the part that they share
 * - `hub.creds`: with which the hub connects; `issuer.json`: with which it issues credentials of tenants
 * - `operator.seed`: the operator's identity; nothing needs it to run, keep it elsewhere
 */
export async function createNatsFiles({ names, servers }: InitOptions): Promise<InitFiles> {
  const operator = createOperator()
  const operatorSigner = createOperator()
  const system = createAccount()
  const hub = createAccount()
  const hubSigner = createAccount()
  const systemCredentials = await credentials("redcar", system, system)
  const accounts = [
    [system.getPublicKey(), await encodeAccount("SYS", system, { limits: unlimited }, { signer: operatorSigner })],
    [hub.getPublicKey(), await encodeAccount("redcar", hub, hubAccount(names, hubSigner), { signer: operatorSigner })],
  ] as const
  const operatorJwt = await encodeOperator("redcar", operator, {
    signing_keys: [operatorSigner.getPublicKey()],
    system_account: system.getPublicKey(),
  })
  const issuer = { operator: operatorSigner, account: hub.getPublicKey(), signer: hubSigner, systemCredentials }
  return new Map([
    ...servers.map((server) => [`${server.name}.conf`, serverConfig(server, servers)] as const),
    ["accounts.conf", accountsConfig(operatorJwt, system.getPublicKey(), accounts)],
    ["hub.creds", await credentials("hub", hub, hubSigner)],
    ["issuer.json", formatIssuer(issuer)],
    ["operator.seed", `${seedOf(operator)}\n`],
  ])
}

function hubAccount(names: Names, signer: KeyPair): Partial<Account> {
  return {
    limits: {
      ...unlimited,
      mem_storage: -1,
      disk_storage: -1,
      streams: -1,
      consumer: -1,
      max_ack_pending: -1,
    },
    signing_keys: [signer.getPublicKey()],
    exports: offers(names).map(({ name, subject, streams }) => ({
      name,
      subject,
      type: "service",
      token_req: true,
      response_type: streams ? "Stream" : "Singleton",
    })),
  }
}

/** A user of an account that may do anything there. */
async function credentials(name: string, account: KeyPair, signer: KeyPair): Promise<string> {
  const user = createUser()
  const jwt = await encodeUser(name, user, account, {}, signer === account ? {} : { signer })
  return new TextDecoder().decode(fmtCreds(jwt, user))
}

function accountsConfig(operator: string, system: string, accounts: readonly (readonly [string, string])[]): string {
  return `# Who may be in these servers: the operator's accounts. Tenants' accounts come later, from the hub.
operator: ${operator}
system_account: ${system}
resolver_preload: {
${accounts.map(([key, jwt]) => `  ${key}: ${jwt}`).join("\n")}
}
`
}
