import { sleep } from "../src/core/clock.ts"
import type { Topic } from "../src/core/resources.ts"
import { Needs } from "../src/retention/needed.ts"
import { drop, overdueOf } from "../src/retention/prune.ts"
import type { ResourceModel } from "./model.ts"
import type { Tenant } from "./scenario.ts"
import { publishSomething } from "./workload.ts"
import { expectRefusal, type Workplace } from "./workplace.ts"

const publishesMax = 12

/** While a topic is being deleted somebody goes on publishing to it, or retention comes to it, and the hub may die soon after. */
export async function useMeanwhile(place: Workplace, model: ResourceModel, deleting: Promise<unknown>): Promise<void> {
  const { chance, scenario, processes } = place
  if (chance.happens(0.5)) return publishUntil(place, model, deleting)
  await trimSoon(place, model)
  await deleting
  if (scenario.crashes > 0 && chance.happens(0.5)) processes.cutAfter(chance.between(1, 100))
}

/** What is taken late into the deletion finds its topic gone. */
async function publishUntil(place: Workplace, { tenant, id }: ResourceModel, over: Promise<unknown>): Promise<void> {
  const { world, chance } = place
  const state = { over: false }
  over.finally(() => {
    state.over = true
  })
  const published: Promise<void>[] = []
  const pauseMs = chance.pick([0.5, 2, 10])
  while (!state.over && published.length < publishesMax) {
    published.push(publishSomething(place, { tenant: tenant as Tenant, topic: id }))
    await sleep(world.clock, 2 * pauseMs * chance.next())
  }
  await Promise.all(published)
}

/** A round of retention that has read the topic before it was deleted. */
async function trimSoon({ world, chance, processes }: Workplace, { path }: ResourceModel): Promise<void> {
  const asked = await processes.ask(`retention of ${path}`, async ({ engine }) => {
    const topic = await engine.catalog.get<Topic>(path)
    await sleep(world.clock, chance.pick([0, 1, 10]) * chance.next())
    if (topic === undefined) return
    const needs = new Needs(engine, world.clock)
    await drop(engine, topic.value, await overdueOf(engine, topic.value, topic.value.retention, needs))
  })
  if (asked.kind === "refused") expectRefusal(world, asked.error)
}
