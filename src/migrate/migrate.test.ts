import { rmSync } from "node:fs"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { attemptsTopic, isReservedTopic } from "../core/address.ts"
import {
  routedAsKeys,
  routingKeys,
  subscriptionKeys,
  subscriptionPositionKeys,
  triggerKeys,
} from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { OverloadError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import { mainReaderOf, pathOf, type RoutedAs, type RoutingRecord, readerOf, versionFor } from "../core/routing.ts"
import type { Subscription, SubscriptionPosition } from "../core/subscriptions.ts"
import type { Carried } from "../core/transfer.ts"
import { markOf } from "../route/record.ts"
import { type Nats, natsAvailable, startNats } from "../testing/nats.ts"
import { fillHub, type HubToMigrate, move, openServers, openSmallEngine, temporary } from "./hub-to-migrate.fixture.ts"
import { unfinishedMigration } from "./mark.ts"
import { MigrationRefusedError, MigrationStoppedError } from "./refusal.ts"

const directories: string[] = []
const engines: Engine[] = []

function directory(): string {
  const made = temporary()
  directories.push(made)
  return made
}

async function open(path = directory()): Promise<Engine> {
  const engine = await openSmallEngine(path)
  engines.push(engine)
  return engine
}

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close()
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
})

async function eventsOf({ log }: Engine): Promise<readonly StoredEvent[]> {
  const all: StoredEvent[] = []
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { events } of log.read({ partition })) all.push(...events)
  }
  return all
}

async function carriedOf({ queue }: Engine): Promise<readonly Carried[]> {
  const all: Carried[] = []
  for await (const items of queue.carried()) all.push(...items)
  return all
}

const shown = ({ address, event, storedAt }: StoredEvent) => ({
  address,
  storedAt,
  attributes: event.attributes,
  kind: event.dataKind,
  data: event.data && Buffer.from(event.data).toString("base64"),
})

/** A hub with a history, migrated to another engine. */
async function moved(openTarget: () => Promise<Engine>, count = 2_000) {
  const source = await open()
  const hub = await fillHub(source, "moved", count)
  const target = await openTarget()
  const report = await move(source, target, directory())
  return { source, target, hub, report }
}

const topicOf = ({ address }: StoredEvent) => `${address.tenant}/${address.topic}`

/** Where each event of the source has come to, found by the order of each topic alone. */
async function placesOf(source: Engine, target: Engine): Promise<ReadonlyMap<Cursor, Cursor>> {
  const before = Object.groupBy(await eventsOf(source), topicOf)
  const after = Object.groupBy(await eventsOf(target), topicOf)
  return new Map(
    Object.entries(before).flatMap(([topic, events = []]) => {
      expect(after[topic]).toHaveLength(events.length)
      return events.map(({ cursor }, i) => [cursor, after[topic]![i]!.cursor] as const)
    }),
  )
}

const ofHub = ({ address }: StoredEvent) => isReservedTopic(address.topic)

/** Every event as it was, in the order of its topic. */
async function expectSameEvents(source: Engine, target: Engine): Promise<void> {
  const before = Object.groupBy(await eventsOf(source), topicOf)
  const after = Object.groupBy(await eventsOf(target), topicOf)
  expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort())
  const plain = (events: readonly StoredEvent[] = []) => events.filter((stored) => !ofHub(stored)).map(shown)
  for (const topic of Object.keys(before)) expect(plain(after[topic])).toEqual(plain(before[topic]))
}

/** What was told of an event is found at where it is now. */
async function expectSameHistories(source: Engine, target: Engine): Promise<void> {
  const places = await placesOf(source, target)
  const about = (engine: Engine, { address: { tenant } }: StoredEvent, key: Cursor) =>
    read(engine, { tenant, topic: attemptsTopic, key })
  let told = 0
  for (const stored of await eventsOf(source)) {
    if (ofHub(stored) || told > 100) continue
    const place = places.get(stored.cursor)!
    const before = await about(source, stored, stored.cursor)
    const after = await about(target, stored, place)
    expect(after).toHaveLength(before.length)
    for (const [i, { event }] of after.entries()) {
      told++
      const delivery = `${place}.t0.i1`
      expect(event.attribute("subject")).toBe(delivery)
      expect(event.id).toBe(before[i]!.event.id.replace(`${stored.cursor}.t0.i1`, delivery))
      const data = JSON.parse(Buffer.from(event.data!).toString()) as object
      const old = JSON.parse(Buffer.from(before[i]!.event.data!).toString()) as object
      expect(data).toEqual({ ...old, delivery, cursor: place })
    }
  }
  expect(told).toBeGreaterThan(100)
}

/** What is owed, event for event; what retention has dropped the event of is still owed, and finds nothing. */
async function expectSameDebts(source: Engine, target: Engine): Promise<void> {
  const places = await placesOf(source, target)
  const oldest = Array.from({ length: target.log.partitions }, (_, partition) => target.log.oldest(partition))
  const before = await carriedOf(source)
  const after = await carriedOf(target)
  const found = new Map(after.map((item) => [nameOf(item), item]))
  expect(found.size).toBe(before.length)
  const gone: string[] = []
  for (const item of before) {
    const { id, cursor } = item.kind === "dead" ? item.letter : item.delivery
    const place = places.get(cursor)
    const rest = id.slice(cursor.length + 1)
    if (place === undefined) {
      gone.push(`${rest}.${cursor}`)
      continue
    }
    const changed = { id: `${place}.${rest}`, cursor: place }
    const expected: Carried =
      item.kind === "dead"
        ? { ...item, letter: { ...item.letter, ...changed } }
        : { ...item, delivery: { ...item.delivery, ...changed } }
    expect(found.get(nameOf(expected))).toEqual(expected)
  }
  const lost = after
    .map((item) => (item.kind === "dead" ? item.letter : item.delivery))
    .filter((d) => oldest.includes(d.cursor))
  for (const { cursor } of lost) expect(await target.log.get(cursor)).toBeUndefined()
  expect(gone.length).toBeGreaterThan(10)
  expect(lost.map(({ id, cursor }) => id.slice(cursor.length + 1)).sort()).toEqual(gone.sort())
}

/** Each trigger has before it what it had before it. */
async function expectSameRouting(source: Engine, target: Engine, { triggers }: HubToMigrate): Promise<void> {
  const places = await placesOf(source, target)
  for (const trigger of triggers) {
    const [before, after] = [await leftOf(source, trigger), await leftOf(target, trigger)]
    expect(after, trigger.id).toEqual(before.map((cursor) => places.get(cursor)))
    const keptBefore = (await source.catalog.get<RoutedAs>(routedAsKeys.of(trigger)))!.value
    const keptAfter = (await target.catalog.get<RoutedAs>(routedAsKeys.of(trigger)))!.value
    const now = (await target.catalog.get<Trigger>(triggerKeys.at(pathOf(trigger))))!.value
    expect(keptAfter.of).toBe(markOf(now))
    for (const { cursor } of (await eventsOf(source)).filter((stored) => topicOf(stored) === topicName(trigger))) {
      const before = versionFor(keptBefore.versions, cursor, (a, b) => source.log.compare(a, b))
      const after = versionFor(keptAfter.versions, places.get(cursor)!, (a, b) => target.log.compare(a, b))
      expect(keptAfter.versions.indexOf(after!)).toBe(keptBefore.versions.indexOf(before!))
    }
  }
}

/** Each subscription has before it what it had before it. */
async function expectSameSubscriptions(source: Engine, target: Engine, { subscriptions }: HubToMigrate) {
  const places = await placesOf(source, target)
  const standing = async ({ catalog, log }: Engine, named: Subscription) => {
    const position = (await catalog.get<SubscriptionPosition>(subscriptionPositionKeys.of(named)))!.value
    const { from } = (await catalog.get<Subscription>(subscriptionKeys.of(named)))!.value
    expect(log.compare(from, position.cursor)).toBeLessThanOrEqual(0)
    const cursors: Cursor[] = []
    const { tenant, topic } = named
    for await (const { events } of log.read({ where: { tenant, topic }, from: position.cursor }))
      cursors.push(...events.map(({ cursor }) => cursor))
    return { epoch: position.epoch, cursors }
  }
  for (const subscription of subscriptions) {
    const [before, after] = [await standing(source, subscription), await standing(target, subscription)]
    expect(after, subscription.id).toEqual({ ...before, cursors: before.cursors.map((cursor) => places.get(cursor)) })
  }
}

const topicName = ({ tenant, topic }: Trigger) => `${tenant}/${topic.split(":")[0]}`

function keepsAll(name: string, openTarget: () => Promise<Engine>): void {
  test(`keeps all there is: ${name}`, async () => {
    const { source, target, hub, report } = await moved(openTarget)
    expect(report.comparisons.filter(({ same }) => !same)).toEqual([])
    expect(report).toMatchObject({ same: true, notes: [] })
    await expectSameEvents(source, target)
    await expectSameHistories(source, target)
    await expectSameDebts(source, target)
    await expectSameRouting(source, target, hub)
    await expectSameSubscriptions(source, target, hub)
  }, 60_000)
}

describe("migrating a hub", () => {
  keepsAll("embedded to embedded", () => open())

  test("tells a moved engine from one that has been moved to in part", async () => {
    const source = await open()
    await fillHub(source, "refused", 300)
    const [target, other, work] = [await open(), await open(), directory()]
    await other.catalog.put("topic/default/x", {})
    await expect(move(source, other, directory())).rejects.toThrow(/holds something already/)
    const stop = AbortSignal.abort()
    await expect(move(source, target, work, { stop })).rejects.toThrow(MigrationStoppedError)
    await expect(move(source, target, directory())).rejects.toThrow(/target of another migration, from here/)
    await expect(move(source, target, work, { to: "elsewhere" })).rejects.toThrow(/from here to there/)
    expect((await move(source, target, work)).same).toBe(true)
    await expect(move(source, target, work)).rejects.toThrow(/has been moved to there already/)
  })

  test("refuses to go on once the source has been written to, or the target", async () => {
    const source = await open()
    const { events } = await fillHub(source, "written", 300)
    const [target, work] = [await open(), directory()]
    await expect(move(source, target, work, { stop: AbortSignal.abort() })).rejects.toThrow(MigrationStoppedError)
    await target.log.append({ tenant: "acme", topic: "orders" }, [events[0]!.event])
    await expect(move(source, target, work)).rejects.toThrow(MigrationRefusedError)
    await source.log.append({ tenant: "acme", topic: "orders" }, [events[0]!.event])
    await expect(move(source, target, work)).rejects.toThrow(/has been written to since/)
  })

  test("finds what differs", async () => {
    const source = await open()
    await fillHub(source, "differs", 300)
    const [target, work] = [await open(), directory()]
    // A target that takes one event for another.
    const wrong = appending(target, spoiling(target.log))
    const { same, comparisons } = await move(source, wrong, work)
    expect(same).toBe(false)
    expect(comparisons.filter((each) => !each.same).map(({ what }) => what)).toEqual(["events of globex/orders"])
    await expect(move(source, target, directory())).rejects.toThrow(/another migration/)
    expect(await unfinishedMigration(target.catalog)).toMatchObject({ from: "here" })
  })

  test("copies all the same where the target takes nothing now and then", async () => {
    const source = await open()
    await fillHub(source, "overloaded", 3_000)
    const target = await open()
    let calls = 0
    let refusing = false
    let refusals = 0
    const append: EventLog["append"] = (address, events, options) => {
      refusing ||= ++calls % 50 === 0
      if (!refusing) return target.log.append(address, events, options)
      refusals++
      return Promise.reject(new OverloadError(1))
    }
    // What is on its way when the target takes nothing is refused as well, until the copying begins anew by looking at it.
    const read: EventLog["read"] = (options) => {
      refusing = false
      return target.log.read(options)
    }
    expect((await move(source, appending(target, append, read), directory())).same).toBe(true)
    expect(refusals).toBeGreaterThan(2)
  })

  test("refuses to go on where the target has lost something in between", async () => {
    const source = await open()
    await fillHub(source, "between", 1_000)
    const target = await open()
    let calls = 0
    const append: EventLog["append"] = (address, events, options) =>
      ++calls === 100 ? Promise.reject(new OverloadError(1)) : target.log.append(address, events, options)
    await expect(move(source, appending(target, append), directory())).rejects.toThrow(/lost a part/)
  })
})

describe.skipIf(natsAvailable() === undefined)(
  "migrating a hub to NATS (skipped where there is no nats-server)",
  () => {
    let nats: Nats
    let prefixes = 0

    beforeAll(async () => {
      nats = await startNats()
    }, 30_000)
    afterAll(() => nats.stop())

    async function openNew(): Promise<Engine> {
      const engine = await openServers(nats.url, `moved${prefixes++}`, directory())
      engines.push(engine)
      return engine
    }

    keepsAll("embedded to JetStream", openNew)

    test("and back: one partition out of many", async () => {
      const { source, target, hub } = await moved(openNew)
      const back = await open()
      expect(await move(target, back, directory())).toMatchObject({ same: true, notes: [] })
      await expectSameEvents(source, back)
      await expectSameHistories(source, back)
      await expectSameDebts(source, back)
      await expectSameRouting(source, back, hub)
    }, 60_000)
  },
)

/** The engine, but for how it appends, and reads. */
function appending(engine: Engine, append: EventLog["append"], read?: EventLog["read"]): Engine {
  const log = new Proxy(engine.log, {
    get(of, name) {
      const member: unknown = Reflect.get(of, name)
      if (name === "append") return append
      if (name === "read" && read) return read
      return typeof member === "function" ? member.bind(of) : member
    },
  })
  return { ...engine, log }
}

/** Loses the data of some events on their way. */
function spoiling(log: EventLog): EventLog["append"] {
  const spoil = (event: Event) => (event.id === "e5" ? Event.of(event.attributes) : event)
  return (address, events, options) =>
    log.append(address, address.tenant === "globex" ? events.map(spoil) : events, options)
}

function nameOf(item: Carried): string {
  const { id, cursor, tenant } = item.kind === "dead" ? item.letter : item.delivery
  return JSON.stringify([tenant, cursor, id])
}

async function read({ log }: Engine, where: { tenant: string; topic: string; key: string }) {
  const all: StoredEvent[] = []
  for await (const { events } of log.read({ where })) all.push(...events)
  return all
}

/** The trigger's events that are still to be routed, as the state machine of its readers says. */
async function leftOf(engine: Engine, trigger: Trigger): Promise<readonly Cursor[]> {
  const { log, catalog, queue } = engine
  const path = pathOf(trigger)
  const now = (await catalog.get<Trigger>(triggerKeys.at(path)))!.value
  const record = (await catalog.get<RoutingRecord>(routingKeys.at(path)))?.value
  const [topic, key] = now.topic.split(":") as [string, string?]
  const partition = log.partitionOf({ tenant: now.tenant, topic })
  let frontier = now.from
  if (record?.of === markOf(now)) {
    expect(record.partition ?? 0).toBe(partition)
    const after = record.attachedAfter
    const main = (await queue.position(mainReaderOf(partition))) ?? log.oldest(partition)
    if (after === undefined) frontier = (await queue.position(readerOf(path))) ?? now.from
    else frontier = log.compare(main, after) > 0 ? main : after
  }
  const left: Cursor[] = []
  const where = { tenant: now.tenant, topic, ...(key !== undefined && { key }) }
  for await (const { events } of log.read({ where, from: frontier })) left.push(...events.map(({ cursor }) => cursor))
  return left
}
