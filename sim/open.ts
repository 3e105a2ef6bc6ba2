import type { OpenDelivery } from "../src/core/open-delivery.ts"
import type { DeliveryQueue } from "../src/core/queue.ts"
import { call, type Json } from "./calls.ts"
import type { Doing, Subject } from "./doings.ts"
import type { Operation } from "./operations.ts"
import { InvariantError } from "./record.ts"
import { type Scenario, tenants } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** What is still to be delivered, as it is listed. */
export const openDoings: Readonly<Record<string, Doing>> = {
  listOpenDeliveries: { weight: 2, run: list },
  resendDelivery: { weight: 3, run: resend },
}

/** Of an event that may have been delivered long ago, just now, not yet or never. */
async function resend(place: Workplace, { tenant }: Subject, operation: Operation): Promise<void> {
  const { chance, world, scenario } = place
  const { record } = world
  const its = record.acknowledged.filter(({ address }) => address.tenant === tenant)
  if (its.length === 0) return
  const { cursor } = chance.pick(chance.happens(0.5) ? its : its.slice(-20))
  for (const { id: trigger } of scenario.triggers.filter((plan) => plan.tenant === tenant)) {
    const taken = new Map([...record.deliveries.values()].map((known) => [known.id, known.taken]))
    const asked = await call(place, { operation, tenant, parameters: { cursor, trigger } })
    if (asked.kind !== "answered" || asked.value.status !== 200) continue
    record.count(operation.id)
    const { id } = asked.value.body
    record.delivery(id).resentFrom = taken.get(id) ?? 0
  }
}

/** 2, 5: what is listed is the tenant's own, what was asked for, in order, and was not done before. */
async function list(place: Workplace, { tenant, destination }: Subject, operation: Operation): Promise<void> {
  const { chance, world } = place
  const { record, violate } = world
  const which = chance.pick<Record<string, string>>([{}, {}, { destination }, { state: "parked" }, { state: "held" }])
  const resting = restingOf(place, tenant)
  const listed = new Set<string>()
  const done = new Set([...record.deliveries.values()].filter(({ ended }) => ended).map(({ id }) => id))
  const query = { ...which, pageSize: chance.pick(["3", "50"]) }
  let last = ""
  let pageToken: string | undefined
  // Ends: with the list, of which each page tells more, or when the hub does not answer.
  do {
    const asked = await call(place, { operation, tenant, query: { ...query, ...(pageToken && { pageToken }) } })
    if (asked.kind !== "answered" || asked.value.status !== 200) return
    const { items, nextPageToken } = asked.value.body as Json
    for (const item of items) {
      const [incarnation] = item.id.split(".").slice(2)
      const of = record.triggersFor({ tenant, trigger: item.trigger, incarnation })
      if (of.length === 0)
        violate(new InvariantError(5, `${tenant} was shown ${item.id}, of a trigger that is not its own`))
      if (item.id <= last) violate(new InvariantError(2, `${item.id} was listed after ${last}`))
      if (Object.entries(which).some(([name, value]) => item[name] !== value))
        violate(new InvariantError(2, `${item.id} was listed, and is not what was asked for`))
      const { ended } = record.delivery(item.id)
      if (done.has(item.id) && ended && of.every(({ deletionAt }) => deletionAt === undefined))
        violate(new InvariantError(2, `${item.id} was listed as ${item.state}, though it was ${ended.kind}`))
      last = item.id
      listed.add(item.id)
    }
    pageToken = nextPageToken
  } while (pageToken !== undefined)
  if (Object.keys(which).length > 0) return
  for (const id of restingOf(place, tenant, resting).keys()) {
    if (!listed.has(id)) violate(new InvariantError(2, `${id} waits for its retry, and is not listed`))
  }
}

/** The deliveries of a tenant that wait for their retry; of those `before`, those that still do. */
function restingOf({ world }: Workplace, tenant: string, before?: ReadonlyMap<string, object>): Map<string, object> {
  const { record, clock } = world
  const resting = new Map<string, object>()
  for (const { id, rest, live } of record.deliveries.values()) {
    if (!rest || live || rest.untilMs <= clock.now() || (before && before.get(id) !== rest)) continue
    const [, trigger, incarnation] = id.split(".")
    const of = record.triggersOf({ tenant, id: trigger! }).find((each) => each.incarnation === incarnation)
    if (of && of.deletionAt === undefined) resting.set(id, rest)
  }
  return resting
}

/** 2: every open delivery is listed, and counted where its destination's status is told. */
export async function checkOpen(queue: DeliveryQueue, { destinations }: Scenario): Promise<void> {
  for (const tenant of tenants) {
    const listed: OpenDelivery[] = []
    // Ends: with the list: each page begins behind the last one.
    for (let after: string | undefined; ; ) {
      const page = await queue.openDeliveries({ tenant, limit: 7, ...(after !== undefined && { after }) })
      listed.push(...page.deliveries)
      after = page.next
      if (after === undefined) break
    }
    for (const { id } of destinations.filter((plan) => plan.tenant === tenant)) {
      const its = listed.filter(({ delivery }) => delivery.destination === id)
      const lane = `${tenant}/${id}`
      const depth = await queue.depth(lane)
      const status = (await queue.statusOf([lane])).get(lane)
      if (its.length === depth && status?.open === depth && status.oldestDueAt === its[0]?.firstDueAt) continue
      throw new InvariantError(
        2,
        `${lane} has ${depth} open deliveries; ${its.length} are listed, ${status?.open} told`,
      )
    }
  }
}
