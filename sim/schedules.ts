import { scheduleKeys } from "../src/core/catalog-keys.ts"
import type { StoredEvent } from "../src/core/log.ts"
import type { Schedule } from "../src/core/schedules.ts"
import type { Hub } from "./hub.ts"
import { InvariantError } from "./record.ts"
import { clockTopic, type Scenario, type SchedulePlan } from "./scenario.ts"
import type { World } from "./world.ts"

/** Whoever is not disturbed publishes this soon. */
const promptMs = 5_000
/** What disturbs a hub so long before a run may still hold it up: it tries again after ten seconds. */
const beforeMs = 12_000

/** 9: each run that was due while the hub could publish is in the log once, none is there twice, and none in between. */
export async function checkSchedules(
  world: World,
  { engine }: Hub,
  { schedules }: Scenario,
  events: readonly StoredEvent[],
): Promise<void> {
  const ours = events.filter(({ address }) => address.topic === clockTopic)
  checkOnce(world, ours)
  for (const plan of schedules) {
    const item = await engine.catalog.get<Schedule>(scheduleKeys.of(plan))
    // Where the hub's own records are damaged it may not be there.
    if (item === undefined) continue
    const its = ours.filter(
      ({ address, event }) => address.tenant === plan.tenant && event.source === `/schedules/${plan.id}`,
    )
    checkRuns(world, plan, item.value, its)
  }
}

/** No schedule says the same twice; one that was made anew under an id is another one. */
function checkOnce({ record }: World, events: readonly StoredEvent[]): void {
  if (record.damage.count > 0) return
  const seen = new Set<string>()
  for (const { address, event, cursor } of events) {
    const identity = `${address.tenant} ${event.id}`
    if (seen.has(identity)) throw new InvariantError(9, `${identity} was published again, at ${cursor}`)
    seen.add(identity)
  }
}

function checkRuns(world: World, plan: SchedulePlan, schedule: Schedule, events: readonly StoredEvent[]): void {
  const { record, clock } = world
  const path = `schedule ${plan.tenant}/${plan.id}`
  const times = new Set(events.map(({ event }) => Date.parse(String(event.attribute("time")))))
  const [first, every] = [firstRun(plan, schedule), plan.everyMs]
  for (const time of times) {
    if (time >= first && (time - first) % every === 0) continue
    throw new InvariantError(9, `${path} ran at ${time}, which is none of its times`)
  }
  if (record.damage.count > 0) return
  for (let time = first; time < clock.now() - promptMs; time += every) {
    const isDue = plan.missed === "all" || !record.disturbed(time - beforeMs, time + promptMs)
    if (isDue) record.count("runs due")
    if (isDue && !times.has(time)) throw new InvariantError(9, `${path} has not run at ${time}`)
  }
}

/** Expressions of the plan name every so many seconds of a minute. */
function firstRun({ everyMs, cron }: SchedulePlan, { createdAt }: Schedule): number {
  return cron === undefined ? createdAt + everyMs : Math.floor(createdAt / everyMs) * everyMs + everyMs
}
