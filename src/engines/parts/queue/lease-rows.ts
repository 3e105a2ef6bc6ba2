import type { Clock } from "../../../core/clock.ts"
import { foreverMs, type Lease, type LeaseName, type LiveLease } from "../../../core/deliveries.ts"
import { findKept, type Kept, type KeptPlace } from "./kept.ts"
import type { Lane, Row } from "./lane.ts"
import type { Lanes } from "./lanes.ts"
import type { Leases } from "./leases.ts"
import type { Order } from "./order.ts"
import type { RowState } from "./row.ts"

/** What leasing works on. */
export interface LeasePlace {
  readonly lanes: Lanes
  readonly order: Order
  readonly leases: Leases
  readonly clock: Clock
}

interface Wanted {
  readonly max: number
  readonly leaseMs: number
}

/** How often one call looks for others where those that it had were not the first of their order. */
const passesMax = 16

/** See Deliveries.lease. */
export function leaseRows(place: LeasePlace, lane: Lane, wanted: Wanted): readonly Lease[] {
  const leases: Lease[] = []
  let isShort = true
  for (let passes = 0; isShort && passes < passesMax; passes++) {
    isShort = leaseSome(place, lane, wanted, leases) && lane.hasDue
  }
  // From here on new work is news. Where less than asked for came, what is still being written is news too.
  if (leases.length < wanted.max || !lane.hasDue) lane.told = false
  if (isShort) place.lanes.wakeSoon(lane)
  return leases
}

/** Answers whether rows that are not the first of their order made room for others. */
function leaseSome({ lanes, order, leases, clock }: LeasePlace, lane: Lane, wanted: Wanted, given: Lease[]): boolean {
  const { max, leaseMs } = wanted
  lanes.prepare(lane, max - given.length)
  // Ordered ones have their share also where more of the others are due than memory holds.
  const share = lanes.hasSlack(lane, max) ? (max + 1) >> 1 : 0
  order.fill(lane, Math.max(share, max - given.length - lane.ready.size))
  const now = clock.steady()
  let wasSetAside = false
  while (given.length < max) {
    const row = lanes.take(lane)
    if (row === undefined) return wasSetAside
    if (!order.begin(row)) {
      lanes.setAside(row)
      wasSetAside = true
      continue
    }
    leases.begin(row, now, leaseMs)
    given.push(leaseOf(row))
  }
  return false
}

type Leased = Pick<Row, "delivery" | "attempts" | "forgiven" | "firstDueAt" | "token"> & Pick<RowState, "unended">

function leaseOf({ delivery, attempts, forgiven: attemptsForgiven, firstDueAt, token, unended }: Leased): Lease {
  const lease = { delivery, attempt: attempts + 1, attemptsForgiven, firstDueAt, token }
  return unended ? { ...lease, unended: true } : lease
}

/** See LeasingAnywhere.leased. */
export function liveLeases(
  place: KeptPlace,
  lane: string,
  names: readonly LeaseName[],
): readonly (LiveLease | undefined)[] {
  const now = place.clock.steady()
  return names.map(({ token, id }) => {
    const row = place.leases.find(token)
    // One that never lapses may have the token of another: it is of an earlier opening, or of the hub that it was moved from.
    if (row?.lane.name === lane && (id === "" || row.delivery.id === id)) return liveLeaseOf(row, now)
    const kept = findKept(place, lane, id)
    return kept?.token === token ? keptLeaseOf(kept, place.clock.now()) : undefined
  })
}

function liveLeaseOf(row: Row, now: number): LiveLease {
  const { leasedAt, deadline, begunAt } = row
  return { ...leaseOf(row), heldMs: Math.max(0, now - leasedAt), leftMs: Math.max(0, deadline - now), begunAt }
}

function keptLeaseOf({ delivery, state, token }: Kept, now: number): LiveLease {
  const { attempts, forgiven, firstDueAt, dueAt: begunAt } = state
  const lease = leaseOf({ delivery, attempts, forgiven, firstDueAt, token })
  return { ...lease, heldMs: Math.max(0, now - begunAt), leftMs: foreverMs, begunAt }
}
