import { expect } from "vitest"
import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Engine } from "../../core/engine.ts"
import type { EventLog, ReadOptions } from "../../core/log.ts"
import type { Declare } from "./harness.ts"
import { all, append, event, events, ids, key, orders, read, users } from "./log-fixture.ts"

/** What is there, from anywhere on. */
export function logReading(it: Declare<Engine>): void {
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
    expect(await read(log, { from: await log.head() })).toEqual([])
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
    expect(log.compare(next!, await log.head())).toBe(0)
    await append(log, orders, event("b"))
    expect(await read(log, { from: next! })).toEqual(["b"])
  })

  it("gets nothing where no event is", async ({ log }) => {
    const before = await log.head()
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

/** What is still to come. */
export function logFollowing(it: Declare<Engine>): void {
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
    const readers = [follow(log, { from: "newest" }), follow(log, { from: await log.head() })]
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
