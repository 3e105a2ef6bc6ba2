import { attemptsTopic, deadLettersTopic, isReservedTopic } from "../src/core/address.ts"
import type { Cursor } from "../src/core/cursor.ts"
import { isDelayed } from "../src/core/delayed.ts"
import type { DeadLetter, Verdict } from "../src/core/delivery.ts"
import { deliveryId } from "../src/core/delivery.ts"
import { fingerprintOf } from "../src/core/fingerprint.ts"
import type { EventLog, StoredEvent } from "../src/core/log.ts"
import type { DeliveryQueue } from "../src/core/queue.ts"
import { discardedType } from "../src/deliver/records.ts"
import type { NamedDamage } from "./damage.ts"
import { checkDelayed, checkKeptBack } from "./delayed.ts"
import type { Hub } from "./hub.ts"
import { Keeping } from "./keeping.ts"
import { checkOpen } from "./open.ts"
import { type Acknowledged, InvariantError, identityOf, isSame, type RunRecord, type TriggerRecord } from "./record.ts"
import { checkReplies } from "./replies.ts"
import { answersTopic, clockTopic, keys, type Scenario, sideTopics, tenants, topics } from "./scenario.ts"
import { checkSchedules } from "./schedules.ts"
import { limitedTenant } from "./shares.ts"
import { firesSurely } from "./triggers.ts"
import type { World } from "./world.ts"

/** A destination that answers has its events this soon, while nothing disturbs the hub as a whole. */
const promptMs = 1_000

/** Holds a quiet hub against everything that was seen. */
export async function checkInvariants(world: World, hub: Hub, scenario: Scenario): Promise<void> {
  const events = await readAll(hub.engine.log)
  const letters = await readLetters(hub)
  const keeping = new Keeping(world)
  for (const line of hub.engine.health()) world.record.damage.hear(line)
  const checks = [
    () => checkLog(world, events, keeping),
    () => checkPlaces(world),
    () => checkRepeats(events, keeping),
    () => checkDuplicates(world, keeping),
    () => keeping.check(events, hub.engine),
    () => checkKeepers(hub, events),
    () => checkDelayed(world, events, keeping),
    () => checkKeptBack(world, hub.engine),
    () => checkConditions(world, events),
    () => checkNamed(world, events),
    () => checkTopics(hub.engine.log, events),
    () => checkSchedules(world, hub, scenario, events),
    () => checkReplies(world, events),
    () => checkDeliveries(world, hub, events, letters),
    () => checkOpen(hub.queue, scenario),
    () => checkLetters(world, letters, events),
    () => keeping.checkOwed(letters, events),
    () => checkTold(world, events, letters),
    () => checkSpeed(world, scenario, events),
  ]
  for (const check of checks) {
    try {
      await check()
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error
      world.violate(error)
    }
  }
  world.record.count("stored", events.length)
}

/** 1: no place is used twice, whatever was lost in between. */
function checkPlaces({ record }: World): void {
  const taken = new Map<Cursor, string>()
  for (const { cursor, address, event } of record.acknowledged) {
    const identity = identityOf(address, event)
    const there = taken.get(cursor) ?? identity
    if (there !== identity) throw new InvariantError(1, `${identity} is at ${cursor}, where ${there} was`)
    taken.set(cursor, identity)
  }
}

async function readAll(log: EventLog, where = {}): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  for await (const batch of log.read({ where }))
    events.push(...batch.events.filter(({ address }) => !isDelayed(address)))
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

/** 1: what was acknowledged is there, as it was published, in order, unless its topic keeps it no longer; nothing else is. */
function checkLog(world: World, events: readonly StoredEvent[], keeping: Keeping): void {
  const { record } = world
  const byCursor = new Map(events.map((stored) => [stored.cursor, stored]))
  for (const acknowledged of record.acknowledged) checkAcknowledged(acknowledged, byCursor, keeping, record.damage)
  checkGone(record, events, byCursor, keeping)
  const stored = new Set<string>()
  for (const [i, { cursor, storedAt, address, event }] of events.entries()) {
    const before = events[i - 1]
    if (before && (cursor <= before.cursor || storedAt < before.storedAt)) {
      throw new InvariantError(1, `the log is out of order at ${cursor}`)
    }
    if (isReservedTopic(address.topic) || address.topic === clockTopic) continue
    if (address.topic === answersTopic) continue
    const identity = identityOf(address, event)
    const published = record.source(identity)
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

function checkAcknowledged(
  acknowledged: Acknowledged,
  byCursor: ReadonlyMap<Cursor, StoredEvent>,
  keeping: Keeping,
  damage: NamedDamage,
): void {
  const { cursor, address, event } = acknowledged
  const stored = byCursor.get(cursor)
  if (!stored) {
    if (damage.covers(cursor) || keeping.mayBeGone(acknowledged)) return
    throw new InvariantError(1, `the event acknowledged at ${cursor} is not in the log`)
  }
  if (identityOf(stored.address, stored.event) !== identityOf(address, event)) {
    throw new InvariantError(1, `another event is at ${cursor} than was acknowledged there`)
  }
  if (!damage.ofState && keeping.mustBeGone(acknowledged, Number.POSITIVE_INFINITY)) {
    throw new InvariantError(1, `the event at ${cursor} is in the log, and its topic was deleted`)
  }
}

/** 1: but for its rules, a topic loses its oldest events, and none after one that it keeps; what is gone is nobody's duplicate. */
function checkGone(
  record: RunRecord,
  events: readonly StoredEvent[],
  byCursor: ReadonlyMap<Cursor, StoredEvent>,
  keeping: Keeping,
): void {
  const oldest = new Map<string, Cursor>()
  for (const { address, cursor } of events) {
    const path = `${address.tenant}/${address.topic}`
    if (!oldest.has(path)) oldest.set(path, cursor)
  }
  for (const acknowledged of record.acknowledged) {
    const { address, cursor } = acknowledged
    const first = oldest.get(`${address.tenant}/${address.topic}`)
    if (first === undefined || cursor < first || byCursor.has(cursor) || record.damage.covers(cursor)) continue
    if (keeping.mayGoByRule(acknowledged)) continue
    throw new InvariantError(1, `the event at ${cursor} is gone, and one before it is kept`)
  }
}

/** 1: what is deleted is gone: a repeated event after that is a new one. */
function checkDuplicates({ record }: World, keeping: Keeping): void {
  const first = new Map<Cursor, Acknowledged>()
  for (const acknowledged of record.acknowledged) {
    const known = first.get(acknowledged.cursor)
    if (known === undefined) first.set(acknowledged.cursor, acknowledged)
    else if (!record.damage.ofState && keeping.mustBeGone(known, acknowledged.at)) {
      throw new InvariantError(1, `an event was acknowledged at ${known.cursor}, where it had been deleted before`)
    }
  }
}

/** 1: a repeated event within the window is one event. */
function checkRepeats(events: readonly StoredEvent[], keeping: Keeping): void {
  const last = new Map<string, StoredEvent>()
  for (const stored of events) {
    if (isReservedTopic(stored.address.topic)) continue
    const identity = identityOf(stored.address, stored.event)
    const earlier = last.get(identity)
    if (earlier && stored.storedAt - earlier.storedAt < keeping.dedupeWindowMs(stored.address)) {
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
    // What was there may have been dropped since.
    if (
      at < 0 ||
      before === expected ||
      (expected !== "none" && world.record.damage.covers(expected)) ||
      (before === "none" && expected < cursor)
    )
      continue
    throw new InvariantError(1, `${cursor} expected ${expected} before it, and follows ${before}`)
  }
}

/** 1: what was named as an address's last event is one of its events, or was. */
function checkNamed({ record }: World, events: readonly StoredEvent[]): void {
  // A duplicate may have been published to another key than what is there.
  const stored = record.acknowledged.filter(({ duplicate }) => !duplicate)
  const byCursor = new Map([...stored, ...events].map((each) => [each.cursor, each.address]))
  for (const { address, cursor } of record.named) {
    const there = byCursor.get(cursor)
    const isDropped =
      record.damage.covers(cursor) || (there === undefined && (sideTopics as readonly string[]).includes(address.topic))
    const same = there?.tenant === address.tenant && there.topic === address.topic
    if (isDropped || (same && (address.key === undefined || there.key === address.key))) continue
    const named = `${address.tenant}/${address.topic}`
    throw new InvariantError(1, `${cursor} was named as the last of ${named}, and is not there`)
  }
}

/** 1: every topic that has events is there, so that its retention is seen to. */
async function checkKeepers({ engine }: Hub, events: readonly StoredEvent[]): Promise<void> {
  for (const { address, cursor } of new Map(
    events.map((stored) => [`${stored.address.tenant}/${stored.address.topic}`, stored]),
  ).values()) {
    const { tenant, topic } = address
    if (isReservedTopic(topic) || (await engine.catalog.get(`topic/${tenant}/${topic}`))) continue
    throw new InvariantError(1, `${cursor} is on ${tenant}/${topic}, which is not there: no retention ends it`)
  }
}

/** 1, 5: reading one topic, or one key of it, finds what reading everything finds there. */
async function checkTopics(log: EventLog, events: readonly StoredEvent[]): Promise<void> {
  // Schedules go on publishing meanwhile.
  const last = events.at(-1)?.cursor ?? ""
  let still: ReadonlySet<Cursor> | undefined
  for (const tenant of tenants) {
    for (const topic of [...topics, ...sideTopics, clockTopic, answersTopic, attemptsTopic]) {
      for (const key of keys) {
        const where = { tenant, topic, ...(key === undefined ? {} : { key }) }
        const read = (await readAll(log, where)).map(({ cursor }) => cursor).filter((cursor) => cursor <= last)
        const there = events
          .filter(({ address }) => address.tenant === tenant && address.topic === topic)
          .filter(({ address }) => key === undefined || address.key === key)
          .map(({ cursor }) => cursor)
        if (read.join() === there.join() || (still && isOnlyDropped(read, there, still))) continue
        still = new Set((await readAll(log)).map(({ cursor }) => cursor))
        if (isOnlyDropped(read, there, still)) continue
        throw new InvariantError(1, `${tenant}/${topic}:${key ?? ""} reads as ${read.length} events of ${there.length}`)
      }
    }
  }
}

/** Whether what was there before and was not read is not there any more: retention goes on meanwhile. */
function isOnlyDropped(read: readonly Cursor[], there: readonly Cursor[], still: ReadonlySet<Cursor>): boolean {
  const [found, before] = [new Set(read), new Set(there)]
  return read.every((cursor) => before.has(cursor)) && there.every((cursor) => found.has(cursor) || !still.has(cursor))
}

/** 2, 3: for each event and each trigger that it fired for sure there was one delivery, and it has ended. */
async function checkDeliveries(
  world: World,
  { queue }: Hub,
  events: readonly StoredEvent[],
  letters: ReadonlyMap<string, DeadLetter>,
): Promise<void> {
  const { record } = world
  for (const trigger of record.triggers) {
    for (const stored of events) {
      if (!firesSurely(record, trigger, stored)) continue
      record.count("owed")
      const id = deliveryId(stored.cursor, trigger.id, trigger.incarnation ?? "")
      const open = await openOf(queue, trigger, stored)
      if (open) throw new InvariantError(3, `${id} is still ${open.state}`)
      if (letters.has(id)) continue
      if (!isSeenTo(record, letters, id)) {
        throw new InvariantError(2, `${id} was owed, and neither delivered nor given up`)
      }
      const known = record.delivery(id)
      if (known.edits) continue
      if (known.resentFrom !== undefined && known.taken <= known.resentFrom && !known.discarded)
        throw new InvariantError(3, `${id} was to be delivered once more, and was not`)
    }
  }
}

/** Whether a delivery that is not open was made, or given up, or another one in its place was. */
function isSeenTo(record: RunRecord, letters: ReadonlyMap<string, DeadLetter>, id: string): boolean {
  if (letters.has(id)) return true
  const { taken, discarded, edits = [] } = record.delivery(id)
  return taken > 0 || discarded === true || edits.some((edit) => isSeenTo(record, letters, edit))
}

/** The open delivery of an event, to whatever destination the trigger had. */
async function openOf(
  queue: DeliveryQueue,
  { tenant, id: trigger, incarnation = "", versions }: TriggerRecord,
  stored: StoredEvent,
) {
  const { cursor } = stored
  const fingerprint = fingerprintOf(stored)
  const id = deliveryId(cursor, trigger, incarnation)
  for (const destination of new Set(versions.map((version) => version.trigger.destination))) {
    const open = await queue.open({ id, tenant, trigger, incarnation, destination, cursor, fingerprint })
    if (open) return open
  }
  return undefined
}

/** 3: a delivery is given up for the reason that it says. */
function checkLetters(world: World, letters: ReadonlyMap<string, DeadLetter>, events: readonly StoredEvent[]): void {
  const { record } = world
  const kept = new Set(events.map(({ cursor }) => cursor))
  for (const letter of letters.values()) checkLetter(record, letter, kept)
  for (const { id, ended, discarded, edits } of record.deliveries.values()) {
    if (ended?.kind === "dead" && !letters.has(id) && !discarded && !edits)
      throw new InvariantError(3, `the dead letter ${id} is lost`)
  }
}

function checkLetter(record: RunRecord, letter: DeadLetter, kept: ReadonlySet<Cursor>): void {
  const { id, tenant, destination, reason, attempts, cursor } = letter
  const known = record.deliveries.get(id)
  const policies = record.triggersFor(letter).flatMap(({ versions }) => versions.map(({ trigger }) => trigger.retry))
  if (!known || policies.length === 0) {
    throw new InvariantError(2, `the dead letter ${id} is of a delivery that never was`)
  }
  if (known.ended && known.ended.kind !== "dead")
    throw new InvariantError(2, `${id} is ${known.ended.kind}, and a dead letter`)
  const mayBeNowhere = record.models
    .get(`destination/${tenant}/${destination}`)
    ?.spans.some(({ fields, from }) => fields === undefined && from < letter.diedAt)
  if (reason === "permanent" && known.refused === 0 && kept.has(cursor) && !mayBeNowhere) {
    throw new InvariantError(3, `${id} was given up as permanent, and no destination refused it`)
  }
  const versions = record.triggersFor(letter).flatMap(({ versions }) => versions)
  if (reason === "gone" && versions.every(({ trigger }) => trigger.destination === destination))
    throw new InvariantError(3, `${id} was given up as gone, and its trigger sent to ${destination} all the time`)
  if (reason === "damaged" && !record.damage.covers(cursor))
    throw new InvariantError(3, `${id} was given up as damaged, and nothing was`)
  const attemptsMax = Math.min(...policies.map((policy) => policy.attemptsMax))
  if (reason === "exhausted" && attempts < attemptsMax) {
    throw new InvariantError(3, `${id} was given up after ${attempts} of ${attemptsMax} attempts`)
  }
}

/** 3: what was delivered or given up can be read as events, unless there was no room to tell of it. */
function checkTold({ record }: World, events: readonly StoredEvent[], letters: ReadonlyMap<string, DeadLetter>): void {
  if (record.counts.has("full disks") || record.damage.count > 0) return
  const told = new Set<string>()
  for (const { address, event } of events) {
    if (address.topic === deadLettersTopic) told.add(`${event.type} ${event.attribute("subject")}`)
    if (address.topic !== attemptsTopic) continue
    const { verdict } = JSON.parse(Buffer.from(event.data!).toString()) as { verdict: Verdict }
    told.add(`attempt ${verdict.kind} ${event.attribute("subject")}`)
  }
  for (const id of letters.keys()) {
    if (!told.has(`redcar.dead-letter ${id}`)) throw new InvariantError(3, `the dead letter ${id} is not told of`)
  }
  // One that ended before it was answered may have discarded, and told nothing.
  const allTold = !record.counts.has("discards unanswered")
  for (const { id, ended, deleted } of record.deliveries.values()) {
    if (allTold && ended?.kind === "discarded" && !told.has(`${discardedType} ${id}`))
      throw new InvariantError(3, `${id} was discarded, and nobody is told why`)
    if (ended?.kind !== "done" || deleted || told.has(`attempt done ${id}`)) continue
    throw new InvariantError(3, `${id} is done, and no attempt is told of that did it`)
  }
}

/** 6: whatever the other lanes do, a destination that answers has its events soon. */
function checkSpeed(world: World, { triggers }: Scenario, events: readonly StoredEvent[]): void {
  const { record } = world
  for (const { tenant, id, destination, ordering } of triggers) {
    // What goes one at a time waits for its turn.
    if (!destination.startsWith("steady") || ordering !== undefined) continue
    // Its limits may make it wait for the others of its tenant.
    if (world.limitsTenant && tenant === limitedTenant) continue
    const trigger = record.triggersOf({ tenant, id })[0]
    const since = trigger?.versions[0]?.acknowledgedAt
    if (!trigger || since === undefined) continue
    const { incarnation = "" } = trigger
    for (const { cursor, storedAt } of events.filter((stored) => firesSurely(record, trigger, stored))) {
      const receivedAt = record.deliveries.get(deliveryId(cursor, id, incarnation))?.firstReceiptAt
      if (receivedAt === undefined || storedAt < since || record.disturbed(storedAt, receivedAt)) continue
      record.count("prompt")
      if (receivedAt - storedAt <= promptMs) continue
      throw new InvariantError(6, `${cursor} came to ${destination} ${receivedAt - storedAt} ms after it was stored`)
    }
  }
}
