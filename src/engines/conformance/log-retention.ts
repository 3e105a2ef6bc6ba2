import { expect } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import type { Engine } from "../../core/engine.ts"
import { DamagedError } from "../../core/errors.ts"
import type { EventLog } from "../../core/log.ts"
import type { Declare } from "./harness.ts"
import { all, append, event, events, orders, read, users } from "./log-fixture.ts"

/** What a topic holds, and how it is made to hold less. */
export function logRetention(it: Declare<Engine>): void {
  it("says what a topic holds", async (engine, harness) => {
    const { log } = engine
    expect(await log.stats(orders)).toEqual({ events: 0, bytes: 0 })
    await append(log, orders, event("a", {}, Buffer.alloc(1_000)))
    const one = await log.stats(orders)
    expect(one.bytes).toBeGreaterThan(1_000)
    await harness.elapse(1_000)
    await append(log, { ...orders, key: "7" }, event("b"))
    await append(log, users, event("c"))
    const stored = await all(log, { where: orders })
    const both = { events: 2, oldestAt: stored[0]!.storedAt, newestAt: stored[1]!.storedAt }
    expect(await log.stats(orders)).toMatchObject(both)
    expect((await log.stats(orders)).bytes).toBeGreaterThan(one.bytes)
    const crashed = await harness.crash(engine)
    expect(await crashed.log.stats(orders)).toMatchObject(both)
    expect(await crashed.log.stats({ ...users, tenant: "globex" })).toEqual({ events: 0, bytes: 0 })
  })

  it("keeps everything where nothing is to be dropped", async ({ log }) => {
    await log.append(orders, events(5))
    expect(await log.trim(orders, {})).toBe(0)
    expect(await log.trim(orders, { eventsMax: 5, ageMaxMs: 60_000, bytesMax: 1_000_000 })).toBe(0)
    expect(await log.trim(users, { eventsMax: 0 })).toBe(0)
    expect(await read(log)).toHaveLength(5)
  })

  it("drops the oldest of a topic by count, of all its keys and of no other topic", async ({ log }) => {
    const other = await append(log, users, event("other"))
    const cursors = []
    for (let i = 0; i < 6; i++) cursors.push(await append(log, { ...orders, key: String(i % 2) }, event(`e${i}`)))
    expect(await log.trim(orders, { eventsMax: 2 })).toBe(4)
    expect(await log.trim(orders, { eventsMax: 2 })).toBe(0)
    expect(await read(log)).toEqual(["other", "e4", "e5"])
    expect(await read(log, { where: orders, from: cursors[1]! })).toEqual(["e4", "e5"])
    expect(await log.stats(orders)).toMatchObject({ events: 2 })
    expect(await log.get(cursors[3]!)).toBeUndefined()
    expect((await log.get(cursors[4]!))?.event.id).toBe("e4")
    expect((await log.get(other))?.event.id).toBe("other")
    expect(await log.find(orders, { source: "/shop", id: "e0" })).toBeUndefined()
    expect((await log.find(orders, { source: "/shop", id: "e5" }))?.cursor).toBe(cursors[5])
    expect(await log.last(orders)).toBe(cursors[5])
  })

  it("counts what is behind a cursor, and says what was dropped last", async (engine, harness) => {
    const { log } = engine
    expect(await log.dropped(orders)).toBeUndefined()
    const cursors = []
    for (let i = 0; i < 5; i++) {
      cursors.push(await append(log, orders, event(`e${i}`)))
      await append(log, users, event(`u${i}`))
      await harness.elapse(1_000)
    }
    const stored = await all(log, { where: orders })
    const behind = async (of: EventLog, after: Cursor) => {
      const { events, oldestAt } = await of.stats(orders, after)
      return [events, oldestAt]
    }
    expect(await behind(log, log.oldest(log.partitionOf(orders)))).toEqual([5, stored[0]!.storedAt])
    expect(await behind(log, cursors[1]!)).toEqual([3, stored[2]!.storedAt])
    expect(await behind(log, cursors[4]!)).toEqual([0, undefined])
    expect(await log.trim(orders, { eventsMax: 2 })).toBe(3)
    expect(await behind(log, cursors[1]!)).toEqual([2, stored[3]!.storedAt])
    const { log: again } = await harness.crash(engine)
    expect(await again.dropped(orders)).toBe(cursors[2])
    expect(await again.dropped(users)).toBeUndefined()
    expect(await again.trim(orders, { eventsMax: 0 })).toBe(2)
    expect(await again.dropped(orders)).toBe(cursors[4])
    expect(await behind(again, cursors[1]!)).toEqual([0, undefined])
  })

  it("drops what is too old", async ({ log }, { elapse }) => {
    await log.append(orders, events(3, "old"))
    await elapse(10_000)
    await log.append(orders, events(2, "new"))
    await elapse(10_000)
    expect(await log.trim(orders, { ageMaxMs: 15_000 })).toBe(3)
    expect(await read(log)).toEqual(["new0", "new1"])
    await elapse(10_000)
    expect(await log.trim(orders, { ageMaxMs: 15_000 })).toBe(2)
    expect(await read(log)).toEqual([])
    expect(await log.stats(orders)).toMatchObject({ events: 0 })
    await append(log, orders, event("next"))
    expect(await read(log)).toEqual(["next"])
  })

  it("drops the oldest until the topic is small enough", async ({ log }) => {
    for (let i = 0; i < 10; i++) await append(log, orders, event(`e${i}`, {}, Buffer.alloc(10_000)))
    const { bytes } = await log.stats(orders)
    expect(await log.trim(orders, { bytesMax: bytes / 2 })).toBe(5)
    expect(await read(log)).toEqual(["e5", "e6", "e7", "e8", "e9"])
    expect((await log.stats(orders)).bytes).toBeLessThanOrEqual(bytes / 2)
    expect(await log.trim(orders, { bytesMax: 0 })).toBe(5)
    expect(await read(log)).toEqual([])
  })

  it("keeps what is needed still, and says beforehand what goes", async (engine, harness) => {
    const { log } = engine
    const cursors = []
    for (let i = 0; i < 6; i++) {
      cursors.push(await append(log, orders, event(`e${i}`, {}, Buffer.alloc(100))))
      await append(log, users, event(`u${i}`))
      await harness.elapse(1_000)
    }
    const stored = await all(log, { where: orders })
    const { bytes } = await log.stats(orders)
    const goes = { events: 4, oldestAt: stored[0]!.storedAt, newestAt: stored[3]!.storedAt, last: cursors[3] }
    const four = await log.trimmable(orders, { eventsMax: 2 })
    expect(four).toEqual({ ...goes, bytes: expect.any(Number) })
    expect([four.bytes < bytes, four.bytes > 400]).toEqual([true, true])
    const left = async (keep: object, needed: object) => (await log.trimmable(orders, keep, needed)).events
    expect(await left({ eventsMax: 2 }, { from: cursors[2] })).toBe(2)
    expect(await left({ eventsMax: 2 }, { after: cursors[2] })).toBe(3)
    expect(await left({ eventsMax: 2 }, { from: cursors[5], after: cursors[0] })).toBe(1)
    expect(await left({ eventsMax: 2 }, { from: cursors[4] })).toBe(4)
    expect(await left({ bytesMax: 0 }, { after: log.oldest(log.partitionOf(orders)) })).toBe(0)
    expect(await left({ ageMaxMs: 1 }, { after: await log.head(log.partitionOf(orders)) })).toBe(6)
    expect(await log.trimmable(orders, {})).toEqual({ events: 0, bytes: 0 })
    expect(await log.trimmable({ ...orders, topic: "never" }, { eventsMax: 1 })).toEqual({ events: 0, bytes: 0 })
    expect(await log.trim(orders, { eventsMax: 0 }, { from: cursors[1]! })).toBe(1)
    expect(await log.trim(orders, { eventsMax: 0 }, { from: cursors[1]! })).toBe(0)
    const { log: again } = await harness.crash(engine)
    expect(await read(again, { where: orders })).toEqual(["e1", "e2", "e3", "e4", "e5"])
    expect(await again.trim(orders, { eventsMax: 0 }, { after: cursors[4]! })).toBe(4)
    expect(await read(again, { where: orders })).toEqual(["e5"])
    expect(await again.stats(users)).toMatchObject({ events: 6 })
  })

  it("keeps dropped what it dropped, through a crash", async (engine, harness) => {
    await engine.log.append(users, events(3, "u"))
    const cursors = (await engine.log.append(orders, events(50))).map((one) => one.cursor)
    expect(await engine.log.trim(orders, { eventsMax: 10 })).toBe(40)
    const { log } = await harness.crash(engine)
    expect(await read(log)).toEqual([...events(3, "u"), ...events(50).slice(40)].map((one) => one.id))
    expect(await log.get(cursors[0]!)).toBeUndefined()
    expect(await log.stats(orders)).toMatchObject({ events: 10 })
    expect(await log.stats(users)).toMatchObject({ events: 3 })
    expect(log.compare(cursors[49]!, await append(log, orders, event("next")))).toBeLessThan(0)
  })

  it("tells what it dropped of a topic from what should be there", async (engine, harness) => {
    const { log } = engine
    const cursors = (await log.append(orders, events(4))).map((one) => one.cursor)
    const other = await append(log, users, event("other"))
    await log.trim(orders, { eventsMax: 2 })
    const check = async (log: EventLog) => {
      expect(await log.get(cursors[1]!, { of: orders })).toBeUndefined()
      expect((await log.get(cursors[2]!, { of: orders }))?.event.id).toBe("e2")
      expect((await log.get(other, { of: users }))?.event.id).toBe("other")
      expect(await log.get(log.oldest(log.partitionOf(orders)), { of: orders })).toBeUndefined()
      // Of that topic nothing was dropped.
      await expect(log.get(cursors[1]!, { of: { tenant: "acme", topic: "never" } })).rejects.toThrow(DamagedError)
    }
    await check(log)
    await check((await harness.crash(engine)).log)
  })

  it("lets a reader go on whose place has been dropped", async ({ log }) => {
    const cursors = (await log.append(orders, events(20))).map((one) => one.cursor)
    await log.trim(orders, { eventsMax: 3 })
    expect(await read(log, { from: cursors[5]! })).toEqual(["e17", "e18", "e19"])
    expect(await read(log, { from: cursors[5]!, until: cursors[17]! })).toEqual(["e17"])
  })
}
