import { call } from "./calls.ts"
import type { Doing } from "./doings.ts"

/** Work queues, asked of destinations that are none. */
export const queueDoings: Readonly<Record<string, Doing>> = {
  getQueue: asked(),
  leaseDeliveries: asked({ waitFor: "1s" }),
  extendLeases: asked({ leases: ["x"] }),
  settleLeases: asked({ settlements: [{ lease: "x", result: "done" }] }),
}

function asked(body?: object): Doing {
  return {
    weight: 1,
    async run(place, { tenant, destination: queue }, operation) {
      await call(place, { operation, tenant, parameters: { queue }, ...(body && { body }) })
    },
  }
}
