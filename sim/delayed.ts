import type { Address } from "../src/core/address.ts"
import { sleep } from "../src/core/clock.ts"
import type { Cursor } from "../src/core/cursor.ts"
import { delayedDestination, delayedTopic, deliverAtAttribute } from "../src/core/delayed.ts"
import { laneOf } from "../src/core/delivery.ts"
import type { Engine } from "../src/core/engine.ts"
import { Event } from "../src/core/event.ts"
import type { StoredEvent } from "../src/core/log.ts"
import { Refusal } from "../src/ingest/refusal.ts"
import { call } from "./calls.ts"
import type { Doing } from "./doings.ts"
import type { Keeping } from "./keeping.ts"
import { InvariantError, identityOf } from "./record.ts"
import { tenants } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"
import type { World } from "./world.ts"

/** An event that was asked to be kept back; times are Unix milliseconds. */
export interface DelayedRecord {
  readonly address: Address
  readonly event: Event
  readonly at: number
  readonly deliverAt: number
  /** Where it waits, once that was acknowledged. */
  cursor?: Cursor
  /** What was answered when it was cancelled; `unheard`: nothing was. */
  cancelled?: "yes" | "no" | "unheard"
}

/** Events that are kept back for some seconds, and that are cancelled now and then, often about when they are due. */
export const delayedDoings: Readonly<Record<string, Doing>> = {
  listDelayedEvents: {
    weight: 1,
    run: async (place, { tenant }, operation) => void (await call(place, { operation, tenant })),
  },
  cancelDelayedEvent: {
    weight: 6,
    async run(place, { tenant, topic }, operation) {
      const { chance, world } = place
      const several = Array.from({ length: chance.between(2, 6) }, () => publishDelayed(place, { tenant, topic }))
      const [delayed] = (await Promise.all(several)) as [DelayedRecord]
      if (delayed.cursor === undefined || chance.happens(0.4)) return
      await sleep(world.clock, (delayed.deliverAt - world.clock.now()) * chance.pick([0.2, 0.99, 1, 1.01]))
      const parameters = { id: delayed.cursor }
      const other = tenants.find((each) => each !== tenant)!
      const foreign = await call(place, { operation, tenant: other, parameters })
      if (foreign.kind === "answered" && foreign.value.status === 204)
        world.violate(new InvariantError(5, `${other} has cancelled ${delayed.cursor} of ${tenant}`))
      delayed.cancelled = "unheard"
      const asked = await call(place, { operation, tenant, parameters })
      if (asked.kind !== "answered") return
      if (asked.value.status === 204) delayed.cancelled = "yes"
      if (asked.value.status === 404) delayed.cancelled = "no"
      world.record.count(`${operation.id} ${asked.value.status}`)
    },
  },
}

async function publishDelayed({ world, processes, chance }: Workplace, address: Address): Promise<DelayedRecord> {
  const { record, clock } = world
  const at = clock.now()
  const deliverAt = Math.floor(at) + chance.between(500, 8_000)
  const attributes = { specversion: "1.0", id: String(record.newNumber()), source: "/delayed", type: "order.made" }
  const event = Event.of({ ...attributes, [deliverAtAttribute]: new Date(deliverAt).toISOString() })
  const delayed: DelayedRecord = { address, event, at, deliverAt }
  record.published.set(identityOf(address, event), { address, event, at })
  record.unheard.push({ address, event, at: deliverAt })
  record.delayed.push(delayed)
  const asked = await processes.ask(`delay ${event.id} until ${deliverAt}`, (hub) => hub.publish(address, [event]))
  if (asked.kind === "refused") world.fail(asked.error)
  if (asked.kind !== "answered" || asked.value instanceof Refusal) return delayed
  const [accepted] = asked.value
  if (accepted instanceof Refusal || accepted === undefined) return delayed
  // One that was due when the hub had come to it is published at once.
  if ("deliverAt" in accepted) delayed.cursor = accepted.cursor
  record.count("delayed")
  return delayed
}

/** 1: what was kept back is published when it is due, once, unless it was cancelled, and then never. */
export function checkDelayed({ record }: World, events: readonly StoredEvent[], keeping: Keeping): void {
  const there = new Map<string, StoredEvent[]>()
  for (const stored of events) {
    const identity = identityOf(stored.address, stored.event)
    there.set(identity, [...(there.get(identity) ?? []), stored])
  }
  for (const delayed of record.delayed) {
    const { address, event, deliverAt, cursor, cancelled } = delayed
    const stored = there.get(identityOf(address, event)) ?? []
    const which = `${event.id}, due at ${deliverAt},`
    for (const { storedAt, cursor } of stored) {
      if (storedAt < deliverAt) throw new InvariantError(1, `${which} was published at ${cursor} before that`)
    }
    if (stored.length > 1) throw new InvariantError(1, `${which} was published ${stored.length} times`)
    if (record.damage.count > 0) continue
    if (cancelled === "yes" && stored.length > 0) throw new InvariantError(1, `${which} was cancelled and published`)
    if (cursor === undefined || (cancelled !== undefined && cancelled !== "no") || stored.length > 0) continue
    if (keeping.mayBeGone({ ...delayed, cursor, duplicate: false, acknowledgedAt: deliverAt })) continue
    throw new InvariantError(1, `${which} was never published`)
  }
}

/** 5: of what was published, or cancelled and due, nothing is kept back any more. */
export async function checkKeptBack({ record }: World, { log, queue }: Engine): Promise<void> {
  if (record.damage.count > 0) return
  for (const tenant of tenants) {
    const owed = await queue.depth(laneOf({ tenant, destination: delayedDestination }))
    if (owed > 0) continue
    const { events } = await log.stats({ tenant, topic: delayedTopic })
    if (events > 0) throw new InvariantError(5, `${events} records of delayed events of ${tenant} are kept for nobody`)
  }
}
