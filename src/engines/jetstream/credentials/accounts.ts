import type { Catalog, Item } from "../../../core/catalog.ts"
import { natsAccountKeys } from "../../../core/catalog-keys.ts"
import type { Clock } from "../../../core/clock.ts"
import { changeAgainst } from "../../../core/conflicts.ts"
import { OverloadError } from "../../../core/errors.ts"
import type { Names } from "../names.ts"
import { type AccountRefusal, announceAccount } from "./announce.ts"
import type { Issuer } from "./issuer.ts"
import { encodeTenantAccount, type TenantAccount } from "./tenant-account.ts"

export interface AccountsOptions {
  /** The servers' addresses, to enter their system account. */
  readonly servers: readonly string[]
  /** Certificates of who signed the servers' own. */
  readonly caFile?: string
  readonly names: Names
  readonly catalog: Catalog
  readonly issuer: Issuer
  readonly clock: Clock
}

/** The accounts of tenants: what they are is in the catalog, and the servers are told. */
export interface Accounts {
  /**
   * Changes what is known of a tenant; undefined where `change` answers that, and changes nothing. Throws OverloadError while
   * others keep changing it.
   */
  edit(
    tenant: string,
    change: (known: TenantAccount | undefined) => TenantAccount | undefined,
  ): Promise<Item<TenantAccount> | undefined>
  /** Tells the servers of the account as it is, also where another process changes it meanwhile. Throws OverloadError. */
  announce(known: Item<TenantAccount>): Promise<TenantAccount | AccountRefusal>
}

/** Other processes may change the same account; so often is it tried again. */
const triesMax = 10

export function openAccounts(options: AccountsOptions): Accounts {
  return {
    edit: (tenant, change) => edit(options, natsAccountKeys.at(tenant), change),
    announce: (known) => announce(options, known),
  }
}

async function edit(
  { catalog, clock }: AccountsOptions,
  key: string,
  change: (known: TenantAccount | undefined) => TenantAccount | undefined,
): Promise<Item<TenantAccount> | undefined> {
  return changeAgainst(clock, key, async () => {
    const item = await catalog.get<TenantAccount>(key)
    const value = change(item?.value)
    if (value === undefined) return undefined
    if (item !== undefined && value === item.value) return item
    return { key, value, revision: await catalog.put(key, value, item?.revision ?? 0) }
  })
}

async function announce(
  { catalog, issuer, names, servers, caFile }: AccountsOptions,
  known: Item<TenantAccount>,
): Promise<TenantAccount | AccountRefusal> {
  let item = known
  for (let tries = 0; tries < triesMax; tries++) {
    const jwt = await encodeTenantAccount(issuer, names, item.value)
    const refusal = await announceAccount(servers, issuer.systemCredentials, jwt, caFile)
    if (refusal !== undefined) return refusal
    const now = await catalog.get<TenantAccount>(known.key)
    if (now === undefined || now.revision <= item.revision) return item.value
    item = now
  }
  throw busy(known.key)
}

function busy(key: string): OverloadError {
  return new OverloadError(1_000, `others keep changing ${key}`)
}
