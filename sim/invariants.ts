import { type Address, attemptsTopic, deadLettersTopic, isReservedTopic } from "../src/core/address.ts"
import type { Cursor } from "../src/core/cursor.ts"
import type { DeadLetter, Delivery, Verdict } from "../src/core/delivery.ts"
import { deliveryId } from "../src/core/delivery.ts"
import type { EventLog, StoredEvent } from "../src/core/engine.ts"
import { fingerprintOf } from "../src/core/fingerprint.ts"
import type { Hub } from "./hub.ts"
import { InvariantError, identityOf, isSame } from "./record.ts"
import { dedupeWindowMs, keys, type Scenario, tenants, topics, trimmedEventsMax, trimmedTopic } from "./scenario.ts"
import { firesSurely } from "./triggers.ts"
import type { World } from "./world.ts"

/** A destination that answers has its events this soon, while nothing disturbs the hub as a whole. */
const promptMs = 1_000

/** Holds a quiet hub against everything that was seen. Throws InvariantError for the first thing that is wrong. */
export async function checkInvariants(world: World, hub: Hub, scenario: Scenario): Promise<void> {
  const events = await readAll(hub.engine.log)
  const letters = await readLetters(hub)
  checkLog(world, events)
  checkRepeats(events)
  checkConditions(world, events)
  checkNamed(world, events)
  await checkTopics(hub.engine.log, events)
  await checkDeliveries(world, hub, events, letters)
  checkLetters(world, letters)
  checkTold(world, events, letters)
  checkSpeed(world, scenario, events)
  world.record.count("stored", events.length)
}

async function readAll(log: EventLog, where = {}): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  for await (const batch of log.read({ where })) events.push(...batch.events)
  return events
}

async function readLetters({ queue }: Hub): Promise<ReadonlyMap<string, DeadLetter>> {
  const letters = new Map<string, DeadLetter>()
  for (const tenant of tenants) {
    // Ends: with the letters: each page begins behind the last one.
    for (let after: string | undefined; ; ) {
      const page = await queue.deadLetters({ tenant, limit: 50, ...(after === undefined ? {} : { after }) })
      for (const letter of page) letters.set(letter.id, letter)
      after = page.at(-1)?.id
      if (after === undefined) break
    }
  }
  return letters
}

/** 1: what was acknowledged is there, as it was published, in order; nothing else is. */
function checkLog(world: World, events: readonly StoredEvent[]): void {
  const { record } = world
  const byCursor = new Map(events.map((stored) => [stored.cursor, stored]))
  for (const { cursor, address, event } of record.acknowledged) {
    const stored = byCursor.get(cursor)
    if (!stored && isTrimmed(events, address, cursor)) continue
    if (!stored) throw new InvariantError(1, `the event acknowledged at ${cursor} is not in the log`)
    if (identityOf(stored.address, stored.event) !== identityOf(address, event)) {
      throw new InvariantError(1, `another event is at ${cursor} than was acknowledged there`)
    }
  }
  const stored = new Set<string>()
  for (const [i, { cursor, storedAt, address, event }] of events.entries()) {
    const before = events[i - 1]
    if (before && (cursor <= before.cursor || storedAt < before.storedAt)) {
      throw new InvariantError(1, `the log is out of order at ${cursor}`)
    }
    if (isReservedTopic(address.topic)) continue
    const identity = identityOf(address, event)
    const published = record.published.get(identity)
    if (!published) throw new InvariantError(1, `nobody published the event at ${cursor}`)
    if (!isSame(published.event, event)) throw new InvariantError(1, `the event at ${cursor} was changed`)
    stored.add(identity)
  }
  for (const identity of record.refused) {
    if (record.asked.get(identity) === 1 && stored.has(identity)) {
      throw new InvariantError(1, `${identity} is in the log, though publishing it was refused`)
    }
  }
}

/** Whether retention may have dropped this event: its topic has as many newer ones as it keeps. */
function isTrimmed(events: readonly StoredEvent[], { tenant, topic }: Address, cursor: Cursor): boolean {
  if (topic !== trimmedTopic) return false
  const newer = events.filter(
    (stored) => stored.cursor > cursor && stored.address.topic === topic && stored.address.tenant === tenant,
  )
  return newer.length >= trimmedEventsMax
}

/** 1: a repeated event within the window is one event. */
function checkRepeats(events: readonly StoredEvent[]): void {
  const last = new Map<string, StoredEvent>()
  for (const stored of events) {
    if (isReservedTopic(stored.address.topic)) continue
    const identity = identityOf(stored.address, stored.event)
    const earlier = last.get(identity)
    if (earlier && stored.storedAt - earlier.storedAt < dedupeWindowMs) {
      throw new InvariantError(1, `${identity} is stored at ${earlier.cursor} and again at ${stored.cursor}`)
    }
    last.set(identity, stored)
  }
}

/** 1: a conditional append comes right after the event that it expected. */
function checkConditions(world: World, events: readonly StoredEvent[]): void {
  for (const { address, cursor, expected } of world.record.conditions) {
    const there = events.filter(
      (stored) =>
        stored.address.tenant === address.tenant &&
        stored.address.topic === address.topic &&
        (address.key === undefined || stored.address.key === address.key),
    )
    const at = there.findIndex((stored) => stored.cursor === cursor)
    const before = there[at - 1]?.cursor ?? "none"
    if (before !== expected)
      throw new InvariantError(1, `${cursor} expected ${expected} before it, and follows ${before}`)
  }
}

/** 1: what was named as an address's last event is one of its events. */
function checkNamed({ record }: World, events: readonly StoredEvent[]): void {
  const byCursor = new Map(events.map((stored) => [stored.cursor, stored]))
  for (const { address, cursor } of record.named) {
    const there = byCursor.get(cursor)?.address
    const same = there?.tenant === address.tenant && there.topic === address.topic
    if (same && (address.key === undefined || there.key === address.key)) continue
    throw new InvariantError(
      1,
      `${cursor} was named as the last of ${address.tenant}/${address.topic}, and is not there`,
    )
  }
}

/** 1, 5: reading one topic, or one key of it, finds what reading everything finds there. */
async function checkTopics(log: EventLog, events: readonly StoredEvent[]): Promise<void> {
  for (const tenant of tenants) {
    for (const topic of [...topics, trimmedTopic, attemptsTopic]) {
      for (const key of keys) {
        const where = { tenant, topic, ...(key === undefined ? {} : { key }) }
        const read = (await readAll(log, where)).map(({ cursor }) => cursor)
        const there = events
          .filter(({ address }) => address.tenant === tenant && address.topic === topic)
          .filter(({ address }) => key === undefined || address.key === key)
          .map(({ cursor }) => cursor)
        if (read.join() === there.join()) continue
        throw new InvariantError(1, `${tenant}/${topic}:${key ?? ""} reads as ${read.length} events of ${there.length}`)
      }
    }
  }
}

/** 2, 3: for each event and each trigger that it fired for sure there was one delivery, and it has ended. */
async function checkDeliveries(
  world: World,
  { queue }: Hub,
  events: readonly StoredEvent[],
  letters: ReadonlyMap<string, DeadLetter>,
): Promise<void> {
  const { record } = world
  for (const trigger of record.triggers.values()) {
    for (const stored of events) {
      if (!firesSurely(record, trigger, stored)) continue
      record.count("owed")
      const { tenant, id, incarnation = "", destination } = trigger.versions[0]!.trigger
      const delivery: Delivery = {
        id: deliveryId(stored.cursor, id, incarnation),
        tenant,
        trigger: id,
        incarnation,
        destination,
        cursor: stored.cursor,
        fingerprint: fingerprintOf(stored),
      }
      const known = record.deliveries.get(delivery.id)
      const open = await queue.open(delivery)
      if (open) throw new InvariantError(3, `${delivery.id} is still ${open.state}`)
      if (letters.has(delivery.id)) continue
      if (!known?.taken) throw new InvariantError(2, `${delivery.id} was owed, and neither delivered nor given up`)
    }
  }
}

/** 3: a delivery is given up for the reason that it says. */
function checkLetters(world: World, letters: ReadonlyMap<string, DeadLetter>): void {
  const { record } = world
  for (const { id, tenant, trigger, reason, attempts } of letters.values()) {
    const known = record.deliveries.get(id)
    const policy = record.triggers.get(`${tenant}/${trigger}`)?.versions[0]?.trigger.retry
    if (!known || !policy) throw new InvariantError(2, `the dead letter ${id} is of a delivery that never was`)
    if (known.ended?.kind === "done") throw new InvariantError(2, `${id} is done, and a dead letter`)
    if (reason === "permanent" && known.refused === 0) {
      throw new InvariantError(3, `${id} was given up as permanent, and no destination refused it`)
    }
    if (reason === "damaged") throw new InvariantError(3, `${id} was given up as damaged, and nothing was`)
    if (reason === "exhausted" && attempts < policy.attemptsMax) {
      throw new InvariantError(3, `${id} was given up after ${attempts} of ${policy.attemptsMax} attempts`)
    }
  }
  for (const { id, ended } of record.deliveries.values()) {
    if (ended?.kind === "dead" && !letters.has(id)) throw new InvariantError(3, `the dead letter ${id} is lost`)
  }
}

/** 3: what was delivered or given up can be read as events, unless there was no room to tell of it. */
function checkTold({ record }: World, events: readonly StoredEvent[], letters: ReadonlyMap<string, DeadLetter>): void {
  if (record.counts.has("full disks")) return
  const told = new Set<string>()
  for (const { address, event } of events) {
    if (address.topic === deadLettersTopic) told.add(`dead ${event.attribute("subject")}`)
    if (address.topic !== attemptsTopic) continue
    const { verdict } = JSON.parse(Buffer.from(event.data!).toString()) as { verdict: Verdict }
    told.add(`attempt ${verdict.kind} ${event.attribute("subject")}`)
  }
  for (const id of letters.keys()) {
    if (!told.has(`dead ${id}`)) throw new InvariantError(3, `the dead letter ${id} is not told of`)
  }
  for (const { id, ended, deleted } of record.deliveries.values()) {
    if (ended?.kind !== "done" || deleted || told.has(`attempt done ${id}`)) continue
    throw new InvariantError(3, `${id} is done, and no attempt is told of that did it`)
  }
}

/** 6: whatever the other lanes do, a destination that answers has its events soon. */
function checkSpeed(world: World, { triggers }: Scenario, events: readonly StoredEvent[]): void {
  const { record } = world
  for (const { tenant, id, destination } of triggers) {
    if (!destination.startsWith("steady")) continue
    const trigger = record.triggers.get(`${tenant}/${id}`)
    const since = trigger?.versions[0]?.acknowledgedAt
    if (!trigger || since === undefined) continue
    const { incarnation = "" } = trigger.versions[0]!.trigger
    for (const { cursor, storedAt } of events.filter((stored) => firesSurely(record, trigger, stored))) {
      const receivedAt = record.deliveries.get(deliveryId(cursor, id, incarnation))?.firstReceiptAt
      if (receivedAt === undefined || storedAt < since || record.disturbed(storedAt, receivedAt)) continue
      record.count("prompt")
      if (receivedAt - storedAt <= promptMs) continue
      throw new InvariantError(6, `${cursor} came to ${destination} ${receivedAt - storedAt} ms after it was stored`)
    }
  }
}
