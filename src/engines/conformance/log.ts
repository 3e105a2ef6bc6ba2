import { expect } from "vitest"
import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Engine, EventLog, ReadOptions, StoredEvent } from "../../core/engine.ts"
import { ExpectedLastError, InvalidCursorError } from "../../core/errors.ts"
import { type Attributes, type DataKind, Event } from "../../core/event.ts"
import { type Declare, type Exemptions, type Harness, suite } from "./harness.ts"
import { logRetention } from "./log-retention.ts"

/** Every log passes all of it. */
export function logConformance(name: string, make: () => Promise<Harness<Engine>>, exempt: Exemptions = {}): void {
  suite(`${name}: log, appending`, make, exempt, appending)
  suite(`${name}: log, duplicates`, make, exempt, duplicates)
  suite(`${name}: log, conditions`, make, exempt, conditions)
  suite(`${name}: log, reading`, make, exempt, reading)
  suite(`${name}: log, following`, make, exempt, following)
  suite(`${name}: log, retention`, make, exempt, logRetention)
}

export const orders: Address = { tenant: "acme", topic: "orders" }
export const users: Address = { tenant: "acme", topic: "users" }
const key = (key: string): Address => ({ ...orders, key })

export function event(id: string, attributes: Attributes = {}, data?: Uint8Array, kind?: DataKind): Event {
  return Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created", ...attributes }, data, kind)
}

export const events = (count: number, prefix = "e") => Array.from({ length: count }, (_, i) => event(`${prefix}${i}`))

export async function all(log: EventLog, options: ReadOptions = {}): Promise<readonly StoredEvent[]> {
  const stored: StoredEvent[] = []
  for await (const batch of log.read(options)) stored.push(...batch.events)
  return stored
}

export const ids = (stored: readonly StoredEvent[]) => stored.map((one) => one.event.id)

export const read = async (log: EventLog, options: ReadOptions = {}) => ids(await all(log, options))

/** Appends one; its cursor. */
export async function append(log: EventLog, address: Address, one: Event): Promise<Cursor> {
  const [appended] = await log.append(address, [one])
  return appended!.cursor
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
}

function reading(it: Declare<Engine>): void {
  it("reads a tenant, a topic or a key alone", async ({ log }) => {
    const addresses: Record<string, Address> = {
      plain: orders,
      seven: key("7"),
      eight: key("8"),
      users,
      globex: { tenant: "globex", topic: "orders", key: "7" },
    }
    for (const round of ["1", "2"]) {
      for (const [name, address] of Object.entries(addresses)) await append(log, address, event(name + round))
    }
    const twice = (...names: string[]) => ["1", "2"].flatMap((round) => names.map((name) => name + round))
    expect(await read(log)).toEqual(twice("plain", "seven", "eight", "users", "globex"))
    expect(await read(log, { where: { tenant: "acme" } })).toEqual(twice("plain", "seven", "eight", "users"))
    expect(await read(log, { where: orders })).toEqual(twice("plain", "seven", "eight"))
    expect(await read(log, { where: key("7") })).toEqual(twice("seven"))
    expect(await read(log, { where: key("9") })).toEqual([])
    expect(await read(log, { where: { tenant: "globex", topic: "users" } })).toEqual([])
  })

  it("begins after a cursor, at either end, and stops after a cursor", async ({ log }) => {
    const cursors = (await log.append(orders, events(6))).map((one) => one.cursor)
    await append(log, users, event("other"))
    expect(await read(log, { from: cursors[3]! })).toEqual(["e4", "e5", "other"])
    expect(await read(log, { from: "oldest", until: cursors[1]! })).toEqual(["e0", "e1"])
    expect(await read(log, { from: cursors[1]!, until: cursors[3]! })).toEqual(["e2", "e3"])
    expect(await read(log, { from: cursors[3]!, until: cursors[3]! })).toEqual([])
    expect(await read(log, { from: "newest" })).toEqual([])
    expect(await read(log, { from: log.head() })).toEqual([])
    expect(await read(log, { where: orders, from: cursors[4]! })).toEqual(["e5"])
  })

  it("begins at the first event stored at or after a time", async ({ log }, { elapse }) => {
    await log.append(orders, events(3, "a"))
    await elapse(5_000)
    await append(log, users, event("b"))
    await elapse(5_000)
    await append(log, orders, event("c"))
    const [first, , , b, c] = (await all(log)).map((one) => one.storedAt)
    expect(await read(log, { from: { time: b! } })).toEqual(["b", "c"])
    expect(await read(log, { from: { time: b! + 1 } })).toEqual(["c"])
    expect(await read(log, { from: { time: b! }, where: orders })).toEqual(["c"])
    expect(await read(log, { from: { time: first! - 60_000 } })).toEqual(["a0", "a1", "a2", "b", "c"])
    expect(await read(log, { from: { time: c! + 60_000 } })).toEqual([])
  })

  it("reads in batches no larger than asked, each saying where to go on", async ({ log }) => {
    for (let i = 0; i < 30; i++) await log.append(i % 3 === 0 ? orders : users, events(4, `${i}-`))
    const whole = await read(log, { where: orders })
    const seen: string[] = []
    for await (const batch of log.read({ where: orders, batchMax: 7 })) {
      expect(batch.events.length).toBeLessThanOrEqual(7)
      seen.push(...ids(batch.events))
      expect(await read(log, { where: orders, from: batch.next })).toEqual(whole.slice(seen.length))
      if (batch.events.length > 0) {
        expect(log.compare(batch.events.at(-1)!.cursor, batch.next)).toBeLessThanOrEqual(0)
      }
    }
    expect(seen).toEqual(whole)
  })

  it("says where to go on past what did not match, too", async ({ log }) => {
    await append(log, orders, event("a"))
    await log.append(users, events(50))
    let next: Cursor | undefined
    for await (const batch of log.read({ where: orders })) next = batch.next
    expect(log.compare(next!, log.head())).toBe(0)
    await append(log, orders, event("b"))
    expect(await read(log, { from: next! })).toEqual(["b"])
  })

  it("gets nothing where no event is", async ({ log }) => {
    const before = log.head()
    expect(await log.get(before)).toBeUndefined()
    const a = await append(log, orders, event("a"))
    expect(await log.get(before)).toBeUndefined()
    expect((await log.get(a))?.event.id).toBe("a")
  })
}

/** Reads on in the background; `seen` grows. */
function follow(log: EventLog, options: ReadOptions) {
  const stop = new AbortController()
  const seen: string[] = []
  let wake = () => {}
  const over = (async () => {
    for await (const batch of log.read({ ...options, follow: stop.signal })) {
      seen.push(...ids(batch.events))
      wake()
    }
  })()
  return {
    seen,
    /** Resolves when so many have been seen. */
    async until(count: number) {
      while (seen.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return seen
    },
    async stop() {
      stop.abort()
      await over
    },
  }
}

function following(it: Declare<Engine>): void {
  it("follows the head until told to stop", async ({ log }) => {
    await append(log, orders, event("a"))
    const reader = follow(log, {})
    expect(await reader.until(1)).toEqual(["a"])
    await append(log, orders, event("b"))
    expect(await reader.until(2)).toEqual(["a", "b"])
    await log.append(users, events(3))
    expect(await reader.until(5)).toEqual(["a", "b", "e0", "e1", "e2"])
    await reader.stop()
  })

  it("follows from the newest, and from the head, only what comes from now on", async ({ log }) => {
    await append(log, orders, event("a"))
    const readers = [follow(log, { from: "newest" }), follow(log, { from: log.head() })]
    await append(log, orders, event("b"))
    for (const reader of readers) expect(await reader.until(1)).toEqual(["b"])
    for (const reader of readers) await reader.stop()
  })

  it("follows one key past everything else", async ({ log }) => {
    const reader = follow(log, { where: key("7") })
    await log.append(users, events(200))
    await append(log, key("8"), event("no"))
    await append(log, key("7"), event("yes"))
    expect(await reader.until(1)).toEqual(["yes"])
    await reader.stop()
  })

  it("sees every event once, in order, that is appended while it reads", async ({ log }) => {
    const readers = Array.from({ length: 3 }, () => follow(log, { batchMax: 10 }))
    for (let i = 0; i < 20; i++) {
      await Promise.all([log.append(orders, events(7, `${i}a`)), log.append(users, events(7, `${i}b`))])
    }
    for (const reader of readers) {
      await reader.until(280)
      await reader.stop()
      expect(reader.seen).toEqual(await read(log))
    }
  })

  it("ends where it is told to before it begins, and at `until` though it follows", async ({ log }) => {
    const cursor = await append(log, orders, event("a"))
    await append(log, orders, event("b"))
    expect(await read(log, { follow: AbortSignal.abort() }).then((seen) => seen.length)).toBeLessThanOrEqual(2)
    expect(await read(log, { until: cursor, follow: new AbortController().signal })).toEqual(["a"])
  })
}
