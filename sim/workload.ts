import type { Address } from "../src/core/address.ts"
import { sleep } from "../src/core/clock.ts"
import type { Cursor } from "../src/core/cursor.ts"
import { deliverAtAttribute } from "../src/core/delayed.ts"
import type { Lease } from "../src/core/deliveries.ts"
import { laneOf } from "../src/core/delivery.ts"
import { Event } from "../src/core/event.ts"
import type { Appended } from "../src/core/log.ts"
import { Refusal } from "../src/ingest/refusal.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import { call } from "./calls.ts"
import type { Place } from "./doings.ts"
import type { Hub } from "./hub.ts"
import { lettersOf, redriving } from "./letters.ts"
import { InvariantError, identityOf } from "./record.ts"
import { eventTypes, keys, type Tenant, tenants, topics, trimmedTopic } from "./scenario.ts"
import { expectRefusal, type Workplace } from "./workplace.ts"
import type { World } from "./world.ts"

/** Publishes now and then: new events, repeated ones, batches, conditional ones. */
export async function publisher(place: Workplace, name: string): Promise<void> {
  const { chance } = place
  const pauseMs = chance.pick([60, 200, 500])
  // Ends: with the time for faults.
  for (let number = 1; place.working(); number++) {
    await place.pause(pauseMs * 2 * chance.next())
    const address = someAddress(chance)
    if (chance.happens(0.1)) await publishConditionally(place, address, makeEvent(chance, `/${name}`, number))
    else if (chance.happens(0.15)) await publishAgain(place, address.tenant, topics)
    else {
      const size = chance.happens(0.2) ? chance.between(2, 12) : 1
      const events = Array.from({ length: size }, (_, i) => makeEvent(chance, `/${name}`, number, i))
      await publish(place, address, events)
    }
  }
}

function someAddress(chance: SimulatedChance): Address & { readonly tenant: Tenant } {
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

/** Publishes and notes what was promised about it. Undefined where nothing was. */
export async function publish(
  { world, processes }: Workplace,
  address: Address,
  events: readonly Event[],
  expectedLast?: Cursor | "none",
): Promise<readonly Appended[] | undefined> {
  const { record, clock, trace } = world
  const at = clock.now()
  for (const event of events) {
    const identity = identityOf(address, event)
    record.asked.set(identity, (record.asked.get(identity) ?? 0) + 1)
    if (!record.published.has(identity)) record.published.set(identity, { address, event, at })
  }
  const asked = await processes.ask(
    `publish ${events.map(({ source, id }) => `${source}#${id}`).join()} to ${address.tenant}/${address.topic}:${address.key ?? ""}`,
    (hub) => hub.publish(address, events, expectedLast),
  )
  if (asked.kind === "refused") world.fail(asked.error)
  if (asked.kind !== "answered" || (asked.value instanceof Refusal && asked.value.code !== "conflict")) {
    record.unheard.push(...events.map((event) => ({ address, event, at })))
  }
  if (asked.kind !== "answered") return undefined
  if (asked.value instanceof Refusal)
    return void refused(world, { address, events, expectedLast, refusal: asked.value })
  record.count("events", events.length)
  return asked.value.map((appended, i) => {
    if (appended instanceof Refusal) throw new Error(`${events[i]!.id}: ${appended.detail}`)
    const { cursor, duplicate } = appended
    trace.line(`acknowledged ${cursor}${duplicate ? " again" : ""}`)
    record.acknowledged.push({ address, event: events[i]!, at, cursor, duplicate, acknowledgedAt: clock.now() })
    return appended
  })
}

interface RefusedPublish {
  readonly address: Address
  readonly events: readonly Event[]
  readonly expectedLast: Cursor | "none" | undefined
  readonly refusal: Refusal
}

function refused(world: World, { address, events, expectedLast, refusal }: RefusedPublish): void {
  const { record, trace } = world
  const { code, more, detail } = refusal
  trace.line(`refused: ${code}`)
  record.count("refusals")
  if (code === "conflict") {
    if (more.last) record.named.push({ address, cursor: more.last })
    if ((more.last ?? "none") === expectedLast) {
      world.violate(
        new InvariantError(1, `an append that expected ${expectedLast} was refused because that is the last`),
      )
    }
  } else if (code !== "storage-full" && code !== "overloaded") world.fail(new Error(detail))
  // Of several events a first part may be stored when there is room no more; of one, nothing.
  if (events.length > 1 || code === "overloaded") return
  record.refused.push(...events.map((event) => identityOf(address, event)))
}

/** Repeats something, heard or unheard, long ago or just now, alone or with what is new: the producer did not know either. */
async function publishAgain(place: Workplace, tenant: Tenant, topics: readonly string[]): Promise<void> {
  const { world, chance } = place
  const its = [...world.record.published.values()].filter(
    ({ address, event }) =>
      address.tenant === tenant && topics.includes(address.topic) && event.attribute(deliverAtAttribute) === undefined,
  )
  if (its.length === 0) return
  const { address, event } = chance.pick(chance.happens(0.6) ? its.slice(-20) : its)
  world.record.count("repeats")
  const fresh = chance.happens(0.3) ? [makeEvent(chance, "/again", world.record.newNumber())] : []
  const events = chance.happens(0.5) ? [event, ...fresh] : [...fresh, event]
  if (chance.happens(0.1)) await publishExpecting(place, address, events, "none")
  else await publish(place, address, events)
}

/** Appends to what it believes to be the last event; the belief may be old, or made up. */
async function publishConditionally(place: Workplace, address: Address, event: Event): Promise<void> {
  const { world, chance, processes } = place
  const asked = await processes.ask("last", (hub) => hub.engine.log.last(address))
  if (asked.kind !== "answered") return
  if (asked.value) world.record.named.push({ address, cursor: asked.value })
  if (chance.happens(0.3)) await sleep(world.clock, 50 * chance.next())
  const old = world.record.acknowledged.filter((each) => each.address.tenant === address.tenant).slice(-50)
  const wrong =
    chance.happens(0.2) && old.length > 0 ? chance.pick([chance.pick(old).cursor, "none" as const]) : undefined
  await publishExpecting(place, address, [event], wrong ?? asked.value ?? "none")
}

async function publishExpecting(
  place: Workplace,
  address: Address,
  events: readonly Event[],
  expected: Cursor | "none",
): Promise<void> {
  const appended = await publish(place, address, events, expected)
  const first = appended?.find(({ duplicate }) => !duplicate)
  if (first) place.world.record.conditions.push({ address, cursor: first.cursor, expected })
}

/** Something new, or something that was published before, to one topic or one key of it. */
export async function publishSomething(place: Workplace, { tenant, topic }: Place): Promise<void> {
  const { chance, world } = place
  if (chance.happens(0.4)) return publishAgain(place, tenant, [topic])
  const key = chance.pick(keys)
  const address = { tenant, topic, ...(key === undefined ? {} : { key }) }
  const number = world.record.newNumber()
  if (chance.happens(0.15)) return publishConditionally(place, address, makeEvent(chance, "/call", number))
  const events = Array.from({ length: chance.pick([1, 1, 3]) }, (_, i) => makeEvent(chance, "/call", number, i))
  await publish(place, address, events)
}

/** Puts dead letters back. */
export async function redriver(place: Workplace): Promise<void> {
  const { chance, operations } = place
  const operation = operations.get("redriveDeadLetter")!
  // Ends: with the time for faults.
  while (place.working()) {
    await place.pause(6_000 * chance.next())
    const tenant = chance.pick(tenants)
    for (const id of await lettersOf(place, { tenant })) {
      if (chance.happens(0.5)) await call(place, { operation, tenant, ...redriving(place, id) })
    }
  }
}

/** Fills a topic that keeps little: what is over is dropped, segments are emptied, rewritten and used again. */
export async function filler(place: Workplace): Promise<void> {
  const { chance } = place
  // Ends: with the time for faults.
  for (let number = 1; place.working(); number++) {
    await place.pause(600 * chance.next())
    const address = { tenant: chance.pick(tenants), topic: trimmedTopic }
    const events = Array.from({ length: chance.between(1, 6) }, (_, i) => makeEvent(chance, "/noise", number, i))
    await publish(place, address, events)
  }
}

/** Another worker, a bad one: it takes leases, does nothing for longer than they last, and then says "done" or "again". */
export async function sleeper({ world, processes, chance, scenario, working, pause }: Workplace): Promise<void> {
  const troubled = scenario.destinations.filter(({ character }) => character !== "steady")
  // Ends: with the time for faults.
  while (working()) {
    await pause(3_000 * chance.next())
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

async function endAsleep(hub: Hub, lease: Lease, chance: SimulatedChance): Promise<void> {
  if (chance.happens(0.3))
    return hub.queue.extend(lease, 1_000).then(() => hub.queue.end(lease, { kind: "release", delayMs: 0 }))
  return hub.queue.end(lease, { kind: "release", delayMs: 0 })
}
