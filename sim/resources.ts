import { destinationBody, scheduleBody, triggerBody } from "./bodies.ts"
import { change } from "./change.ts"
import type { Fields, ResourceModel } from "./model.ts"
import { modelOf } from "./models.ts"
import {
  answersTopic,
  clockTopic,
  type DestinationPlan,
  sideTopics,
  type TriggerPlan,
  tenants,
  topics,
  trimmedEventsMax,
  trimmedTopic,
} from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** Makes what a run begins with. */
export async function createPlanned(place: Workplace): Promise<void> {
  // The first publish, and the first trigger, make a topic by themselves.
  for (const tenant of tenants)
    for (const topic of [...topics, ...sideTopics, clockTopic, answersTopic])
      modelOf(place.world, "topic", tenant, topic)
  for (const plan of place.scenario.destinations) if (!plan.comesAndGoes) await createDestination(place, plan)
  for (const tenant of tenants) {
    const body = { labels: {}, retention: { eventsMax: trimmedEventsMax }, dedupeWindow: "1m" }
    await create(place, modelOf(place.world, "topic", tenant, trimmedTopic), "createTopic", body)
  }
  for (const plan of place.scenario.schedules) {
    await create(place, modelOf(place.world, "schedule", plan.tenant, plan.id), "createSchedule", scheduleBody(plan))
  }
}

/** Makes the destinations that are not there: what is owed to them is held until they are. */
export async function createMissing(place: Workplace): Promise<void> {
  for (const plan of place.scenario.destinations) {
    const model = modelOf(place.world, "destination", plan.tenant, plan.id)
    if (!model.isSurelyThere || model.isUnclear) await createDestination(place, plan)
  }
}

function createDestination(place: Workplace, plan: DestinationPlan): Promise<void> {
  const model = modelOf(place.world, "destination", plan.tenant, plan.id)
  return create(place, model, "createDestination", destinationBody(place.world.chance, plan))
}

/** Makes a trigger that starts somewhere. */
export function createTrigger(place: Workplace, plan: TriggerPlan): Promise<void> {
  const model = modelOf(place.world, "trigger", plan.tenant, plan.id)
  const start = place.chance.pick(["now", "oldest"])
  return create(place, model, "createTrigger", { ...triggerBody(plan), paused: false }, { start })
}

/** Asks until it is there. */
async function create(place: Workplace, model: ResourceModel, id: string, fields: Fields, more: Fields = {}) {
  const operation = place.operations.get(id)!
  const asked = { model, kind: "create", operation, body: { id: model.id, ...fields, ...more } } as const
  // Ends: a hub comes up that answers, or the run ends by its limit.
  while (!model.isSurelyThere || model.isUnclear) await change(place, { ...asked, next: () => fields })
}
