import type { Cursor } from "../src/core/cursor.ts"
import type { Destination, Trigger } from "../src/core/resources.ts"
import type { SimulatedConfig } from "../src/testing/destinations.ts"
import type { Hub } from "./hub.ts"
import type { TriggerRecord, TriggerVersion } from "./record.ts"
import { type DestinationPlan, planFilters, type TriggerPlan } from "./scenario.ts"
import { expectRefusal, type Workplace } from "./workload.ts"

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
  for (;;) {
    if (await changeTrigger(place, plan, "new")) return
    const asked = await place.processes.ask(`get ${key}`, (hub) => hub.engine.catalog.get<Trigger>(key))
    if (asked.kind !== "answered" || !asked.value) continue
    // An earlier question was lost on its way back: the trigger is there.
    const { createdAt } = asked.value.value
    const version = place.world.record.triggers
      .get(`${plan.tenant}/${plan.id}`)
      ?.versions.find(({ trigger }) => trigger.createdAt === createdAt)
    if (version) version.acknowledgedAt = place.world.clock.now()
    return
  }
}

export type TriggerChange = "new" | "pause" | "resume" | "filters" | "delete"

/** Changes a trigger as the API does: reads it, and stores it if nobody else did meanwhile. */
export async function changeTrigger(place: Workplace, plan: TriggerPlan, change: TriggerChange): Promise<boolean> {
  const { world, processes, chance } = place
  const path = `${plan.tenant}/${plan.id}`
  const record = world.record.triggers.get(path) ?? { tenant: plan.tenant, id: plan.id, versions: [] }
  world.record.triggers.set(path, record)
  const asked = await processes.ask(`${change} trigger ${path}`, async (hub) => {
    if (change === "delete") return remove(place, hub, record)
    const item = change === "new" ? undefined : await hub.engine.catalog.get<Trigger>(`trigger/${path}`)
    if (change !== "new" && !item) return
    const trigger = item
      ? changed(item.value, change, world.clock.now(), () => planFilters(chance))
      : made(plan, await chooseStart(place, hub), world.clock.now())
    await put(place, hub, record, trigger, item?.revision ?? 0)
  })
  if (asked.kind === "refused") expectRefusal(world, asked.error)
  return asked.kind === "answered"
}

/** Now, the beginning, or after an event that was acknowledged. */
async function chooseStart({ world, chance }: Workplace, hub: Hub): Promise<Cursor> {
  const { acknowledged } = world.record
  const start = chance.pick(["now", "now", "oldest", "cursor"] as const)
  if (start === "oldest") return hub.engine.log.oldest()
  if (start === "cursor" && acknowledged.length > 0) return chance.pick(acknowledged).cursor
  return hub.engine.log.head()
}

function made(plan: TriggerPlan, from: Cursor, now: number): Trigger {
  const { id, tenant, topic, filters, destination, retry } = plan
  return { id, tenant, createdAt: now, updatedAt: now, labels: {}, topic, filters, destination, retry, from }
}

function changed(trigger: Trigger, change: TriggerChange, now: number, filters: () => Trigger["filters"]): Trigger {
  const { paused, ...running } = trigger
  if (change === "resume") return { ...running, updatedAt: now }
  if (change === "filters") return { ...trigger, filters: filters(), updatedAt: now }
  return { ...running, paused: paused ?? { since: now, reason: "by hand" }, updatedAt: now }
}

async function put(
  { world }: Workplace,
  hub: Hub,
  record: TriggerRecord,
  trigger: Trigger,
  revision: number,
): Promise<void> {
  const version: TriggerVersion = { trigger, askedAt: world.clock.now() }
  record.versions.push(version)
  try {
    await hub.engine.catalog.put(`trigger/${trigger.tenant}/${trigger.id}`, trigger, revision)
  } catch (error) {
    record.versions.splice(record.versions.indexOf(version), 1)
    throw error
  }
  if (hub.alive()) version.acknowledgedAt = world.clock.now()
}

async function remove({ world }: Workplace, hub: Hub, record: TriggerRecord): Promise<void> {
  record.deletionAt ??= world.clock.now()
  await hub.engine.catalog.delete(`trigger/${record.tenant}/${record.id}`)
  if (hub.alive()) record.deletedAt ??= world.clock.now()
}
