import type { Address } from "../src/core/address.ts"
import { sleep } from "../src/core/clock.ts"
import type { Cursor } from "../src/core/cursor.ts"
import { laneOf } from "../src/core/delivery.ts"
import type { Appended } from "../src/core/engine.ts"
import { ExpectedLastError, StorageFullError } from "../src/core/errors.ts"
import { Event } from "../src/core/event.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { Hub } from "./hub.ts"
import type { Asked } from "./process.ts"
import { InvariantError, identityOf, type Published } from "./record.ts"
import { changeTrigger, createTrigger, deleteTrigger } from "./resources.ts"
import {
  dedupeWindowMs,
  eventTypes,
  keys,
  planFilters,
  type TriggerPlan,
  tenants,
  topics,
  trimmedEventsMax,
  trimmedTopic,
} from "./scenario.ts"
import { expectRefusal, type Workplace } from "./workplace.ts"

/** Publishes now and then: new events, repeated ones, batches, conditional ones. */
export async function publisher(place: Workplace, name: string): Promise<void> {
  const { world, chance } = place
  const pauseMs = chance.pick([60, 200, 500])
  // Ends: with the time for faults.
  for (let number = 1; place.working(); number++) {
    await sleep(world.clock, pauseMs * 2 * chance.next())
    const address = someAddress(chance)
    if (chance.happens(0.1)) await publishConditionally(place, address, makeEvent(chance, `/${name}`, number))
    else if (chance.happens(0.15)) await publishAgain(place)
    else {
      const size = chance.happens(0.2) ? chance.between(2, 12) : 1
      const events = Array.from({ length: size }, (_, i) => makeEvent(chance, `/${name}`, number, i))
      await publish(place, address, events)
    }
  }
}

function someAddress(chance: SimulatedChance): Address {
  const key = chance.pick(keys)
  return { tenant: chance.pick(tenants), topic: chance.pick(topics), ...(key === undefined ? {} : { key }) }
}

/** Sizes from nothing to several blocks of the disk. */
function makeEvent(chance: SimulatedChance, source: string, number: number, part = 0): Event {
  const attributes = {
    specversion: "1.0",
    id: `${number}.${part}.${chance.between(0, 9)}`,
    source,
    type: chance.pick(eventTypes),
    ...(chance.happens(0.5) ? { subject: String(chance.between(0, 20)) } : {}),
  }
  const bytes = chance.pick([0, 10, 300, 300, 2_000, 9_000])
  return bytes === 0 ? Event.of(attributes) : Event.of(attributes, new Uint8Array(bytes).fill(number % 256))
}

/** Publishes and notes what was promised about it. */
export async function publish(
  { world, processes }: Workplace,
  address: Address,
  events: readonly Event[],
  expectedLast?: Cursor | "none",
): Promise<Asked<readonly Appended[]>> {
  const { record, clock, trace } = world
  const at = clock.now()
  for (const event of events) {
    const identity = identityOf(address, event)
    record.asked.set(identity, (record.asked.get(identity) ?? 0) + 1)
    if (!record.published.has(identity)) record.published.set(identity, { address, event, at })
  }
  const asked = await processes.ask(
    `publish ${events.map(({ source, id }) => `${source}#${id}`).join()} to ${address.tenant}/${address.topic}:${address.key ?? ""}`,
    (hub) => hub.publish(address, events, { dedupeWindowMs, ...(expectedLast === undefined ? {} : { expectedLast }) }),
  )
  if (asked.kind === "answered") {
    record.count("events", events.length)
    events.forEach((event, i) => {
      const { cursor, duplicate } = asked.value[i]!
      trace.line(`acknowledged ${cursor}${duplicate ? " again" : ""}`)
      record.acknowledged.push({ address, event, at, cursor, duplicate, acknowledgedAt: clock.now() })
    })
  } else if (asked.kind === "refused") {
    trace.line(`refused: ${asked.error.name}`)
    record.count("refusals")
    if (asked.error instanceof ExpectedLastError && asked.error.last !== undefined) {
      record.named.push({ address, cursor: asked.error.last })
    }
    // Of several events a first part may be stored when there is room no more; of one, nothing.
    if (events.length === 1 && (asked.error instanceof StorageFullError || asked.error instanceof ExpectedLastError)) {
      record.refused.push(...events.map((event) => identityOf(address, event)))
    }
    expectRefusal(world, asked.error)
  }
  return asked
}

/** Repeats something, heard or unheard: the producer did not know either. */
async function publishAgain(place: Workplace): Promise<void> {
  const { world, chance } = place
  const recent: Published[] = [...world.record.published.values()].slice(-50)
  if (recent.length === 0) return
  const { address, event } = chance.pick(recent)
  world.record.count("repeats")
  await publish(place, address, [event])
}

/** Appends to what it believes to be the last event; the belief may be old. */
async function publishConditionally(place: Workplace, address: Address, event: Event): Promise<void> {
  const { world, chance, processes } = place
  const asked = await processes.ask("last", (hub) => hub.engine.log.last(address))
  if (asked.kind !== "answered") return
  if (asked.value) world.record.named.push({ address, cursor: asked.value })
  if (chance.happens(0.3)) await sleep(world.clock, 50 * chance.next())
  const expected = asked.value ?? "none"
  const before = await publish(place, address, [event], expected)
  if (before.kind !== "answered" || before.value[0]!.duplicate) return
  world.record.conditions.push({ address, cursor: before.value[0]!.cursor, expected })
}

/** Triggers that the operator makes at most. */
const triggersMax = 12

/** Pauses, resumes, changes and deletes the triggers that may change, and makes new ones. */
export async function operator(place: Workplace): Promise<void> {
  const { world, chance, scenario, processes } = place
  const changing = scenario.triggers.filter(({ stable }) => !stable)
  // What a change begins is done in steps: now and then the hub dies between them, or right after it said yes.
  const mayDie = (probability: number, steps: number) => {
    if (scenario.crashes > 0 && chance.happens(probability)) processes.cutAfter(chance.between(1, steps))
  }
  for (let number = 1; place.working() && changing.length > 0; number++) {
    await sleep(world.clock, 2_500 * chance.next())
    const plan = chance.pick(changing)
    const record = world.record.triggers.get(`${plan.tenant}/${plan.id}`)
    if (!record || record.deletionAt !== undefined) continue
    mayDie(0.06, 60)
    await changeSomething(place, plan, number)
    mayDie(0.12, 5)
  }
}

async function changeSomething(place: Workplace, plan: TriggerPlan, number: number): Promise<void> {
  const { world, chance, scenario } = place
  switch (chance.pick(changes)) {
    case "new":
      if (world.record.triggers.size >= scenario.triggers.length + triggersMax) return
      return createTrigger(place, { ...plan, id: `${plan.id}-${number}`, filters: planFilters(chance) })
    case "delete":
      return number % 3 === 0 ? deleteTrigger(place, plan) : undefined
    case "pause":
      return changeTrigger(place, plan, "pause")
    case "resume":
      return changeTrigger(place, plan, "resume")
    case "filters":
      return changeTrigger(place, plan, "filters")
  }
}

/** What an operator does, as often as it is here. */
const changes = ["pause", "pause", "resume", "resume", "filters", "filters", "new", "new", "delete"] as const

/** Puts dead letters back. */
export async function redriver({ world, processes, chance, working }: Workplace): Promise<void> {
  // Ends: with the time for faults.
  while (working()) {
    await sleep(world.clock, 6_000 * chance.next())
    const tenant = chance.pick(tenants)
    const listed = await processes.ask("dead letters", (hub) => hub.queue.deadLetters({ tenant, limit: 20 }))
    if (listed.kind !== "answered") continue
    for (const letter of listed.value) {
      if (letter.tenant !== tenant) {
        world.violate(new InvariantError(5, `${tenant} was shown the dead letter ${letter.id}`))
      }
      if (!chance.happens(0.5)) continue
      const asked = await processes.ask(`redrive ${letter.id}`, (hub) => hub.queue.redrive(tenant, letter.id))
      if (asked.kind === "answered" && asked.value) world.record.count("redrives")
    }
  }
}

/** Fills a topic that keeps little, and drops what is over: segments are emptied, rewritten and used again. */
export async function trimmer(place: Workplace): Promise<void> {
  const { world, processes, chance } = place
  // Ends: with the time for faults.
  for (let number = 1; place.working(); number++) {
    await sleep(world.clock, 600 * chance.next())
    const address = { tenant: chance.pick(tenants), topic: trimmedTopic }
    const events = Array.from({ length: chance.between(1, 6) }, (_, i) => makeEvent(chance, "/noise", number, i))
    await publish(place, address, events)
    if (!chance.happens(0.3)) continue
    const trimmed = await processes.ask(`trim ${address.tenant}/${trimmedTopic}`, (hub) =>
      hub.engine.log.trim(address, { eventsMax: trimmedEventsMax }),
    )
    if (trimmed.kind === "answered") world.record.count("trimmed", trimmed.value)
    if (trimmed.kind === "refused") expectRefusal(world, trimmed.error)
  }
}

/** Another worker, a bad one: it takes leases, does nothing for longer than they last, and then says "done" or "again". */
export async function sleeper({ world, processes, chance, scenario, working }: Workplace): Promise<void> {
  const troubled = scenario.destinations.filter(({ character }) => character !== "steady")
  // Ends: with the time for faults.
  while (working()) {
    await sleep(world.clock, 3_000 * chance.next())
    const { tenant, id } = chance.pick(troubled)
    const asked = await processes.ask("sleeper", async (hub) => {
      const [lease] = await hub.queue.lease({ lane: laneOf({ tenant, destination: id }), max: 1, leaseMs: 300 })
      if (!lease) return
      await sleep(world.clock, chance.between(200, 600))
      await endAsleep(hub, lease, chance)
    })
    if (asked.kind === "refused") expectRefusal(world, asked.error)
  }
}

async function endAsleep(
  hub: Hub,
  lease: Parameters<Hub["queue"]["release"]>[0],
  chance: SimulatedChance,
): Promise<void> {
  if (chance.happens(0.3)) return hub.queue.extend(lease, 1_000).then(() => hub.queue.release(lease, 0))
  return hub.queue.release(lease, 0)
}
