import { rmSync } from "node:fs"
import { afterEach, describe, expect, test } from "vitest"
import { attemptsTopic, isReservedTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Carried, Engine, EventLog, StoredEvent } from "../core/engine.ts"
import { OverloadError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import type { Trigger } from "../core/resources.ts"
import { mainReaderOf, pathOf, type RoutingRecord, readerOf, routingPrefix } from "../core/routing.ts"
import { incarnationOf, triggerPrefix } from "../route/record.ts"
import { furnish, move, openHouse, temporary } from "./house.fixture.ts"
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
  const engine = await openHouse(path)
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

/** A furnished house, moved into another engine. */
async function moved(count = 2_000) {
  const source = await open()
  const house = await furnish(source, "moved", count)
  const target = await open()
  const report = await move(source, target, directory())
  return { source, target, house, report }
}

/** Where each event of the source has come to, found by order alone. */
async function placesOf(source: Engine, target: Engine): Promise<ReadonlyMap<Cursor, Cursor>> {
  const [before, after] = [await eventsOf(source), await eventsOf(target)]
  expect(after).toHaveLength(before.length)
  return new Map(before.map(({ cursor }, i) => [cursor, after[i]!.cursor]))
}

describe("moving a house", () => {
  test("keeps every event as it was, in order", async () => {
    const { source, target, report } = await moved()
    expect(report.comparisons.filter(({ same }) => !same)).toEqual([])
    expect(report.same).toBe(true)
    expect(report.notes).toEqual([])
    const plain = (all: readonly StoredEvent[]) =>
      all.filter(({ address }) => !isReservedTopic(address.topic)).map(shown)
    const events = plain(await eventsOf(target))
    expect(events.length).toBeGreaterThan(1_500)
    expect(events).toEqual(plain(await eventsOf(source)))
  })

  test("keeps what was told of an event findable at where it is now", async () => {
    const { source, target } = await moved()
    const places = await placesOf(source, target)
    let told = 0
    for (const stored of await eventsOf(source)) {
      const { address, cursor } = stored
      if (isReservedTopic(address.topic)) continue
      const here = { tenant: address.tenant, topic: attemptsTopic }
      const before = await read(source, { ...here, key: cursor })
      const after = await read(target, { ...here, key: places.get(cursor)! })
      expect(after).toHaveLength(before.length)
      for (const [i, { event }] of after.entries()) {
        told++
        const delivery = `${places.get(cursor)}.t0`
        expect(event.attribute("subject")).toBe(delivery)
        expect(event.id).toBe(before[i]!.event.id.replace(`${cursor}.t0`, delivery))
        const data = JSON.parse(Buffer.from(event.data!).toString()) as object
        const old = JSON.parse(Buffer.from(before[i]!.event.data!).toString()) as object
        expect(data).toEqual({ ...old, delivery, cursor: places.get(cursor) })
      }
    }
    expect(told).toBeGreaterThan(100)
  })

  test("keeps what is owed, event for event", async () => {
    const { source, target } = await moved()
    const places = await placesOf(source, target)
    const before = await carriedOf(source)
    const after = new Map((await carriedOf(target)).map((item) => [nameOf(item, (cursor) => cursor), item]))
    expect(after.size).toBe(before.length)
    const gone: Carried[] = []
    for (const item of before) {
      const old = item.kind === "dead" ? item.letter : item.delivery
      const place = places.get(old.cursor)
      if (place === undefined) {
        gone.push(item)
        continue
      }
      const changed = { id: `${place}.${old.trigger}`, cursor: place }
      const expected =
        item.kind === "dead"
          ? { ...item, letter: { ...item.letter, ...changed } }
          : { ...item, delivery: { ...item.delivery, ...changed } }
      expect(after.get(nameOf(expected, (cursor) => cursor))).toEqual(expected)
    }
    // What retention has dropped the event of is still owed, and finds nothing.
    expect(gone.length).toBeGreaterThan(10)
    const marks: string[] = []
    for (const item of after.values()) {
      const { id, cursor } = item.kind === "dead" ? item.letter : item.delivery
      if (cursor !== target.log.oldest()) continue
      expect(await target.log.get(cursor)).toBeUndefined()
      marks.push(id)
    }
    const expected = gone.map((item) => {
      const { id, cursor, trigger } = item.kind === "dead" ? item.letter : item.delivery
      expect(id).toBe(`${cursor}.${trigger}`)
      return `${target.log.oldest()}.${trigger}.${cursor}`
    })
    expect(marks.sort()).toEqual(expected.sort())
  })

  test("goes on routing where it stopped: each trigger has before it what it had before it", async () => {
    const { source, target, house } = await moved()
    const places = await placesOf(source, target)
    for (const trigger of house.triggers) {
      const [before, after] = [await leftOf(source, trigger), await leftOf(target, trigger)]
      expect(after, trigger.id).toEqual(before.map((cursor) => places.get(cursor)))
    }
  })

  test("tells a moved engine from one that has been moved to in part", async () => {
    const source = await open()
    await furnish(source, "refused", 300)
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
    const { events } = await furnish(source, "written", 300)
    const [target, work] = [await open(), directory()]
    await expect(move(source, target, work, { stop: AbortSignal.abort() })).rejects.toThrow(MigrationStoppedError)
    await target.log.append({ tenant: "acme", topic: "orders" }, [events[0]!.event])
    await expect(move(source, target, work)).rejects.toThrow(MigrationRefusedError)
    await source.log.append({ tenant: "acme", topic: "orders" }, [events[0]!.event])
    await expect(move(source, target, work)).rejects.toThrow(/has been written to since/)
  })

  test("finds what differs", async () => {
    const source = await open()
    await furnish(source, "differs", 300)
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
    await furnish(source, "overloaded", 3_000)
    const target = await open()
    let calls = 0
    let refusedUntil = 0
    const append: EventLog["append"] = (address, events, options) => {
      if (++calls % 200 === 0) refusedUntil = performance.now() + 20
      if (performance.now() < refusedUntil) return Promise.reject(new OverloadError(30))
      return target.log.append(address, events, options)
    }
    expect((await move(source, appending(target, append), directory())).same).toBe(true)
    expect(calls).toBeGreaterThan(800)
  })

  test("refuses to go on where the target has lost something in between", async () => {
    const source = await open()
    await furnish(source, "between", 1_000)
    const target = await open()
    let calls = 0
    const append: EventLog["append"] = (address, events, options) =>
      ++calls === 100 ? Promise.reject(new OverloadError(1)) : target.log.append(address, events, options)
    await expect(move(source, appending(target, append), directory())).rejects.toThrow(/lost a part/)
  })
})

/** The engine, but for how it appends. */
function appending(engine: Engine, append: EventLog["append"]): Engine {
  const log = new Proxy(engine.log, {
    get(of, name) {
      const member: unknown = Reflect.get(of, name)
      if (name === "append") return append
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

function nameOf(item: Carried, place: (cursor: Cursor) => Cursor | undefined): string {
  const { id, cursor, trigger, tenant } = item.kind === "dead" ? item.letter : item.delivery
  return JSON.stringify([tenant, trigger, place(cursor), id])
}

async function read({ log }: Engine, where: { tenant: string; topic: string; key: string }) {
  const all: StoredEvent[] = []
  for await (const { events } of log.read({ where })) all.push(...events)
  return all
}

/** The trigger's events that are still to be routed, as the roster's state machine says. */
async function leftOf(engine: Engine, trigger: Trigger): Promise<readonly Cursor[]> {
  const { log, catalog, queue } = engine
  const path = pathOf(trigger)
  const now = (await catalog.get<Trigger>(triggerPrefix + path))!.value
  const record = (await catalog.get<RoutingRecord>(routingPrefix + path))?.value
  const [topic, key] = now.topic.split(":") as [string, string?]
  const partition = log.partitionOf({ tenant: now.tenant, topic })
  let frontier = now.from
  if (record?.of === incarnationOf(now)) {
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
