/** What a tenant has of a process's deliveries, over all of its destinations. */
export interface TenantShare {
  /** Its part where slots are short, against the weights of the others. A whole number from 1. */
  readonly weight: number
  /** Deliveries in progress at once at most. Default: no limit of its own. */
  readonly inFlightMax?: number
  /** Attempts begun per second at most. Default: no limit. */
  readonly ratePerSecond?: number
}

/** By tenant; `*` is for those that are not named. */
export type TenantShares = ReadonlyMap<string, TenantShare>
