import { AckPolicy, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/nats-core"
import { createAccount } from "@nats-io/nkeys"
import { sleep } from "../../../core/clock.ts"
import type {
  CredentialsOptions,
  IssuedCredentials,
  RevokedCredentials,
  TenantCredentials,
} from "../../../core/credentials.ts"
import { OverloadError } from "../../../core/errors.ts"
import { type Accounts, type AccountsOptions, openAccounts } from "./accounts.ts"
import { AccountRefusal } from "./announce.ts"
import { consumerName, tenantSubject } from "./exports.ts"
import { issueUser, type TenantAccount } from "./tenant-account.ts"

export interface TenantCredentialsOptions extends AccountsOptions {
  /** In the hub's account. */
  readonly nats: NatsConnection
  readonly partitions: number
}

/** A tenant's consumers at most: each costs the servers memory, on every partition. */
export const consumersMax = 32
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

/** Issues credentials of tenants. One account for each tenant, made at its first credentials. */
export function createTenantCredentials(options: TenantCredentialsOptions): TenantCredentials {
  const accounts = openAccounts(options)
  return {
    issue: (tenant, asked) => issue(options, accounts, tenant, asked),
    revoke: (tenant) => revoke(options, accounts, tenant),
  }
}

async function issue(
  options: TenantCredentialsOptions,
  accounts: Accounts,
  tenant: string,
  { consumer, expiresInMs }: CredentialsOptions,
): Promise<IssuedCredentials> {
  requireName(tenant)
  if (consumer !== undefined) requireName(consumer)
  const { names, partitions, issuer, clock } = options
  const streams = Array.from({ length: partitions }, (_, partition) => names.logStream(partition))
  const subject = tenantSubject(names, tenant)
  const durable = consumerName(tenant, consumer)
  const known = await accounts.edit(tenant, (before) => withConsumer(before ?? newAccount(tenant), durable))
  if (known === undefined) return { kind: "refused", reason: `${tenant} has ${consumersMax} consumers already` }
  await makeConsumers(options.nats, streams, durable, subject)
  const account = await accounts.announce(known)
  if (account instanceof AccountRefusal) return refused(tenant, account)
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

function newAccount(tenant: string): TenantAccount {
  return { tenant, account: createAccount().getPublicKey(), consumers: [] }
}

/** The same where it has the consumer; undefined where it has too many. */
function withConsumer(account: TenantAccount, consumer: string): TenantAccount | undefined {
  const { consumers } = account
  if (consumers.includes(consumer)) return account
  return consumers.length < consumersMax ? { ...account, consumers: [...consumers, consumer] } : undefined
}

async function revoke(
  { clock }: TenantCredentialsOptions,
  accounts: Accounts,
  tenant: string,
): Promise<RevokedCredentials> {
  requireName(tenant)
  const revokedAtSeconds = Math.floor(clock.now() / 1_000)
  const known = await accounts.edit(tenant, (before) => before && { ...before, revokedAtSeconds })
  if (known === undefined) return { kind: "unknown" }
  const account = await accounts.announce(known)
  if (account instanceof AccountRefusal) return refused(tenant, account)
  // The servers know the second in which credentials were issued, and no more.
  await sleep(clock, Math.max(0, (revokedAtSeconds + 1) * 1_000 - clock.now()))
  return { kind: "revoked" }
}

function requireName(name: string): void {
  if (!namePattern.test(name)) throw new TypeError("a tenant's and a consumer's name is 1 to 63 of a-z, 0-9 and -")
}

function refused(tenant: string, { reason }: AccountRefusal) {
  return { kind: "refused", reason: `the NATS servers do not take the account of ${tenant}: ${reason}` } as const
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
