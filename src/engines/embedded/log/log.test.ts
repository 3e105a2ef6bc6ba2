import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Address } from "../../../core/address.ts"
import { DamagedError, StorageError, StorageFullError } from "../../../core/errors.ts"
import { Event } from "../../../core/event.ts"
import type { Appended, StoredEvent } from "../../../core/log.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, quiesce, runUntil } from "../../../testing/clock.ts"
import { createSimulatedDisk } from "../../../testing/disk.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import { auditLog } from "../audit.ts"
import type { Disk, DiskFile } from "../disk.ts"
import { SegmentLog } from "./log.ts"

const orders = { tenant: "acme", topic: "orders" }
const users = { tenant: "acme", topic: "users" }
const event = (id: string, bytes = 20) =>
  Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created" }, Buffer.alloc(bytes, id), "text")

/** A machine whose power can be cut; each `open` is a new process on it. */
function machine(seed: string, segmentBytes = 16 * 1024) {
  const clock = createSimulatedClock(1_000_000)
  const chance = createSimulatedChance(seed)
  const disk = createSimulatedDisk({ chance: chance.fork("disk") })
  let asked = 0
  const meter = { ask: () => void asked++, step() {} }
  const store = createSimulatedStore({ chance: chance.fork("store"), meter })
  const lines: string[] = []
  let power = createPower({ clock })
  const run = <T>(work: Promise<T>) => runUntil(clock, work)
  return {
    clock,
    disk,
    store,
    lines,
    run,
    /** How often something was asked of the store. */
    asked: () => asked,
    cut: () => power.cut(),
    async open(reserveBytes = 0, through = (disk: Disk) => disk): Promise<SegmentLog> {
      power = createPower({ clock })
      return run(
        SegmentLog.open({
          disk: through(disk.mount(power)),
          store: store.mount(power),
          clock: power.clock,
          segmentBytes,
          pendingBytesMax: 1 << 20,
          reserveBytes,
          defer: queueMicrotask,
          onNotice: (line) => {
            if (!line.includes("never finished")) lines.push(line)
          },
        }),
      )
    },
    async all(log: SegmentLog, where = {}): Promise<StoredEvent[]> {
      const stored: StoredEvent[] = []
      const reading = (async () => {
        for await (const { events } of log.read({ where })) stored.push(...events)
      })()
      await run(reading)
      return stored
    },
  }
}

const ids = (stored: readonly StoredEvent[]) => stored.map((s) => s.event.id)

describe("a power cut", () => {
  test("keeps every acknowledged event once and in order, and makes up none", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string(),
        fc.array(
          fc.record({
            events: fc.integer({ min: 1, max: 6 }),
            bytes: fc.integer({ min: 0, max: 3000 }),
            steps: fc.nat(30),
          }),
          {
            minLength: 3,
            maxLength: 12,
          },
        ),
        async (seed, bursts) => {
          const host = machine(seed)
          const acknowledged: string[] = []
          const sent = new Set<string>()
          let n = 0
          for (const { events, bytes, steps } of bursts) {
            const log = await host.open()
            expect(ids(await host.all(log)).filter((id) => acknowledged.includes(id))).toEqual(acknowledged)
            for (let burst = 0; burst < 4; burst++) {
              const batch = Array.from({ length: events }, () => event(`e${n++}`, bytes))
              for (const { id } of batch) sent.add(id)
              log
                .append(orders, batch, { dedupeWindowMs: 60_000 })
                .then(() => acknowledged.push(...batch.map(({ id }) => id)))
            }
            for (let step = 0; step < steps; step++) {
              await quiesce()
              host.clock.step()
            }
            await quiesce()
            host.cut()
          }
          const log = await host.open()
          const kept = ids(await host.all(log))
          expect(new Set(kept).size).toBe(kept.length)
          expect(kept.filter((id) => acknowledged.includes(id))).toEqual(acknowledged)
          expect(kept.every((id) => sent.has(id))).toBe(true)
          expect(host.lines).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })

  test("does not bring back what a torn write left, once other events took its place", async () => {
    for (let seed = 0; seed < 40; seed++) {
      const host = machine(`torn ${seed}`)
      let log = await host.open()
      for (let round = 0; round < 6; round++) {
        const wave = Array.from({ length: 8 }, (_, i) => event(`r${round}.${i}`, 400))
        void log.append(orders, wave, { dedupeWindowMs: 60_000 })
        await quiesce()
        host.clock.step()
        host.cut()
        log = await host.open()
        const before = ids(await host.all(log))
        await host.run(log.append(orders, [event(`mark${round}`, 10)], { dedupeWindowMs: 60_000 }))
        expect(ids(await host.all(log))).toEqual([...before, `mark${round}`])
      }
      expect(host.lines).toEqual([])
    }
  })
})

describe("damage", () => {
  async function filled() {
    const host = machine("damage")
    const log = await host.open()
    const appended: Appended[] = []
    for (let i = 0; i < 60; i++) appended.push(...(await host.run(log.append(orders, [event(`e${i}`, 500)]))))
    return { host, log, appended }
  }

  test("a flipped bit is named, and its event is never passed on; the others are", async () => {
    const { host, log, appended } = await filled()
    await host.run(log.close())
    const name = host.disk
      .files()
      .map((file) => file.name)
      .filter((name) => name.endsWith(".segment"))
      .sort()[0]!
    const at = Number.parseInt(appended[1]!.cursor, 36) - Number.parseInt(name, 36)
    host.disk.flipBit(name, at + 200, 3)
    const again = await host.open()
    const kept = ids(await host.all(again))
    expect(kept).toEqual(Array.from({ length: 60 }, (_, i) => `e${i}`).filter((id) => id !== "e1"))
    expect(host.lines).toHaveLength(1)
    expect(host.lines[0]).toMatch(
      new RegExp(
        `^damaged: log/${name}, bytes ${at} to \\d+ \\(cursors ${appended[1]!.cursor} to ${appended[2]!.cursor}\\)`,
      ),
    )
    expect(again.health()[0]).toContain(name)
    await expect(host.run(again.get(appended[1]!.cursor))).rejects.toBeInstanceOf(DamagedError)
    expect((await host.run(again.get(appended[2]!.cursor)))?.event.id).toBe("e2")
  })

  test("a segment that was cut short is named; new events get places of their own", async () => {
    const { host, log, appended } = await filled()
    await host.run(log.close())
    const segments = host.disk
      .files()
      .map((file) => file.name)
      .filter((name) => name.endsWith(".segment"))
      .sort()
    host.disk.truncate(segments.at(-1)!, 100)
    const again = await host.open()
    expect(host.lines.length).toBeGreaterThan(0)
    expect(host.lines.every((line) => /^(damaged|missing): log/.test(line) && line.includes(segments.at(-1)!))).toBe(
      true,
    )
    const [added] = await host.run(again.append(orders, [event("after")]))
    expect(appended.every(({ cursor }) => cursor < added!.cursor)).toBe(true)
    const kept = ids(await host.all(again))
    expect(kept.at(-1)).toBe("after")
    expect(kept.slice(0, -1)).toEqual(Array.from({ length: kept.length - 1 }, (_, i) => `e${i}`))
  })

  test("a failed write refuses what waited behind it, and leaves nothing of it", async () => {
    const host = machine("failing")
    const log = await host.open()
    await host.run(log.append(orders, [event("a")]))
    host.disk.failWrites(1)
    const lost = Promise.allSettled([
      log.append(orders, [event("b", 3000)], { dedupeWindowMs: 60_000 }),
      log.append(users, [event("c")], { dedupeWindowMs: 60_000 }),
    ])
    expect((await host.run(lost)).map(({ status }) => status)).toEqual(["rejected", "rejected"])
    const [again] = await host.run(log.append(orders, [event("b")], { dedupeWindowMs: 60_000 }))
    expect(again!.duplicate).toBe(false)
    expect(ids(await host.all(log))).toEqual(["a", "b"])
  })
})

test("a condition that a failed write decides is looked at again, and what it took back is not the last", async () => {
  const host = machine("conditional")
  const log = await host.open()
  host.disk.failWrites(1)
  const calls = Promise.allSettled([
    log.append(orders, [event("lost")]),
    log.append(orders, [event("kept")], { expectedLast: "none", dedupeWindowMs: 60_000 }),
  ])
  expect((await host.run(calls)).map(({ status }) => status)).toEqual(["rejected", "fulfilled"])
  expect(ids(await host.all(log))).toEqual(["kept"])
})

test("a condition ends with a refusal while every write fails and others go on trying", async () => {
  const host = machine("failing for good")
  const log = await host.open()
  host.disk.failWrites(1_000)
  const noise = Array.from({ length: 50 }, () => log.append(orders, [event("noise")]).catch(() => {}))
  await expect(host.run(log.append(orders, [event("a")], { expectedLast: "none" }))).rejects.toThrow(StorageError)
  await host.run(Promise.all(noise))
})

test("a full disk refuses events, and takes them again when there is room", async () => {
  const host = machine("full")
  host.disk.bytesMax = 40 * 1024
  const log = await host.open()
  const kept: string[] = []
  for (let i = 0; i < 100; i++) {
    const outcome = await host.run(
      log.append(orders, [event(`e${i}`, 1000)], { dedupeWindowMs: 60_000 }).catch((error) => error),
    )
    if (outcome instanceof StorageFullError) break
    kept.push(`e${i}`)
  }
  expect(kept.length).toBeLessThan(60)
  expect(log.outage()).toBe("the disk is nearly full: publishing is refused")
  expect(ids(await host.all(log))).toEqual(kept)
  host.disk.bytesMax = 400 * 1024
  await host.clock.advance(5_000)
  expect(log.outage()).toBeUndefined()
  await host.run(log.append(orders, [event("later", 1000)], { dedupeWindowMs: 60_000 }))
  expect(ids(await host.all(log))).toEqual([...kept, "later"])
})

describe("a disk whose room cannot be told at first", () => {
  async function blinded(name: string) {
    const host = machine(name)
    const log = await host.open(64 * 1024)
    const publish = (id: string) =>
      host.run(
        log.append(orders, [event(id)]).then(
          () => "stored",
          (error: Error) => error.name,
        ),
      )
    return { host, log, publish }
  }

  test("takes events again once there is room", async () => {
    const { host, log, publish } = await blinded("room again")
    host.disk.bytesMax = 60 * 1024
    await host.clock.advance(5_000)
    expect(await publish("a")).toBe("StorageFullError")
    host.disk.failFree(2)
    await host.clock.advance(2_500)
    expect(log.health().join()).toContain("how much room the disk has cannot be told")
    host.disk.bytesMax = 4 << 20
    await host.clock.advance(10_000)
    expect(await publish("b")).toBe("stored")
    expect(log.health()).toEqual([])
  })

  test("refuses events once there is none", async () => {
    const { host, log, publish } = await blinded("no room")
    expect(await publish("a")).toBe("stored")
    host.disk.failFree(2)
    await host.clock.advance(2_500)
    host.disk.bytesMax = 40 * 1024
    await host.clock.advance(10_000)
    expect(await publish("b")).toBe("StorageFullError")
    expect(log.outage()).toContain("nearly full")
  })
})

test("a write that finds no room is the last one that is tried until there is some", async () => {
  const host = machine("no room")
  host.disk.bytesMax = 20 * 1024
  const log = await host.open()
  const refusals: string[] = []
  for (let i = 0; refusals.length < 1 && i < 100; i++) {
    await host.run(log.append(orders, [event(`e${i}`, 1000)]).catch(({ name }: Error) => refusals.push(name)))
  }
  expect(refusals).toEqual(["StorageFullError"])
  expect([log.outage(), log.health()]).toEqual(["the disk is nearly full: publishing is refused", []])
  const audit = auditLog(log, { progress: () => {}, stop: new AbortController().signal })
  expect((await host.run(audit)).findings, "and that is no damage").toEqual([])
})

/** The disk whose `nth` operation (from 0) fails, and the files of it that are open. */
function failing(disk: Disk, nth: number, open: Set<DiskFile>): Disk {
  let operations = 0
  const perform = <T>(work: () => Promise<T>): Promise<T> =>
    operations++ === nth ? Promise.reject(new StorageError("this one fails")) : work()
  const track = (file: DiskFile): DiskFile => {
    const tracked: DiskFile = {
      ...file,
      read: (into, at) => perform(() => file.read(into, at)),
      write: (data, at) => perform(() => file.write(data, at)),
      isGone: () => file.isGone(),
      close() {
        open.delete(tracked)
        return file.close()
      },
    }
    open.add(tracked)
    return tracked
  }
  return {
    list: () => perform(() => disk.list()),
    create: (name, bytes) => perform(() => disk.create(name, bytes).then(track)),
    createSparse: (name, bytes, parts) => perform(() => disk.createSparse(name, bytes, parts)),
    open: (name) => perform(() => disk.open(name).then(track)),
    rename: (from, to) => perform(() => disk.rename(from, to)),
    remove: (name) => perform(() => disk.remove(name)),
    freeBytes: () => disk.freeBytes(),
  }
}

test("an open that fails leaves no file open, and nothing that goes on", async () => {
  const host = machine("failing to open")
  const log = await host.open()
  for (let i = 0; i < 60; i++) await host.run(log.append(orders, [event(`e${i}`, 500)]))
  let failed = 0
  for (let nth = 0; nth < 60; nth++) {
    host.cut()
    const open = new Set<DiskFile>()
    const outcome = await host.open(0, (disk) => failing(disk, nth, open)).catch((error: unknown) => error)
    if (outcome instanceof SegmentLog) continue
    failed++
    expect(outcome).toBeInstanceOf(Error)
    expect([nth, open.size, host.clock.waiting]).toEqual([nth, 0, 0])
  }
  expect(failed).toBeGreaterThan(10)
})

test("a start reads every byte of the log a few times at most, damaged or whole, however long the log is", async () => {
  const cost = async (events: number, flips: number) => {
    const host = machine("reading")
    const log = await host.open()
    await host.run(Promise.all(Array.from({ length: events }, (_, i) => log.append(orders, [event(`e${i}`, 500)]))))
    host.cut()
    const files = host.disk.files().filter(({ name }) => name.endsWith(".segment"))
    for (let i = 0; i < flips; i++) host.disk.flipBit(files[i % (files.length - 1)]!.name, 300 + 700 * (i >> 2), 1)
    let bytes = 0
    const through = (disk: Disk): Disk => ({
      ...failing(disk, -1, new Set()),
      async open(name) {
        const file = await disk.open(name)
        const read = async (into: Uint8Array, at: number) => {
          const got = await file.read(into, at)
          bytes += got
          return got
        }
        const { isGone, write, close } = file
        return { name, bytes: file.bytes, read, write, isGone, close }
      },
    })
    const again = await host.open(0, through)
    expect((await host.all(again)).length).toBeGreaterThanOrEqual(events - 3 * flips)
    return bytes / (files.length * 16 * 1024)
  }
  expect(await cost(400, 0)).toBeLessThan(4)
  expect(await cost(800, 0)).toBeLessThan(4)
  const [few, many] = [await cost(400, 20), await cost(800, 40)]
  expect(many).toBeLessThan(1.5 * few)
})

describe("retention", () => {
  test("gives back the room of dropped events, and every kept event keeps its cursor", async () => {
    const host = machine("retention")
    let log = await host.open()
    const rare: Appended[] = []
    for (let i = 0; i < 200; i++) {
      if (i % 40 === 0) rare.push(...(await host.run(log.append(users, [event(`u${i}`)]))))
      await host.run(log.append(orders, [event(`o${i}`, 500)]))
    }
    const before = host.disk.bytesUsed
    expect(await host.run(log.trim(orders, { eventsMax: 10 }))).toBe(190)
    expect(host.disk.bytesUsed).toBeLessThan(before / 3)
    const check = async () => {
      expect(ids(await host.all(log, users))).toEqual(["u0", "u40", "u80", "u120", "u160"])
      expect(ids(await host.all(log, orders))).toEqual(Array.from({ length: 10 }, (_, i) => `o${190 + i}`))
      for (const { cursor } of rare) expect((await host.run(log.get(cursor)))?.cursor).toBe(cursor)
      expect((await host.run(log.stats(orders))).events).toBe(10)
      expect(ids(await host.all(log))).toHaveLength(15)
    }
    await check()
    host.cut()
    log = await host.open()
    await check()
    expect(host.lines).toEqual([])
  })

  test("drops by age, by count and by bytes, and nothing without a limit", async () => {
    const host = machine("limits")
    const log = await host.open()
    for (let i = 0; i < 10; i++) {
      await host.run(log.append(orders, [event(`e${i}`, 1000)]))
      await host.clock.advance(1_000)
    }
    expect(await host.run(log.trim(orders, {}))).toBe(0)
    expect(await host.run(log.trim(orders, { ageMaxMs: 8_500 }))).toBe(2)
    expect(await host.run(log.trim(orders, { eventsMax: 5 }))).toBe(3)
    const { bytes } = await host.run(log.stats(orders))
    expect(await host.run(log.trim(orders, { bytesMax: bytes / 2 }))).toBe(3)
    expect(ids(await host.all(log, orders))).toEqual(["e8", "e9"])
  })
})

test("an event counts as many bytes after a start as before, also where the rest of its segment is empty", async () => {
  const host = machine("sizes")
  const log = await host.open()
  for (let i = 0; i < 12; i++) await host.run(log.append(orders, [event(`e${i}`, 5_000)]))
  const before = await host.run(log.stats(orders))
  host.cut()
  expect(await host.run((await host.open()).stats(orders))).toEqual(before)
})

test("a batch of large events is small, whoever reads them", async () => {
  const host = machine("large", 8 << 20)
  const log = await host.open()
  const bytes = 200_000
  for (let i = 0; i < 30; i++) await host.run(log.append(orders, [event(`e${i}`, bytes)]))
  const batches: number[] = []
  const reading = (async () => {
    for await (const { events } of log.read({ where: orders })) batches.push(events.length)
  })()
  await host.run(reading)
  expect(batches.reduce((sum, events) => sum + events, 0)).toBe(30)
  expect(Math.max(...batches) * bytes).toBeLessThan(500_000)
})

test("of two trims at once the one that reaches further holds, after a start too", async () => {
  const host = machine("trims")
  const log = await host.open()
  await host.run(
    log.append(
      orders,
      ["a", "b", "c", "d"].map((id) => event(id)),
    ),
  )
  await host.run(Promise.all([log.trim(orders, { eventsMax: 0 }), log.trim(orders, { eventsMax: 3 })]))
  expect(await host.all(log, orders)).toEqual([])
  host.cut()
  expect(await host.all(await host.open(), orders)).toEqual([])
})

test("a start after the state was lost asks no more, however many places were left out", async () => {
  const host = machine("left out")
  const log = await host.open()
  for (const id of ["a", "b", "c"]) await host.run(log.append(orders, [event(id)], { dedupeWindowMs: 1_000_000 }))
  host.cut()
  host.store.lose()
  const again = await host.open()
  const [found] = await host.run(again.append(users, [event("d")], { dedupeWindowMs: 1_000_000 }))
  expect(Number.parseInt(found!.cursor, 36)).toBeGreaterThan(2 ** 40)
  host.cut()
  const before = host.asked()
  const third = await host.open()
  expect(host.asked() - before).toBeLessThan(1_000)
  const repeat = async (address: Address, id: string) => {
    const [appended] = await host.run(third.append(address, [event(id)], { dedupeWindowMs: 1_000_000 }))
    return appended!.duplicate
  }
  expect([await repeat(orders, "b"), await repeat(users, "d")]).toEqual([true, true])
})

test("what was stored event by event is read together", async () => {
  const { open, run } = machine("together")
  const log = await open()
  for (let i = 0; i < 50; i++) await run(log.append(orders, [event(`${i}`)]))
  const counts: number[] = []
  const reading = (async () => {
    for await (const { events } of log.read({})) counts.push(events.length)
  })()
  await run(reading)
  expect(counts).toEqual([50])
  await run(log.close())
})
