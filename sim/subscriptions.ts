import { call } from "./calls.ts"
import type { Doing, Exemption } from "./doings.ts"
import type { Workplace } from "./workplace.ts"

/** Subscriptions that come and go, and are read. */
export const subscriptionDoings: Readonly<Record<string, Doing | Exemption>> = {
  readSubscription: asked(() => ({ query: { limit: "20" } })),
  commitSubscription: asked(({ world, chance }) => ({
    body: { cursor: chance.pick(world.record.acknowledged).cursor },
  })),
  resetSubscription: asked(({ chance }) => ({ body: { to: chance.pick(["oldest", "newest"]) } })),
  streamSubscription: { exempt: "it ends with its client alone; it reads the log as readSubscription does" },
}

function asked(what: (place: Workplace) => object): Doing {
  return {
    weight: 2,
    async run(place, { tenant, subscription: id }, operation) {
      if (place.world.record.acknowledged.length === 0) return
      await call(place, { operation, tenant, parameters: { id }, ...what(place) })
    },
  }
}
