import { doings, someSubject } from "./doings.ts"
import { modelOf } from "./models.ts"
import { subscriptionTopics, tenants } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

const asked = [
  ...["readSubscription", "readSubscription", "commitSubscription", "commitSubscription", "commitSubscription"],
  ...["resetSubscription", "deleteSubscription", "updateSubscription"],
]

/** Reads subscriptions and moves them, makes those that are not there, and lets some go. */
export async function subscriber(place: Workplace): Promise<void> {
  const { world, chance } = place
  // Ends: with the time for faults.
  while (place.working()) {
    await place.pause(600 * chance.next())
    const subject = { ...someSubject(place, chance.pick(tenants)), subscription: chance.pick(names) }
    const model = modelOf(world, "subscription", subject.tenant, subject.subscription)
    await run(place, subject, model.mayBeThere ? chance.pick(asked) : "createSubscription")
  }
  for (const tenant of tenants)
    for (const subscription of names)
      await run(place, { ...someSubject(place, tenant), subscription }, "readSubscription")
}

const names = Object.keys(subscriptionTopics)

async function run(place: Workplace, subject: ReturnType<typeof someSubject>, id: string): Promise<void> {
  const doing = doings[id]!
  if (!("exempt" in doing)) await doing.run(place, subject, place.operations.get(id)!)
}
