import { call, type Json } from "./calls.ts"
import type { Doing, Subject } from "./doings.ts"
import type { Operation } from "./operations.ts"
import { InvariantError } from "./record.ts"
import type { Workplace } from "./workplace.ts"

/** Replays: made of what a trigger that may be changed has had, paused, resumed and cancelled. */
export const replayDoings: Readonly<Record<string, Doing>> = {
  createReplay: {
    weight: 5,
    async run(place, { tenant, trigger: id, destination }, operation) {
      const { chance, world } = place
      const body = {
        from: "oldest",
        ...(chance.happens(0.3) && { destination }),
        ...(chance.happens(0.3) && { filters: [{ prefix: { type: "order." } }] }),
        ...(chance.happens(0.5) && { ratePerSecond: chance.pick([5, 50, 500]) }),
      }
      world.record.count("replays asked for")
      const asked = await call(place, { operation, tenant, parameters: { id }, body })
      if (asked.kind === "answered" && asked.value.status === 201) world.record.count("replays")
    },
  },
  listReplays: { weight: 0.5, run: async (place, subject) => void (await replaysOf(place, subject)) },
  getReplay: {
    weight: 0.5,
    run: (place, subject, operation) => each(place, subject, operation),
  },
  pauseReplay: { weight: 1, run: (place, subject, operation) => each(place, subject, operation) },
  resumeReplay: { weight: 1.5, run: (place, subject, operation) => each(place, subject, operation) },
  cancelReplay: {
    weight: 0.5,
    run: (place, subject, operation) => each(place, subject, operation, (id) => place.world.record.cancelled.add(id)),
  },
}

/** One of the tenant's replays, by chance. */
async function each(
  place: Workplace,
  subject: Subject,
  operation: Operation,
  before: (id: string) => unknown = () => undefined,
): Promise<void> {
  const ids = await replaysOf(place, subject)
  if (ids.length === 0) return
  const id = place.chance.pick(ids)
  before(id)
  const asked = await call(place, { operation, tenant: subject.tenant, parameters: { id } })
  if (asked.kind === "answered" && asked.value.status === 200) place.world.record.count(operation.id)
}

async function replaysOf(place: Workplace, { tenant }: Pick<Subject, "tenant">): Promise<readonly string[]> {
  const operation = place.operations.get("listReplays")!
  const asked = await call(place, { operation, tenant, query: { pageSize: "50" } })
  if (asked.kind !== "answered" || asked.value.status !== 200) return []
  const replays: readonly Json[] = asked.value.body.items
  for (const { id, tenant: of } of replays) {
    if (of !== tenant) place.world.violate(new InvariantError(5, `${tenant} was shown the replay ${id}`))
  }
  return replays.map(({ id }) => id)
}

/** Resumes what is paused; answers which replays have not come to their end. */
export async function endReplays(place: Workplace, tenants: readonly Subject["tenant"][]): Promise<readonly string[]> {
  const left: string[] = []
  if (!place.world.record.counts.has("replays asked for")) return left
  for (const tenant of tenants) {
    for (const id of await replaysOf(place, { tenant })) {
      const operation = place.operations.get("resumeReplay")!
      const asked = await call(place, { operation, tenant, parameters: { id } })
      if (asked.kind !== "answered" || asked.value.status === 200) left.push(`${tenant}/${id}`)
    }
  }
  return left
}
