import { call } from "./calls.ts"
import type { Doing } from "./doings.ts"
import { InvariantError } from "./record.ts"
import { eventTypes } from "./scenario.ts"

/** Retention that is asked for, beside its rounds. What it drops is held against what topics keep. */
export const pruningDoings: Readonly<Record<string, Doing>> = {
  pruneTopic: {
    weight: 1,
    async run(place, { tenant, topic }, operation) {
      const { chance, world } = place
      const dryRun = chance.happens(0.5)
      // What is only tried may be anything: it does nothing.
      const rules = [{ filters: [{ exact: { type: chance.pick(eventTypes) } }], eventsMax: 1 }]
      const retention = chance.pick([{ eventsMax: 1 }, { rules }])
      const body = dryRun && chance.happens(0.7) ? { dryRun, retention } : { dryRun }
      const asked = await call(place, { operation, tenant, parameters: { id: topic }, body })
      if (asked.kind !== "answered" || asked.value.status !== 200) return
      world.record.count(operation.id)
      const { dropped, goes, held } = asked.value.body
      if (dryRun && dropped > 0)
        world.violate(new InvariantError(1, `a dry run has dropped ${dropped} events of ${tenant}/${topic}`))
      if (held !== undefined && goes.events > 0 && held.events === 0)
        world.violate(new InvariantError(1, `${tenant}/${topic} holds nothing for ${held.id}`))
    },
  },
}
