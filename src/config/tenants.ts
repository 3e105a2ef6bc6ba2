import type { TenantShare, TenantShares } from "../core/tenant-shares.ts"

const form = 'write "acme weight=4 inFlightMax=50 ratePerSecond=1000", each of the three where it is wanted'
const most: Readonly<Record<string, number>> = { weight: 1_000, inFlightMax: 65_536, ratePerSecond: 1_000_000 }

/** Reads entries of `delivery.tenants`, by tenant (`*`: all that are not named); text: what is wrong with them. */
export function parseTenants(entries: readonly string[]): TenantShares | string {
  const tenants = new Map<string, TenantShare>()
  for (const entry of entries) {
    const [tenant = "", ...words] = entry.trim().split(/\s+/)
    if (!/^(\*|[A-Za-z0-9_.-]{1,64})$/.test(tenant)) return `${JSON.stringify(tenant)} is no tenant: ${form}`
    if (tenants.has(tenant)) return `${tenant} is there twice`
    const said: Record<string, number> = {}
    for (const word of words) {
      const wrong = readWord(word, said)
      if (wrong !== undefined) return `${tenant}: ${wrong}`
    }
    tenants.set(tenant, { weight: 1, ...said })
  }
  return tenants
}

function readWord(word: string, said: Record<string, number>): string | undefined {
  const [name = "", text = "", ...more] = word.split("=")
  if (!Object.hasOwn(most, name) || more.length > 0) return `${JSON.stringify(word)} is no setting: ${form}`
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || value > most[name]!) {
    return `${name} has to be a whole number from 1 to ${most[name]}, not ${JSON.stringify(text)}`
  }
  if (Object.hasOwn(said, name)) return `${name} is there twice`
  said[name] = value
  return undefined
}
