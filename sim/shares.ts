import type { TenantShare, TenantShares } from "../src/core/tenant-shares.ts"
import type { Sending } from "../src/testing/destinations.ts"

/** The tenant that has limits of its own, in some runs; and its limits. */
export const limitedTenant = "t2"
const limit = { weight: 1, inFlightMax: 6, ratePerSecond: 8 } satisfies TenantShare

/** What tenants have of what is in flight. */
export function sharesOf(limitsTenant: boolean): TenantShares {
  return new Map<string, TenantShare>([
    ["t1", { weight: 3 }],
    ...(limitsTenant ? [[limitedTenant, limit] as const] : []),
  ])
}

/** What a process sends for the tenant that has limits. */
export class LimitedSending {
  readonly #flying = new Set<Sending>()
  #begun: number[] = []

  /** Answers what is wrong. */
  begins(sending: Sending, now: number): string | undefined {
    this.#flying.add(sending)
    if (this.#flying.size > limit.inFlightMax)
      return `${this.#flying.size} deliveries of ${limitedTenant} are in flight`
    this.#begun = this.#begun.filter((at) => at > now - 1_000)
    this.#begun.push(now)
    // A second of them, one for the edge, and the last request, which began when all before it were made up for.
    const most = limit.ratePerSecond + 1 + sending.events
    return this.#begun.length > most ? `${this.#begun.length} of ${limitedTenant} began within a second` : undefined
  }

  ends(sending: Sending): void {
    this.#flying.delete(sending)
  }

  /** The next process knows nothing of what this one has sent. */
  crashed(): void {
    this.#flying.clear()
    this.#begun = []
  }
}
