import type { LeasingAnywhere } from "../../../core/deliveries.ts"
import { laneOf } from "../../../core/delivery.ts"
import type { ShardCalls } from "./shard.ts"

/** Leasing by the shard that has the lane, be it here or in another process. `shardOf` throws ClosedError at the end. */
export function leasingAnywhere(shardOf: (lane: string) => ShardCalls): LeasingAnywhere {
  return {
    lease: async (options) => shardOf(options.lane).lease(options),
    extend: async (lease, leaseMs) => shardOf(laneOf(lease.delivery)).extend(lease, leaseMs),
    end: async (lease, ending) => shardOf(laneOf(lease.delivery)).end(lease, ending),
    leased: async (lane, names) => shardOf(lane).leased(lane, names),
    keep: async (lane, names) => shardOf(lane).keep(lane, names),
    unlock: async (lane, ids) => shardOf(lane).unlock(lane, ids),
    due: async (lane, stop) => shardOf(lane).due(lane, stop),
  }
}
