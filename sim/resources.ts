import type { Cursor } from "../src/core/cursor.ts"
import { type Destination, newIncarnation, type Trigger } from "../src/core/resources.ts"
import type { SimulatedConfig } from "../src/testing/destinations.ts"
import type { Hub } from "./hub.ts"
import type { TriggerRecord } from "./record.ts"
import { type DestinationPlan, planFilters, type TriggerPlan } from "./scenario.ts"
import { pausedByHand, versionOf } from "./triggers.ts"
import { expectRefusal, type Workplace } from "./workplace.ts"

export function endpointOf({ tenant, id }: { readonly tenant: string; readonly id: string }): string {
  return `${tenant}-${id}`
}

/** Stores a destination; asks again until it is heard. */
export async function createDestination({ world, processes }: Workplace, plan: DestinationPlan): Promise<void> {
  const { tenant, id } = plan
  const now = world.clock.now()
  const config: SimulatedConfig = { endpoint: endpointOf(plan), timeoutMs: 5_000 }
  const destination: Destination = {
    ...{ id, tenant, createdAt: now, updatedAt: now, labels: {}, kind: "simulated", config, signingKeys: [] },
    concurrency: world.chance.pick([1, 4, 32]),
    ...(plan.character !== "steady" && world.chance.happens(0.2) ? { ratePerSecond: 5 } : {}),
  }
  // Ends: a hub comes up that answers, or the run ends by its limit.
  for (;;) {
    const asked = await processes.ask(`put destination ${tenant}/${id}`, (hub) =>
      hub.engine.catalog.put(`destination/${tenant}/${id}`, destination),
    )
    if (asked.kind === "answered") return
  }
}

/** Makes a trigger; asks again until it is there. */
export async function createTrigger(place: Workplace, plan: TriggerPlan): Promise<void> {
  const key = `trigger/${plan.tenant}/${plan.id}`
  const record = recordOf(place, plan)
  const incarnation = newIncarnation(place.world.clock.now(), place.chance)
  // Ends: a hub comes up that answers, or the run ends by its limit.
  for (;;) {
    const made = await place.processes.ask(`make ${key}`, async (hub) => {
      const trigger = makeTrigger(plan, await chooseStart(place, hub, plan), place.world.clock.now())
      await put(place, hub, record, { ...trigger, incarnation }, 0)
    })
    if (made.kind === "answered") return
    if (made.kind === "refused") expectRefusal(place.world, made.error)
    const found = await place.processes.ask(`get ${key}`, (hub) => hub.engine.catalog.get<Trigger>(key))
    if (found.kind !== "answered" || !found.value) continue
    // An earlier question was lost on its way back: the trigger is there.
    const { createdAt } = found.value.value
    const version = record.versions.find(({ trigger }) => trigger.createdAt === createdAt)
    if (version) version.acknowledgedAt = place.world.clock.now()
    return
  }
}

interface Named {
  readonly tenant: string
  readonly id: string
}

function recordOf({ world }: Workplace, { tenant, id }: Named): TriggerRecord {
  const path = `${tenant}/${id}`
  const record = world.record.triggers.get(path) ?? { tenant, id, versions: [] }
  world.record.triggers.set(path, record)
  return record
}

export type TriggerChange = "pause" | "resume" | "filters"

/** Changes a trigger as the API does: reads it, and stores it if nobody else did meanwhile. */
export async function changeTrigger(place: Workplace, trigger: Named, change: TriggerChange): Promise<void> {
  const { world, processes, chance } = place
  const key = `trigger/${trigger.tenant}/${trigger.id}`
  const asked = await processes.ask(`${change} ${key}`, async (hub) => {
    const item = await hub.engine.catalog.get<Trigger>(key)
    if (!item) return
    const next = changed(item.value, change, world.clock.now(), () => planFilters(chance))
    await put(place, hub, recordOf(place, trigger), next, item.revision)
  })
  if (asked.kind === "refused") expectRefusal(world, asked.error)
}

/** Deletes a trigger; that it may be gone counts from the question on. */
export async function deleteTrigger(place: Workplace, { tenant, id }: Named): Promise<void> {
  const { world, processes } = place
  const record = recordOf(place, { tenant, id })
  record.deletionAt ??= world.clock.now()
  const asked = await processes.ask(`delete trigger/${tenant}/${id}`, (hub) =>
    hub.engine.catalog.delete(`trigger/${tenant}/${id}`),
  )
  if (asked.kind === "answered") record.deletedAt ??= world.clock.now()
  if (asked.kind === "refused") expectRefusal(world, asked.error)
}

/** Now, the beginning, or after an event that was acknowledged: often one of the newest that the trigger listens to. */
async function chooseStart({ world, chance }: Workplace, hub: Hub, plan: TriggerPlan): Promise<Cursor> {
  const start = chance.pick(["now", "oldest", "cursor", "cursor"] as const)
  if (start === "now") return hub.engine.log.head()
  if (start === "oldest") return hub.engine.log.oldest()
  const [topic] = plan.topic.split(":")
  const its = world.record.acknowledged.filter(
    ({ address }) => address.tenant === plan.tenant && address.topic === topic,
  )
  if (its.length === 0) return hub.engine.log.oldest()
  return chance.pick(chance.happens(0.5) ? its : its.slice(-2)).cursor
}

function makeTrigger(plan: TriggerPlan, from: Cursor, now: number): Trigger {
  const { id, tenant, topic, filters, destination, retry } = plan
  return { id, tenant, createdAt: now, updatedAt: now, labels: {}, topic, filters, destination, retry, from }
}

function changed(trigger: Trigger, change: TriggerChange, now: number, filters: () => Trigger["filters"]): Trigger {
  const { paused, ...running } = trigger
  if (change === "resume") return { ...running, updatedAt: now }
  if (change === "filters") return { ...trigger, filters: filters(), updatedAt: now }
  return { ...running, paused: paused ?? { since: now, reason: pausedByHand }, updatedAt: now }
}

async function put(
  { world }: Workplace,
  hub: Hub,
  record: TriggerRecord,
  trigger: Trigger,
  revision: number,
): Promise<void> {
  const version = versionOf(trigger, world.clock.now())
  record.versions.push(version)
  try {
    await hub.engine.catalog.put(`trigger/${trigger.tenant}/${trigger.id}`, trigger, revision)
  } catch (error) {
    record.versions.splice(record.versions.indexOf(version), 1)
    throw error
  }
  if (hub.alive()) version.acknowledgedAt = world.clock.now()
}
