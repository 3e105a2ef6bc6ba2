import type { Static } from "typebox"
import { lanesOf } from "../../core/delivery.ts"
import type { OpenDelivery, OpenState } from "../../core/open-delivery.ts"
import type { WorkQueue } from "../../queues/work-queues.ts"
import type { ApiContext } from "../context.ts"
import type { QueueStatus } from "./queue-schemas.ts"

/** Deliveries that are looked at, and at once. */
const [countedMax, countedAtOnce] = [10_000, 1_000]
const deadMax = 1_000

/** How a queue stands: of very many deliveries those of the oldest events are counted by their state. */
export async function statusOfQueue(context: ApiContext, queue: WorkQueue): Promise<Static<typeof QueueStatus>> {
  const { tenant, destination } = queue
  const lanes = lanesOf(queue)
  const { queue: deliveries } = context.engine
  const [{ by, counted, complete }, dead, standing] = await Promise.all([
    count(context, queue),
    deliveries.deadLetters({ tenant, destination, limit: deadMax }),
    deliveries.statusOf(lanes),
  ])
  const known = lanes.map((lane) => standing.get(lane))
  const open = known.every((each) => each !== undefined) ? known.reduce((sum, each) => sum + each!.open, 0) : undefined
  const oldest = known.flatMap((each) => each?.oldestDueAt ?? [])
  return {
    destination,
    ...(open !== undefined && { open }),
    ready: by.due,
    leased: by.leased,
    parked: by.parked,
    waiting: by.waiting,
    held: by.held,
    counted,
    complete,
    dead: dead.length,
    polls: context.polls.of(tenant),
    ...(oldest.length > 0 && { oldestDueAt: new Date(Math.min(...oldest)).toISOString() }),
  }
}

async function count({ engine, turns }: ApiContext, { tenant, destination }: WorkQueue) {
  const by: Record<OpenState, number> = { due: 0, leased: 0, parked: 0, held: 0, waiting: 0 }
  let counted = 0
  let after: string | undefined
  do {
    const query = { tenant, destination, limit: countedAtOnce, ...(after !== undefined && { after }) }
    const page: { readonly deliveries: readonly OpenDelivery[]; readonly next?: string } =
      await engine.queue.openDeliveries(query)
    for (const { state } of page.deliveries) by[state]++
    counted += page.deliveries.length
    after = page.next
    await turns.next()
  } while (after !== undefined && counted < countedMax)
  return { by, counted, complete: after === undefined }
}
