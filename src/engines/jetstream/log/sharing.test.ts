import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { attemptsTopic } from "../../../core/address.ts"
import { ExpectedLastError, InvalidCursorError, OverloadError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { all, append, event, events, ids, key, orders, read, users } from "../../conformance/log-fixture.ts"
import { silentLog } from "../log.fixture.ts"
import { createNames } from "../names.ts"
import { type LogSettings, openLog } from "./log-harness.fixture.ts"
import { Trims } from "./trims.ts"

const dedupe = { dedupeWindowMs: 60_000 }

describe.skipIf(natsAvailable() === undefined)("logs of several processes on one server", () => {
  let nats: Nats
  let named = 0
  const closing: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    nats = await startNats()
  })
  afterAll(() => nats.stop())
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const open = async (settings: Partial<LogSettings> = {}) => {
    const opened = await openLog(nats, { prefix: `s${named}`, ...settings })
    closing.push(() => opened.close())
    return opened
  }
  const two = async (settings: Partial<LogSettings> = {}) => {
    named++
    return [(await open(settings)).log, (await open(settings)).log] as const
  }

  test("know each other's events again", async () => {
    const [a, b] = await two()
    const [first] = await a.append(orders, [event("x")], dedupe)
    expect(await b.append(orders, [event("x")], dedupe)).toEqual([{ cursor: first!.cursor, duplicate: true }])
    const both = await Promise.all([a, b].map((log) => log.append(orders, events(200), dedupe)))
    const stored = both.flat().filter(({ duplicate }) => !duplicate)
    expect(stored).toHaveLength(200)
    expect(await read(a)).toHaveLength(201)
  })

  test("let one win who expect the same last event, of a key and of a whole topic", async () => {
    const [a, b] = await two()
    for (const address of [key("7"), orders]) {
      let last = await append(a, address, event("first"))
      for (let round = 0; round < 10; round++) {
        const tries = await Promise.allSettled(
          [a, b].map((log, i) => log.append(address, events(3, `${round}-${i}-`), { expectedLast: last })),
        )
        const won = tries.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))
        const lost = tries.flatMap((one) => (one.status === "rejected" ? [one.reason] : []))
        expect(won).toHaveLength(1)
        last = won[0]!.at(-1)!.cursor
        expect(lost).toEqual([expect.any(ExpectedLastError)])
        expect((lost[0] as ExpectedLastError).last).toBe(last)
      }
      expect(await a.last(address)).toBe(last)
    }
  })

  test("hold to a topic's last event though much else is published on its partition", async () => {
    const [a] = await two()
    let stopped = false
    const busy = Promise.all(
      Array.from({ length: 8 }, async () => {
        while (!stopped) await a.append(users, events(5))
      }),
    )
    let last = await append(a, orders, event("first"))
    for (let i = 0; i < 20; i++) {
      const [appended] = await a.append(orders, [event(`e${i}`)], { expectedLast: last })
      last = appended!.cursor
    }
    stopped = true
    await busy
    expect(await read(a, { where: orders })).toHaveLength(21)
  })

  test("store whole, or not at all, what is appended on a condition, and know what of it is there", async () => {
    const [a] = await two()
    const [old] = await a.append(key("7"), [event("old")], dedupe)
    const options = { ...dedupe, expectedLast: old!.cursor }
    const first = await a.append(key("7"), [event("old"), event("new"), event("new"), event("more")], options)
    expect(first.map(({ duplicate }) => duplicate)).toEqual([true, false, true, false])
    expect(first[2]!.cursor).toBe(first[1]!.cursor)
    // All of it is there: what was expected does not matter any more.
    const again = await a.append(key("7"), [event("new"), event("more")], options)
    expect(again.map(({ cursor }) => cursor)).toEqual([first[1]!.cursor, first[3]!.cursor])
    expect(await a.append(key("7"), [event("new")], options)).toEqual([{ cursor: first[1]!.cursor, duplicate: true }])
    const many = await a.append(key("7"), events(1_500), { expectedLast: first[3]!.cursor })
    expect(await read(a)).toEqual(["old", "new", "more", ...events(1_500).map(({ id }) => id)])
    expect((await all(a)).slice(3).map(({ cursor }) => cursor)).toEqual(many.map(({ cursor }) => cursor))
  })

  test("see what another has dropped, in what topics hold as in what is read", async () => {
    const [a, b] = await two()
    const cursors = (await a.append(orders, events(10))).map(({ cursor }) => cursor)
    expect(await b.stats(orders)).toMatchObject({ events: 10 })
    expect(await a.trim(orders, { eventsMax: 4 })).toBe(6)
    await expect.poll(() => b.stats(orders)).toMatchObject({ events: 4 })
    expect(await b.trim(orders, { eventsMax: 4 })).toBe(0)
    expect(await b.find(orders, { source: "/shop", id: "e5" })).toBeUndefined()
    expect(await read(b, { from: cursors[1]! })).toEqual(["e6", "e7", "e8", "e9"])
    expect((await b.append(orders, [event("e0")], dedupe))[0]!.duplicate).toBe(false)
  })

  test("see what another has dropped between others, and both may drop at once", async () => {
    const [a, b] = await two()
    const cursors = (await a.append(orders, events(40))).map(({ cursor }) => cursor)
    expect(await b.stats(orders)).toMatchObject({ events: 40 })
    const [even, third] = [cursors.filter((_, i) => i % 2 === 0), cursors.filter((_, i) => i % 3 === 0)]
    const counts = await Promise.all([a.drop(orders, even), b.drop(orders, third)])
    expect(counts[0]! + counts[1]!).toBe(new Set([...even, ...third]).size)
    const left = cursors.flatMap((_, i) => (i % 2 === 0 || i % 3 === 0 ? [] : [`e${i}`]))
    for (const log of [a, b]) {
      await expect.poll(() => log.stats(orders)).toMatchObject({ events: left.length })
      expect(await read(log, { where: orders })).toEqual(left)
      expect(await log.find(orders, { source: "/shop", id: "e3" })).toBeUndefined()
      expect(await log.get(cursors[3]!, { of: orders })).toBeUndefined()
    }
    expect((await b.append(orders, [event("e0")], dedupe))[0]!.duplicate).toBe(false)
    // A process that begins with nothing learns of it too.
    const { log: fresh } = await open()
    expect(await fresh.stats(orders)).toMatchObject({ events: left.length + 1 })
    expect(await fresh.get(cursors[3]!, { of: orders })).toBeUndefined()
  })

  test("drop many single events at once, in both", async () => {
    const [a, b] = await two()
    const cursors = (await a.append(orders, events(80))).map(({ cursor }) => cursor)
    const going = cursors.slice(0, 60)
    const counts = await Promise.all(going.map((cursor, i) => (i % 2 === 0 ? a : b).drop(orders, [cursor])))
    expect(counts).toEqual(going.map(() => 1))
    const { log: fresh } = await open()
    for (const log of [a, b, fresh]) {
      await expect.poll(() => log.stats(orders)).toMatchObject({ events: 20 })
      for (const cursor of going) expect(await log.get(cursor, { of: orders })).toBeUndefined()
    }
  })

  test("end what another has begun to drop, and died", async () => {
    const [a] = await two()
    const cursors = (await a.append(orders, events(6))).map(({ cursor }) => cursor)
    const { nats: connection } = await open()
    const options = { nats: connection, names: createNames(`s${named}`), replicas: 1 }
    const trims = await Trims.open({ ...options, clock: systemClock, log: silentLog })
    closing.push(() => trims.close())
    const gone = { tenant: "acme", topic: "orders", version: 1, changed: [0], last: 3, events: 0, open: [2, 3] }
    await trims.putGone(0, gone, 0, new Map([[0, [2, 3]]]))
    await expect.poll(() => a.stats(orders)).toMatchObject({ events: 4 })
    expect(await read(a, { where: orders })).toHaveLength(6)
    expect(await a.drop(orders, [])).toBe(0)
    expect(await read(a, { where: orders })).toEqual(["e0", "e3", "e4", "e5"])
    expect(await a.get(cursors[1]!, { of: orders })).toBeUndefined()
    expect(trims.gone(0, "acme", "orders")).toMatchObject({ events: 2 })
  })

  test("take an event again that was dropped, or is older than the window", async () => {
    const [a, b] = await two()
    const [first] = await a.append(orders, [event("x")], dedupe)
    await a.trim(orders, { eventsMax: 0 })
    const [second] = await b.append(orders, [event("x")], dedupe)
    expect(second!.duplicate).toBe(false)
    expect(a.compare(first!.cursor, second!.cursor)).toBeLessThan(0)
    // Whoever looks comes to the same one.
    for (const log of [a, b]) {
      expect(await log.append(orders, [event("x")], dedupe)).toEqual([{ cursor: second!.cursor, duplicate: true }])
    }
  })

  test("keep the keys of the hub's own topics out of the subjects, and read by them all the same", async () => {
    const [a, b] = await two()
    const attempts = (cursor: string) => ({ tenant: "acme", topic: attemptsTopic, key: cursor })
    for (let i = 0; i < 30; i++) await a.append(attempts(`c${i % 3}`), [event(`a${i}`)])
    const seen = await all(b, { where: attempts("c1"), batchMax: 4 })
    expect(ids(seen)).toEqual(Array.from({ length: 10 }, (_, i) => `a${i * 3 + 1}`))
    expect(seen.every(({ address }) => address.key === "c1")).toBe(true)
    expect(await b.last(attempts("c1"))).toBe(seen.at(-1)!.cursor)
    expect(await b.last(attempts("none"))).toBeUndefined()
    expect(await read(b, { where: attempts("none") })).toEqual([])
    expect((await all(b, { where: { tenant: "acme", topic: attemptsTopic } })).at(2)?.address).toEqual(attempts("c2"))
  })

  test("divide topics among partitions, each with an order of its own", async () => {
    const [a, b] = await two({ partitions: 4 })
    const topics = Array.from({ length: 12 }, (_, i) => ({ tenant: "acme", topic: `t${i}` }))
    const cursors = await Promise.all(topics.map((topic) => append(a, topic, event(topic.topic))))
    expect(new Set(topics.map((topic) => a.partitionOf(topic))).size).toBeGreaterThan(1)
    for (const [i, topic] of topics.entries()) {
      expect(b.partitionOf(topic)).toBe(a.partitionOf(topic))
      expect(await read(b, { where: topic })).toEqual([topic.topic])
      expect((await b.get(cursors[i]!))?.event.id).toBe(topic.topic)
      expect(await b.stats(topic)).toMatchObject({ events: 1 })
    }
    const seen = await Promise.all([0, 1, 2, 3].map((partition) => read(b, { partition })))
    expect(seen.flat().toSorted()).toEqual(topics.map(({ topic }) => topic).toSorted())
    const other = topics.findIndex((topic) => a.partitionOf(topic) !== a.partitionOf(topics[0]!))
    expect(() => a.compare(cursors[0]!, cursors[other]!)).toThrow(InvalidCursorError)
    await expect(all(a, { where: topics[0]!, from: cursors[other]! })).rejects.toThrow(InvalidCursorError)
  })

  test("say how much there is", async () => {
    const [a] = await two({ partitions: 2 })
    await a.append(orders, events(10))
    await expect.poll(() => a.figures(), { timeout: 10_000, interval: 500 }).toMatchObject({ log_events: 10 })
    expect(a.figures().log_bytes).toBeGreaterThan(1_000)
    expect(a.health()).toEqual([])
  })

  test("refuse what does not fit into memory", async () => {
    named++
    const { log } = await open({ pendingBytesMax: 100_000 })
    const big = event("big", {}, Buffer.alloc(60_000))
    const results = await Promise.allSettled([log.append(orders, [big]), log.append(orders, [big])])
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"])
    expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(OverloadError)
    await log.append(orders, [big])
  })

  test("find their indexes again, and make them anew where the stream is another one", async () => {
    named++
    const directory = mkdtempSync(join(tmpdir(), "redcar-index-"))
    closing.push(async () => rmSync(directory, { recursive: true, force: true }))
    const first = await openLog(nats, { prefix: `s${named}`, directory })
    await first.log.append(orders, events(50))
    const before = await first.log.stats(orders)
    await first.close()
    const second = await openLog(nats, { prefix: `s${named}`, directory })
    expect(await second.log.stats(orders)).toEqual(before)
    await append(second.log, orders, event("one more"))
    expect(await second.log.stats(orders)).toMatchObject({ events: 51 })
    await second.nats.request(`$JS.API.STREAM.DELETE.S${named}_LOG_0`)
    await second.close()
    const third = await open({ directory })
    await append(third.log, orders, event("anew"))
    expect(await third.log.stats(orders)).toMatchObject({ events: 1 })
  })
})
