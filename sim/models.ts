import { selfMadeTopic } from "./bodies.ts"
import type { Json } from "./calls.ts"
import { see, storedTrigger } from "./change.ts"
import type { Hub } from "./hub.ts"
import { type Fields, ResourceModel, type ResourceName } from "./model.ts"
import type { Operations } from "./operations.ts"
import { InvariantError } from "./record.ts"
import { tenants } from "./scenario.ts"
import type { World } from "./world.ts"

/** What is known of a resource. */
export function modelOf({ record, clock }: World, name: ResourceName, tenant: string, id: string): ResourceModel {
  const path = `${name}/${tenant}/${id}`
  const known = record.models.get(path)
  if (known) return known
  const byItself = name === "topic" ? { byItself: selfMadeTopic } : {}
  const made = new ResourceModel({ name, tenant, id, now: clock.now(), ...byItself })
  record.models.set(path, made)
  return made
}

const lists = [
  ["topic", "listTopics"],
  ["trigger", "listTriggers"],
  ["destination", "listDestinations"],
  ["schedule", "listSchedules"],
  ["subscription", "listSubscriptions"],
] as const

/** 7: every resource is as it was last acknowledged to be, or as it was asked to be since; and there are no others. */
export async function checkResources(world: World, hub: Hub, operations: Operations): Promise<void> {
  for (const tenant of tenants) {
    for (const [name, list] of lists) {
      const operation = operations.get(list)!
      const { body } = await hub.call({ operation, tenant, query: { pageSize: "1000" } })
      const shown = new Map((body as Json).items.map((item: Fields) => [String(item.id), item]))
      for (const model of world.record.models.values()) {
        if (model.name !== name || model.tenant !== tenant) continue
        see(world, model, shown.get(model.id) as Fields | undefined, await storedTrigger(hub, model))
        shown.delete(model.id)
      }
      for (const id of shown.keys()) world.violate(new InvariantError(7, `nobody made the ${name} ${tenant}/${id}`))
    }
  }
}
