import { expect } from "vitest"
import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Engine } from "../../core/engine.ts"
import { ExpectedLastError, InvalidCursorError } from "../../core/errors.ts"
import type { Event } from "../../core/event.ts"
import type { EventLog } from "../../core/log.ts"
import { type Declare, type Exemptions, type Harness, suite } from "./harness.ts"
import { logAgain } from "./log-again.ts"
import { logCopies } from "./log-copies.ts"
import { logDropping } from "./log-dropping.ts"
import { all, append, event, events, key, orders, read, users } from "./log-fixture.ts"
import { logFollowing, logReading } from "./log-reading.ts"
import { logRetention } from "./log-retention.ts"

/** Every log passes all of it. */
export function logConformance(name: string, make: () => Promise<Harness<Engine>>, exempt: Exemptions = {}): void {
  suite(`${name}: log, appending`, make, exempt, appending)
  suite(`${name}: log, copies`, make, exempt, logCopies)
  suite(`${name}: log, duplicates`, make, exempt, duplicates)
  suite(`${name}: log, again`, make, exempt, logAgain)
  suite(`${name}: log, conditions`, make, exempt, conditions)
  suite(`${name}: log, reading`, make, exempt, logReading)
  suite(`${name}: log, following`, make, exempt, logFollowing)
  suite(`${name}: log, retention`, make, exempt, logRetention)
  suite(`${name}: log, dropping`, make, exempt, logDropping)
}

function appending(it: Declare<Engine>): void {
  it("reads back what was appended, in order, every byte and attribute as it was", async ({ log }) => {
    const attributes = {
      time: "2026-07-01T12:00:00.000000001Z",
      n: -2147483648,
      on: false,
      ext: 'é"\\ \u{1f600}\n',
      subject: "",
    }
    const given: [Event, Address][] = [
      [event("none", attributes), orders],
      [event("json", { datacontenttype: "application/json" }, Buffer.from(' {"a" : 1.0}\n'), "json"), key("7")],
      [event("text", { datacontenttype: "text/plain" }, Buffer.from("\u0000é"), "text"), users],
      [
        event(
          "binary",
          {},
          Uint8Array.from({ length: 256 }, (_, i) => i),
          "binary",
        ),
        key("a.B_~@=+/-9"),
      ],
      [event("empty", {}, new Uint8Array(), "binary"), { tenant: "globex", topic: "orders" }],
      [event("big", {}, Buffer.alloc(300_000, "xyz"), "text"), orders],
    ]
    for (const [one, address] of given) await log.append(address, [one])
    const stored = await all(log)
    for (const [i, [one, address]] of given.entries()) {
      const found = stored[i]!
      expect(found.address).toEqual(address)
      expect(found.event.attributes).toEqual(one.attributes)
      expect(found.event.dataKind).toBe(one.dataKind)
      expect(found.event.data && Buffer.from(found.event.data)).toEqual(one.data && Buffer.from(one.data))
      const got = await log.get(found.cursor)
      expect(got?.address).toEqual(address)
      expect(got?.event.attributes).toEqual(one.attributes)
      expect(got?.event.data && Buffer.from(got.event.data)).toEqual(one.data && Buffer.from(one.data))
    }
    expect(stored).toHaveLength(given.length)
  })

  it("stores a batch as one, in its order, each with its own cursor", async ({ log }) => {
    const appended = await log.append(orders, events(500))
    expect(await read(log)).toEqual(events(500).map((one) => one.id))
    for (let i = 1; i < appended.length; i++) {
      expect(log.compare(appended[i - 1]!.cursor, appended[i]!.cursor)).toBeLessThan(0)
    }
    expect((await all(log)).map((one) => one.cursor)).toEqual(appended.map((one) => one.cursor))
    expect(await log.append(orders, [])).toEqual([])
  })

  it("keeps the order of calls that overlap, and each call's events together", async ({ log }) => {
    const calls = Array.from({ length: 40 }, (_, i) => log.append(i % 2 ? orders : users, events(5, `c${i}-`)))
    const appended = await Promise.all(calls)
    const expected = appended.flatMap((_, i) => events(5, `c${i}-`).map((one) => one.id))
    expect(await read(log)).toEqual(expected)
    const cursors = appended.flat().map((one) => one.cursor)
    expect(cursors.toSorted((a, b) => log.compare(a, b))).toEqual(cursors)
  })

  it("says when each was stored; that never falls along the log, crashes included", async (engine, harness) => {
    await append(engine.log, orders, event("a"))
    await harness.elapse(1_000)
    await append(engine.log, users, event("b"))
    const { log } = await harness.crash(engine)
    await harness.elapse(1_000)
    await append(log, orders, event("c"))
    const at = (await all(log)).map((one) => one.storedAt)
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(1_000)
    expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(1_000)
    expect(at[2]! - at[0]!).toBeLessThan(10_000)
  })

  it("keeps what it acknowledged through a crash, and goes on after it", async (engine, harness) => {
    const first = await engine.log.append(orders, events(200))
    let { log } = await harness.crash(engine)
    expect(await read(log)).toEqual(events(200).map((one) => one.id))
    const next = await append(log, users, event("next"))
    expect(log.compare(first.at(-1)!.cursor, next)).toBeLessThan(0)
    log = (await harness.crash({ ...engine, log })).log
    expect((await read(log)).at(-1)).toBe("next")
    expect((await log.get(first[7]!.cursor))?.event.id).toBe("e7")
  })

  it("has a place for every time, also where nothing was stored yet", async ({ log }) => {
    for (let partition = 0; partition < log.partitions; partition++) {
      const places = [
        await log.at(0, partition),
        await log.at(Date.now() + 60_000, partition),
        await log.head(partition),
      ]
      for (const place of places) expect(log.compare(place, log.oldest(partition))).toBeGreaterThanOrEqual(0)
    }
  })

  it("compares cursors, and refuses a text that is none", async ({ log }) => {
    const [a, b] = [await append(log, orders, event("a")), await append(log, users, event("b"))]
    expect([log.compare(a, b), log.compare(a, a)]).toEqual([expect.any(Number), 0])
    expect(log.compare(a, b)).toBeLessThan(0)
    expect(log.compare(b, a)).toBeGreaterThan(0)
    for (const text of ["", "not a cursor", "💥", "-1"]) {
      const wrong = text as Cursor
      expect(() => log.compare(a, wrong)).toThrow(InvalidCursorError)
      expect(() => log.compare(wrong, a)).toThrow(InvalidCursorError)
      await expect(log.get(wrong)).rejects.toThrow(InvalidCursorError)
      await expect(all(log, { from: wrong })).rejects.toThrow(InvalidCursorError)
      await expect(all(log, { until: wrong })).rejects.toThrow(InvalidCursorError)
    }
  })
}

const dedupe = { dedupeWindowMs: 10_000 }

function duplicates(it: Declare<Engine>): void {
  it("stores an event once, and answers its first cursor", async ({ log }) => {
    const [first] = await log.append(orders, [event("a")], dedupe)
    expect(first!.duplicate).toBe(false)
    const again = await log.append(orders, [event("b"), event("a"), event("b")], dedupe)
    expect(again.map((one) => one.duplicate)).toEqual([false, true, true])
    expect(again[1]!.cursor).toBe(first!.cursor)
    expect(again[2]!.cursor).toBe(again[0]!.cursor)
    expect(await read(log)).toEqual(["a", "b"])
  })

  it("stores an event once that is appended several times at once", async ({ log }) => {
    const appended = await Promise.all(Array.from({ length: 20 }, () => log.append(orders, [event("a")], dedupe)))
    expect(appended.flat().filter((one) => !one.duplicate)).toHaveLength(1)
    expect(new Set(appended.flat().map((one) => one.cursor)).size).toBe(1)
    expect(await read(log)).toEqual(["a"])
  })

  it("tells tenants, topics, sources and ids apart, but not the keys of a topic", async ({ log }) => {
    const both = event("a", { source: "/shop" })
    const appends: [Address, Event][] = [
      [orders, both],
      [{ tenant: "globex", topic: "orders" }, both],
      [users, both],
      [orders, event("a", { source: "/sho" })],
      [orders, event("b", { source: "/shop" })],
      [orders, event("pa", { source: "/sho" })],
      [key("7"), event("c")],
    ]
    for (const [address, one] of appends) expect((await log.append(address, [one], dedupe))[0]!.duplicate).toBe(false)
    expect((await log.append(key("8"), [event("c")], dedupe))[0]!.duplicate).toBe(true)
    expect((await log.append(orders, [event("c")], dedupe))[0]!.duplicate).toBe(true)
    expect(await all(log)).toHaveLength(appends.length)
  })

  it("recognises one within the window, and not after it", async ({ log }, { elapse }) => {
    const first = await log.append(orders, [event("a")], dedupe)
    await elapse(9_000)
    expect(await log.append(orders, [event("a")], dedupe)).toEqual([{ cursor: first[0]!.cursor, duplicate: true }])
    await elapse(2_000)
    const later = await log.append(orders, [event("a")], dedupe)
    expect(later[0]!.duplicate).toBe(false)
    expect(await read(log)).toEqual(["a", "a"])
    expect((await log.find(orders, { source: "/shop", id: "a" }))?.cursor).toBe(later[0]!.cursor)
  })

  it("recognises none where the window is 0", async ({ log }) => {
    for (let i = 0; i < 2; i++) await log.append(orders, [event("a")], { dedupeWindowMs: 0 })
    expect(await read(log)).toEqual(["a", "a"])
  })

  it("recognises one from before a crash", async (engine, harness) => {
    const many = events(300)
    const first = await engine.log.append(orders, many, dedupe)
    const { log } = await harness.crash(engine)
    const again = await log.append(orders, [many[0]!, many[299]!, event("new")], dedupe)
    expect(again.map((one) => one.duplicate)).toEqual([true, true, false])
    expect([again[0]!.cursor, again[1]!.cursor]).toEqual([first[0]!.cursor, first[299]!.cursor])
    await harness.elapse(11_000)
    expect((await log.append(orders, [many[0]!], dedupe))[0]!.duplicate).toBe(false)
  })

  it("finds an event by its source and id", async (engine, harness) => {
    await engine.log.append(orders, events(50))
    await append(engine.log, key("7"), event("keyed"))
    const check = async (log: EventLog) => {
      expect((await log.find(orders, { source: "/shop", id: "e42" }))?.event.id).toBe("e42")
      expect((await log.find(orders, { source: "/shop", id: "keyed" }))?.address).toEqual(key("7"))
      expect(await log.find(orders, { source: "/other", id: "e42" })).toBeUndefined()
      expect(await log.find(users, { source: "/shop", id: "e42" })).toBeUndefined()
      expect(await log.find({ ...orders, tenant: "globex" }, { source: "/shop", id: "e42" })).toBeUndefined()
    }
    await check(engine.log)
    await check((await harness.crash(engine)).log)
  })
}

function conditions(it: Declare<Engine>): void {
  const last = (refused: Promise<unknown>) =>
    refused.then(
      () => "appended",
      (error: unknown) => {
        expect(error).toBeInstanceOf(ExpectedLastError)
        return (error as ExpectedLastError).last
      },
    )

  it("appends only after the address's last event, as it was told to", async ({ log }) => {
    const first = await append(log, key("7"), event("a"))
    await append(log, key("8"), event("b"))
    expect(await last(log.append(key("7"), events(2), { expectedLast: "none" }))).toBe(first)
    expect(await last(log.append(key("9"), events(2), { expectedLast: first }))).toBeUndefined()
    const [, second] = await log.append(key("7"), events(2), { expectedLast: first })
    expect(await last(log.append(key("7"), [event("c")], { expectedLast: first }))).toBe(second!.cursor)
    await log.append(key("9"), [event("d")], { expectedLast: "none" })
    expect(await read(log)).toEqual(["a", "b", "e0", "e1", "d"])
  })

  it("means all keys where the address has none", async ({ log }) => {
    const a = await append(log, orders, event("a"))
    const b = await append(log, key("7"), event("b"))
    expect(await last(log.append(orders, [event("c")], { expectedLast: a }))).toBe(b)
    await log.append(orders, [event("c")], { expectedLast: b })
    expect(await read(log)).toEqual(["a", "b", "c"])
  })

  it("lets one of several win who expect the same", async ({ log }) => {
    const first = await append(log, key("7"), event("a"))
    const results = await Promise.allSettled(
      ["x", "y", "z"].map((id) => log.append(key("7"), [event(id), event(`${id}2`)], { expectedLast: first })),
    )
    expect(results.map((result) => result.status).toSorted()).toEqual(["fulfilled", "rejected", "rejected"])
    expect(await read(log)).toHaveLength(3)
  })

  it("knows the last event of an address, through a crash", async (engine, harness) => {
    expect(await engine.log.last(orders)).toBeUndefined()
    const a = await append(engine.log, key("7"), event("a"))
    const b = await append(engine.log, key("8"), event("b"))
    await append(engine.log, users, event("c"))
    const check = async (log: EventLog) => {
      expect(await log.last(orders)).toBe(b)
      expect(await log.last(key("7"))).toBe(a)
      expect(await log.last(key("9"))).toBeUndefined()
      expect(await log.last({ tenant: "globex", topic: "orders" })).toBeUndefined()
    }
    await check(engine.log)
    const { log } = await harness.crash(engine)
    await check(log)
    expect(await last(log.append(key("7"), [event("d")], { expectedLast: b }))).toBe(a)
    await log.append(key("7"), [event("d")], { expectedLast: a })
  })

  it("knows the last event of each of many keys, old and new ones, through retention and a crash", async (engine, harness) => {
    const cursors: Cursor[] = []
    for (let i = 0; i < 60; i++) {
      const calls = Array.from({ length: 50 }, (_, j) => append(engine.log, key(`k${i * 50 + j}`), event(`e${i}.${j}`)))
      cursors.push(...(await Promise.all(calls)))
    }
    const check = async (log: EventLog) => {
      for (const i of [1_500, 2_047, 2_048, 2_999]) expect(await log.last(key(`k${i}`))).toBe(cursors[i])
      expect(await log.last(key("k3000"))).toBeUndefined()
      expect(await last(log.append(key("k1600"), [event("x")], { expectedLast: "none" }))).toBe(cursors[1_600])
    }
    await check(engine.log)
    await engine.log.trim(orders, { eventsMax: 1_500 })
    await check(engine.log)
    const { log } = await harness.crash(engine)
    await check(log)
    expect(await log.last(key("k1499"))).toBeUndefined()
    const again = await log.append(key("k1499"), [event("y")], { expectedLast: "none" })
    expect(await log.last(key("k1499"))).toBe(again[0]!.cursor)
  })
}
