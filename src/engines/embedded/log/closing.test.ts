import { describe, expect, test } from "vitest"
import type { Disk } from "../disk.ts"
import { event, fill, idsOf, machine, orders } from "./machine.fixture.ts"

const segmentBytes = 16 << 10
const row = (key: string, bytes = 10) => ({ table: "deliveries", key, value: Buffer.alloc(bytes, key) }) as const

describe("a log closes", () => {
  test.each([
    ["for long", 5_500],
    ["since now", 0],
  ])("while its store has no room %s, and what was written is there after the next start", async (_, ms) => {
    const host = machine({ segmentBytes })
    let log = await host.open()
    const ids = await fill(host, log, 5)
    host.store.full = true
    const written = log.tables.write([row("a")]).then(
      () => "taken",
      () => "refused",
    )
    await host.clock.advance(ms)
    if (ms > 0) expect(log.health()).toContain("the state cannot be written: the disk may be full")
    const closing = host.clock.now()
    await host.run(log.close())
    expect(host.clock.now() - closing).toBeLessThan(100)
    expect(await written).toBe("refused")
    host.store.full = false
    log = await host.open()
    expect(log.tables.get("deliveries", "a")).toBeDefined()
    expect(idsOf(await host.read(log))).toEqual(ids)
  })

  test("while its disk has no room, and what was acknowledged is there after the next start", async () => {
    const host = machine({ segmentBytes })
    let log = await host.open()
    const ids = await fill(host, log, 5)
    host.disk.bytesMax = host.disk.bytesUsed
    const rest = Array.from({ length: 60 }, (_, i) => `r${i}`)
    const appended = rest.map((id) => log.append(orders, [event(id, 1_000)]))
    const rows = Array.from({ length: 40 }, (_, i) => log.tables.write([row(`a${i}`, 2_000)]))
    const closing = log.close()
    const outcomes = await host.run(Promise.allSettled([...appended, ...rows, closing]))
    expect(outcomes.at(-1)).toMatchObject({ status: "fulfilled" })
    const kept = rest.filter((_, i) => outcomes[i]!.status === "fulfilled")
    expect(kept.length).toBeLessThan(rest.length)
    host.disk.bytesMax = Number.MAX_SAFE_INTEGER
    log = await host.open()
    expect(idsOf(await host.read(log))).toEqual(expect.arrayContaining([...ids, ...kept]))
  })

  test("when what retention gives back is given back, and touches no file afterwards", async () => {
    const operations: string[] = []
    let onFirst: (() => void) | undefined
    const throughDisk = (disk: Disk): Disk => ({
      list: () => disk.list(),
      create: (name, bytes) => told(`create ${name}`, disk.create(name, bytes)),
      createSparse: (name, bytes, parts) => told(`thin ${name}`, disk.createSparse(name, bytes, parts)),
      open: (name) => told(`open ${name}`, disk.open(name)),
      rename: (from, to) => told(`rename ${to}`, disk.rename(from, to)),
      remove: (name) => told(`remove ${name}`, disk.remove(name)),
      freeBytes: () => disk.freeBytes(),
    })
    const told = <T>(what: string, work: Promise<T>) => {
      operations.push(what)
      if (/^(thin|remove)/.test(what)) onFirst?.()
      return work
    }
    const host = machine({ segmentBytes, compactBytesMin: 40_000, throughDisk })
    const log = await host.open()
    for (let i = 0; i < 40; i++) await host.run(log.tables.write([row(`a${i % 4}`, 2_000)]))
    await fill(host, log, 60)
    const begun = new Promise<void>((resolve) => {
      onFirst = resolve
    })
    const trimmed = log.trim(orders, { eventsMax: 1 }).catch(() => {})
    await host.run(begun)
    await host.run(log.close())
    const atClose = operations.length
    await host.run(trimmed)
    await host.clock.advance(60_000)
    expect(operations.slice(atClose)).toEqual([])
  })
})
