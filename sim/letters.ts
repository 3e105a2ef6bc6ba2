import { laneOf } from "../src/core/delivery.ts"
import { call, type Json } from "./calls.ts"
import type { Doing, Subject } from "./doings.ts"
import type { Operation } from "./operations.ts"
import { InvariantError } from "./record.ts"
import { tenants } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** Dead letters: looked at and put back, one by one and many at once. What a redrive does is seen at the queue. */
export const letterDoings: Readonly<Record<string, Doing>> = {
  listDeadLetters: { weight: 1, run: async (place, subject) => void (await lettersOf(place, subject)) },
  getDeadLetter: {
    weight: 1,
    async run(place, subject, operation) {
      for (const id of (await lettersOf(place, subject)).slice(0, 2)) {
        await call(place, { operation, tenant: subject.tenant, parameters: { id } })
      }
    },
  },
  redriveDeadLetter: {
    weight: 3,
    async run(place, subject, operation) {
      for (const id of await lettersOf(place, subject)) {
        if (place.chance.happens(0.5)) await redrive(place, subject, operation, redriving(place, id))
      }
    },
  },
  redriveDeadLetters: {
    weight: 2,
    async run(place, subject, operation) {
      const { chance } = place
      const which = chance.pick<object>([
        { trigger: subject.trigger },
        { reason: "permanent" },
        { reason: "exhausted" },
        {},
      ])
      await redrive(place, subject, operation, { body: { ...which, ...(chance.happens(0.2) && { dryRun: true }) } })
    },
  },
  discardDeadLetter: {
    weight: 1,
    async run(place, subject, operation) {
      for (const id of (await lettersOf(place, subject)).slice(0, 2)) {
        await discard(place, subject, operation, { parameters: { id }, body: { reason: "simulated" } })
      }
    },
  },
  discardDeadLetters: {
    weight: 0.5,
    async run(place, subject, operation) {
      const which = place.chance.pick<object>([{ trigger: subject.trigger }, { deadReason: "permanent" }])
      const body = { reason: "simulated", ...which, ...(place.chance.happens(0.2) && { dryRun: true }) }
      await discard(place, subject, operation, { body })
    },
  },
}

/** One letter, as it is or edited. */
export function redriving({ chance, world }: Workplace, id: string): { parameters: { id: string }; body?: object } {
  if (chance.happens(0.7)) return { parameters: { id } }
  const patch = { subject: chance.pick(["edited", "edited again"]) }
  world.record.askedEdits.add(`${id} ${patch.subject}`)
  return { parameters: { id }, body: { patch } }
}

/** 3: as many are gone as are said to be. */
async function discard(
  place: Workplace,
  { tenant }: Pick<Subject, "tenant">,
  operation: Operation,
  what: object,
): Promise<void> {
  const { record, violate } = place.world
  const before = record.counts.get("discards") ?? 0
  const asked = await call(place, { operation, tenant, ...what })
  if (asked.kind !== "answered" || asked.value.status !== 200) return record.count("discards unanswered")
  record.count(operation.id)
  const discarded = (record.counts.get("discards") ?? 0) - before
  if (asked.value.body.discarded <= discarded) return
  violate(
    new InvariantError(3, `${tenant} was told of ${asked.value.body.discarded} discarded letters, not ${discarded}`),
  )
}

async function redrive(place: Workplace, { tenant }: Subject, operation: Operation, what: object): Promise<void> {
  const { record, violate } = place.world
  const before = record.counts.get("redrives") ?? 0
  const asked = await call(place, { operation, tenant, ...what })
  if (asked.kind !== "answered" || asked.value.status !== 200) return
  record.count(operation.id)
  const redriven = (record.counts.get("redrives") ?? 0) - before
  if (asked.value.body.redriven <= redriven) return
  violate(
    new InvariantError(
      3,
      `${tenant} was told that ${asked.value.body.redriven} letters were put back, not ${redriven}`,
    ),
  )
}

/**
 * Lets go what waits behind dead letters of these lanes: each is put back once, and discarded when it dies again, as one must
 * that is damaged.
 */
export async function releaseKeys(place: Workplace, lanes: readonly string[], tried: Set<string>): Promise<void> {
  const operation = place.operations.get("discardDeadLetter")!
  for (const tenant of tenants) {
    const asked = await place.processes.ask("letters", ({ queue }) => queue.deadLetters({ tenant, limit: 1_000 }))
    for (const letter of asked.kind === "answered" ? asked.value : []) {
      const { id, orderKey } = letter
      if (orderKey === undefined || !lanes.includes(laneOf(letter))) continue
      if (tried.has(id))
        await discard(place, { tenant }, operation, { parameters: { id }, body: { reason: "simulated" } })
      else await place.processes.ask(`redrive ${id}`, ({ queue }) => queue.redrive(tenant, id))
      tried.add(id)
    }
  }
}

/** The ids of a page of a tenant's dead letters. */
export async function lettersOf(place: Workplace, { tenant }: Pick<Subject, "tenant">): Promise<readonly string[]> {
  const operation = place.operations.get("listDeadLetters")!
  const asked = await call(place, { operation, tenant, query: { pageSize: "20" } })
  if (asked.kind !== "answered" || asked.value.status !== 200) return []
  const letters: readonly Json[] = asked.value.body.items
  for (const letter of letters) {
    if (letter.tenant === tenant) continue
    place.world.violate(new InvariantError(5, `${tenant} was shown the dead letter ${letter.id}`))
  }
  return letters.map(({ id }) => id)
}
