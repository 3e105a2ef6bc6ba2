import { sleep } from "../src/core/clock.ts"
import { call, type Json } from "./calls.ts"
import type { Doing } from "./doings.ts"
import { InvariantError } from "./record.ts"
import { queueId, queueLeaseMs, type Tenant } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** Work queues as they are asked now and then, and destinations that are none. */
export const queueDoings: Readonly<Record<string, Doing>> = {
  getQueue: asked(),
  leaseDeliveries: asked({ waitFor: "1s" }),
  extendLeases: asked({ leases: ["x"] }),
  unlockDeliveries: asked({ all: true }),
  settleLeases: asked({ settlements: [{ lease: "x", result: "done" }] }),
}

function asked(body?: object): Doing {
  return {
    weight: 1,
    async run(place, { tenant, destination }, operation) {
      const queue = place.chance.happens(0.5) ? queueId : destination
      await call(place, { operation, tenant, parameters: { queue }, ...(body && { body }) })
    },
  }
}

/** How a worker is with what it leased. */
const manners = ["settles", "settles", "settles", "extends", "is late", "dies"] as const

/** Works on the tenant's queue until it is over; once faults are, it does all it gets. */
export async function worker(place: Workplace, tenant: Tenant, isOver: () => boolean): Promise<void> {
  const { world, chance } = place
  // Ends: with the run.
  while (!isOver()) {
    const items = await leaseSome(place, tenant)
    // What somebody who died had leased for ever.
    if (items.length === 0 && !place.working()) await post(place, tenant, "unlockDeliveries", { all: true })
    if (items.length === 0) await sleep(world.clock, place.working() ? 100 : 1_000)
    else await work(place, tenant, items, place.working() ? chance.pick(manners) : "settles")
  }
}

async function leaseSome(place: Workplace, tenant: Tenant): Promise<readonly Json[]> {
  const { chance, world } = place
  const body = { max: chance.pick([1, 3, 20]), waitFor: place.working() ? chance.pick([0, "2s"]) : "5s" }
  const answer = await post(place, tenant, "leaseDeliveries", body)
  const items = (answer?.items ?? []) as readonly Json[]
  for (const { delivery, trigger } of items) {
    world.record.count("worked")
    const [incarnation] = String(delivery).split(".").slice(2)
    if (world.record.triggersFor({ tenant, trigger, ...(incarnation && { incarnation }) } as never).length === 0)
      world.violate(new InvariantError(5, `${tenant} was given ${delivery}, of a trigger that is not its own`))
  }
  return items
}

async function work(
  place: Workplace,
  tenant: Tenant,
  items: readonly Json[],
  manner: (typeof manners)[number],
): Promise<void> {
  const { world, chance } = place
  if (manner === "dies") return
  await sleep(world.clock, chance.between(1, 50))
  if (manner === "extends") {
    await post(place, tenant, "extendLeases", { leases: items.map(({ lease }) => lease), by: "5s" })
    await sleep(world.clock, queueLeaseMs)
  }
  if (manner === "is late") await sleep(world.clock, queueLeaseMs * (0.9 + 0.4 * chance.next()))
  const settlements = items.map((item) => settlementOf(place, item))
  const answer = await post(place, tenant, "settleLeases", { settlements })
  for (const { state } of (answer?.items ?? []) as readonly Json[]) world.record.count(`work ${state}`)
}

/** What it says of a delivery is so from here on, whether it is heard or not. */
function settlementOf({ world, chance, working }: Workplace, { lease, delivery }: Json): object {
  const known = world.record.delivery(delivery)
  const result = working() ? chance.pick(["done", "done", "done", "retry", "reject"]) : "done"
  if (result === "done") known.taken++
  if (result === "reject") known.refused++
  return { lease, result, ...(result === "retry" && chance.happens(0.5) && { after: chance.pick(["100ms", "2s"]) }) }
}

async function post(place: Workplace, tenant: Tenant, id: string, body: object): Promise<Json | undefined> {
  const operation = place.operations.get(id)!
  const asked = await call(place, { operation, tenant, parameters: { queue: queueId }, body })
  return asked.kind === "answered" && asked.value.status === 200 ? asked.value.body : undefined
}
