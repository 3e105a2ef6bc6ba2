import { AckPolicy, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/nats-core"
import { createAccount } from "@nats-io/nkeys"
import type { Clock } from "../../../core/clock.ts"
import type { Catalog, CredentialsOptions, IssuedCredentials, TenantCredentials } from "../../../core/engine.ts"
import { ConflictError, OverloadError } from "../../../core/errors.ts"
import type { Names } from "../names.ts"
import { AccountRefusal, announceAccount } from "./announce.ts"
import { consumerName, tenantSubject } from "./exports.ts"
import type { Issuer } from "./issuer.ts"
import { encodeTenantAccount, issueUser, type TenantAccount } from "./tenant-account.ts"

export interface TenantCredentialsOptions {
  /** In the hub's account. */
  readonly nats: NatsConnection
  /** The servers' addresses, to enter their system account. */
  readonly servers: readonly string[]
  readonly names: Names
  readonly partitions: number
  readonly catalog: Catalog
  readonly issuer: Issuer
  readonly clock: Clock
}

/** A tenant's consumers at most: each costs the servers memory, on every partition. */
export const consumersMax = 32
/** Other processes may issue for the same tenant; so often is it tried again. */
const triesMax = 10
const catalogPrefix = "nats-account/"
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

/** Issues credentials of tenants. One account for each tenant, made at its first credentials. */
export function createTenantCredentials(options: TenantCredentialsOptions): TenantCredentials {
  return { issue: (tenant, asked) => issue(options, tenant, asked) }
}

async function issue(
  options: TenantCredentialsOptions,
  tenant: string,
  { consumer, expiresInMs }: CredentialsOptions,
): Promise<IssuedCredentials> {
  if (!namePattern.test(tenant) || (consumer !== undefined && !namePattern.test(consumer))) {
    throw new TypeError("a tenant's and a consumer's name is 1 to 63 of a-z, 0-9 and -")
  }
  const { names, partitions, issuer, clock } = options
  const streams = Array.from({ length: partitions }, (_, partition) => names.logStream(partition))
  const subject = tenantSubject(names, tenant)
  const durable = consumerName(tenant, consumer)
  const known = await know(options, tenant, durable)
  if (known === undefined) return { kind: "refused", reason: `${tenant} has ${consumersMax} consumers already` }
  await makeConsumers(options.nats, streams, durable, subject)
  const account = await announce(options, known)
  if (account instanceof AccountRefusal) {
    return { kind: "refused", reason: `the NATS servers do not take the account of ${tenant}: ${account.reason}` }
  }
  const expiresAtSeconds = Math.ceil((clock.now() + expiresInMs) / 1_000)
  const creds = await issueUser(issuer, names, account, { consumer: durable, expiresAtSeconds })
  return {
    kind: "issued",
    text: `${legend({ tenant, subject, durable, streams, expiresAtSeconds })}${creds}`,
    expiresAt: expiresAtSeconds * 1_000,
    subject,
    consumer: durable,
    streams,
  }
}

/** Adds the consumer to what is known of the tenant; undefined where it has too many. */
async function know(
  { catalog }: TenantCredentialsOptions,
  tenant: string,
  consumer: string,
): Promise<TenantAccount | undefined> {
  const key = `${catalogPrefix}${tenant}`
  for (let tries = 0; tries < triesMax; tries++) {
    const item = await catalog.get<TenantAccount>(key)
    const known = item?.value ?? { tenant, account: createAccount().getPublicKey(), consumers: [] }
    if (item !== undefined && known.consumers.includes(consumer)) return known
    if (known.consumers.length >= consumersMax) return undefined
    const more: TenantAccount = { ...known, consumers: [...known.consumers, consumer] }
    try {
      await catalog.put(key, more, item?.revision ?? 0)
      return more
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new OverloadError(1_000, `others keep issuing credentials of ${tenant}`)
}

/** One on each partition, from the oldest event on. Those that are there stay where they are. */
async function makeConsumers(nats: NatsConnection, streams: readonly string[], durable: string, subject: string) {
  try {
    const manager = await jetstreamManager(nats)
    await Promise.all(
      streams.map((stream) =>
        manager.consumers.add(stream, {
          durable_name: durable,
          filter_subject: subject,
          ack_policy: AckPolicy.Explicit,
          deliver_policy: DeliverPolicy.All,
        }),
      ),
    )
  } catch (error) {
    throw new OverloadError(1_000, `the consumers could not be made: ${String(error)}`)
  }
}

/** Tells the servers of the account as it is, also where another process adds to it meanwhile. */
async function announce(
  { catalog, issuer, names, servers }: TenantCredentialsOptions,
  known: TenantAccount,
): Promise<TenantAccount | AccountRefusal> {
  let account = known
  for (let tries = 0; tries < triesMax; tries++) {
    const jwt = await encodeTenantAccount(issuer, names, account)
    const refusal = await announceAccount(servers, issuer.systemCredentials, jwt)
    if (refusal !== undefined) return refusal
    const now = (await catalog.get<TenantAccount>(`${catalogPrefix}${known.tenant}`))?.value ?? account
    if (now.consumers.length === account.consumers.length) return account
    account = now
  }
  throw new OverloadError(1_000, `others keep issuing credentials of ${known.tenant}`)
}

interface Legend {
  readonly tenant: string
  readonly subject: string
  readonly durable: string
  readonly streams: readonly string[]
  readonly expiresAtSeconds: number
}

/** What the credentials are for, above them; clients read only what stands between the marks. */
function legend({ tenant, subject, durable, streams, expiresAtSeconds }: Legend): string {
  return `# Redcar, tenant ${tenant}; good until ${new Date(expiresAtSeconds * 1_000).toISOString()}
# publish: ${subject}
# read: consumer ${durable} of ${streams.join(", ")}

`
}
