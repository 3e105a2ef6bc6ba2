import { describe, expect, test } from "vitest"
import { StorageError } from "../../../core/errors.ts"
import { Event } from "../../../core/event.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createSimulatedDisk } from "../../../testing/disk.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import type { Store } from "../../parts/store.ts"
import { SegmentLog } from "./log.ts"
import { event, fill, machine, orders, throughFiles } from "./machine.fixture.ts"

/** A log of so many topics, their events in turn, and how many rows were read from its store. */
async function filled(topics: number, events: number) {
  const clock = createSimulatedClock(1_000_000)
  const chance = createSimulatedChance("reclaim")
  const power = createPower({ clock })
  const disk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => 0.1 })
  const inner = createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 }).mount(power)
  let rows = 0
  const store: Store = {
    get(table, key) {
      rows++
      return inner.get(table, key)
    },
    *range(table, range) {
      rows++
      for (const entry of inner.range(table, range)) {
        rows++
        yield entry
      }
    },
    write: (writes) => inner.write(writes),
    flushed: () => inner.flushed(),
    close: () => inner.close(),
  }
  const run = <T>(work: Promise<T>) => runUntil(clock, work)
  const log = await run(
    SegmentLog.open({
      disk: disk.mount(power),
      store,
      clock: power.clock,
      segmentBytes: 64 << 10,
      pendingBytesMax: 4 << 20,
      reserveBytes: 0,
      defer: queueMicrotask,
    }),
  )
  const addresses = Array.from({ length: topics }, (_, i) => ({ tenant: "acme", topic: `t${i}` }))
  const data = Buffer.alloc(500)
  for (let i = 0; i < events; i++) {
    const all = addresses.map((address) => {
      const event = Event.of({ specversion: "1.0", id: `e${i}`, source: "/s", type: "t" }, data, "binary")
      return log.append(address, [event])
    })
    await run(Promise.all(all))
  }
  await clock.advance(2_000)
  const round = async (eventsMax: number) => {
    const before = rows
    for (const address of addresses) await run(log.trim(address, { eventsMax }))
    return rows - before
  }
  return { disk, run, log, addresses, round }
}

test("a round of retention over twice the topics reads twice as much, not four times", async () => {
  const cost = async (topics: number) => {
    const { round } = await filled(topics, 6_400 / topics)
    return round((6_400 / topics) * 0.75)
  }
  const few = await cost(100)
  expect(await cost(200)).toBeLessThan(3 * few)
})

test("a round of retention over twice the events reads at most twice as much", async () => {
  const cost = async (events: number) => (await filled(20, events)).round(events / 2)
  const few = await cost(150)
  expect(await cost(300)).toBeLessThan(3 * few)
})

test("round by round all room is given back, whoever was the last to hold it", async () => {
  const { disk, run, log, addresses, round } = await filled(60, 60)
  const full = disk.bytesUsed
  for (const left of [50, 40, 30, 20, 10]) {
    await round(left)
    expect(disk.bytesUsed).toBeLessThan((left / 60) * full * 1.5 + 4 * (64 << 10))
    for (const address of addresses) expect((await run(log.stats(address))).events).toBe(left)
  }
  await round(0)
  expect(disk.bytesUsed).toBeLessThan(5 * (64 << 10))
})

const users = { tenant: "acme", topic: "users" }

test("a segment that was written anew as a sparse file is not used again for what comes, also after a start", async () => {
  const host = machine({ segmentBytes: 64 << 10 })
  let log = await host.open()
  for (let i = 0; i < 6; i++) {
    await host.run(log.append(users, [event(`u${i}`)]))
    await fill(host, log, 40, 1_000, `o${i}.`)
  }
  await host.run(log.trim(orders, { eventsMax: 1 }))
  const isSparse = ({ bytes, bytesTaken }: { bytes: number; bytesTaken: number }) => bytesTaken < bytes
  expect(host.disk.files().some(isSparse)).toBe(true)
  await host.run(log.close())
  const spare = host.disk.files().find(({ name }) => name === "spare")
  if (spare !== undefined) await host.rename("spare", "taken-away")
  log = await host.open()
  await host.run(log.trim(users, { eventsMax: 0 }))
  expect(host.disk.files().filter(({ name }) => name.endsWith(".segment"))).toHaveLength(1)
  expect(
    host.disk
      .files()
      .filter(isSparse)
      .map(({ name }) => name),
  ).not.toContain("spare")
})

test("what could not be given back is given back a little later, without anybody's asking for it", async () => {
  const host = machine({ segmentBytes: 64 << 10 })
  const log = await host.open()
  await fill(host, log, 300)
  const before = host.segments().length
  await host.clock.advance(2_000)
  host.failing = true
  await expect(host.run(log.trim(orders, { eventsMax: 1 }))).rejects.toThrow("no more today")
  await host.clock.advance(5_000)
  expect(host.segments()).toHaveLength(before)
  host.failing = false
  await host.clock.advance(10_000)
  expect(host.segments().length).toBeLessThan(3)
})

test("what can never be given back is not tried for ever", async () => {
  const host = machine({ segmentBytes: 64 << 10 })
  const log = await host.open()
  await fill(host, log, 300)
  host.failing = true
  await expect(host.run(log.trim(orders, { eventsMax: 1 }))).rejects.toThrow("no more today")
  await host.clock.advance(3_600_000)
  const refused = host.refused
  expect(refused).toBeGreaterThan(5)
  await host.clock.advance(36_000_000)
  expect(host.refused).toBe(refused)
})

/** A log of which retention dropped all but one event, and whose process died when the first segment was to be given back. */
async function killed() {
  const refused = { name: undefined as string | undefined }
  let die: (() => void) | undefined
  const refusing = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    if (die !== undefined && name.endsWith(".segment")) {
      die()
      return new Promise(() => {})
    }
    return name === refused.name ? Promise.reject(new StorageError("not this one")) : work()
  }
  const host = machine({
    segmentBytes: 64 << 10,
    throughDisk: (disk) => ({
      ...throughFiles((file) => file)(disk),
      rename: (from, to) => refusing(from, () => disk.rename(from, to)),
      remove: (name) => refusing(name, () => disk.remove(name)),
    }),
  })
  const log = await host.open()
  await fill(host, log, 300)
  await host.clock.advance(2_000)
  const dead = new Promise<void>((resolve) => {
    die = resolve
  })
  void log.trim(orders, { eventsMax: 1 })
  await host.run(dead)
  die = undefined
  host.cut()
  expect(host.segments()).toHaveLength(6)
  return { host, refused }
}

describe("what a process that died had not given back is given back after the next start", () => {
  test.each([
    ["drops more", 20],
    ["finds nothing to drop", 0],
  ])("once retention %s", async (_, events) => {
    const { host } = await killed()
    const log = await host.open()
    await fill(host, log, events, 1_000, "more")
    await host.clock.advance(2_000)
    expect(await host.run(log.trim(orders, { eventsMax: 1 }))).toBe(events)
    await host.clock.advance(2_000)
    expect(host.segments().length).toBeLessThan(3)
  })

  test("but for what cannot be removed, which keeps nothing else", async () => {
    const { host, refused } = await killed()
    const kept = host.segments()[2]!
    refused.name = kept
    const log = await host.open()
    await host.run(log.trim(orders, { eventsMax: 1 }))
    await host.clock.advance(3_600_000)
    expect(host.segments()).toContain(kept)
    expect(host.segments().length).toBeLessThan(4)
  })

  test("and what is as it was is not written anew, nor what is damaged thrown away", async () => {
    let thinned = 0
    const host = machine({
      segmentBytes: 64 << 10,
      throughDisk: (disk) => ({
        ...throughFiles((file) => file)(disk),
        createSparse(name, bytes, parts) {
          if (name.includes(".segment")) thinned++
          return disk.createSparse(name, bytes, parts)
        },
      }),
    })
    let log = await host.open()
    for (let i = 0; i < 40; i++)
      await host.run(log.tables.write([{ table: "meta", key: `a${i}`, value: Buffer.alloc(4_000) }]))
    const journal = host.segments()[1]!
    await host.run(log.append(users, [event("u")]))
    await fill(host, log, 300)
    await host.clock.advance(2_000)
    await host.run(log.trim(orders, { eventsMax: 1 }))
    expect(thinned).toBeGreaterThan(0)
    await host.run(log.close())
    const file = await host.run(host.hand().open(journal))
    await host.run(file.write(Buffer.alloc(60 << 10), 4 << 10))
    const before = host.segments()
    thinned = 0
    log = await host.open()
    await host.run(log.trim(orders, { eventsMax: 1 }))
    await host.clock.advance(3_600_000)
    expect(thinned).toBe(0)
    expect(host.segments()).toEqual(before)
  })
})

test("what was tried in vain so often that it was given up is tried again once something else succeeds", async () => {
  const host = machine({ segmentBytes: 64 << 10 })
  const log = await host.open()
  await fill(host, log, 300)
  await host.clock.advance(2_000)
  host.failing = true
  await expect(host.run(log.trim(orders, { eventsMax: 1 }))).rejects.toThrow("no more today")
  await host.clock.advance(3_600_000)
  host.failing = false
  await host.clock.advance(3_600_000)
  expect(host.segments().length).toBeGreaterThan(3)
  await fill(host, log, 1, 1_000, "more")
  await host.run(log.trim(orders, { eventsMax: 1 }))
  await host.clock.advance(2_000)
  expect(host.segments().length).toBeLessThan(3)
})
