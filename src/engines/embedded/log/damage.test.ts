import { describe, expect, test } from "vitest"
import { Event } from "../../../core/event.ts"
import type { Appended, StoredEvent } from "../../../core/log.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createSimulatedDisk } from "../../../testing/disk.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import { cursorBefore, formatCursor, parseCursor } from "./cursor.ts"
import { SegmentLog } from "./log.ts"
import { encodeAddress, headerBytes, recordBytes, writeRecord } from "./record.ts"

const orders = { tenant: "acme", topic: "orders" }
const salt = 0x01020304
const event = (id: string, data = Buffer.from(`{"id":"${id}"}`)) =>
  Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created" }, data, "json")

/** A machine whose log knows a salt that the tests know too. */
function machine() {
  const clock = createSimulatedClock(1_000_000)
  const chance = createSimulatedChance("damage")
  const disk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => 0.1 })
  const store = createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 })
  const lines: string[] = []
  let power = createPower({ clock })
  const run = <T>(work: Promise<T>) => runUntil(clock, work)
  const host = {
    disk,
    store,
    lines,
    run,
    cut: () => power.cut(),
    async open(): Promise<SegmentLog> {
      power = createPower({ clock })
      return run(
        SegmentLog.open({
          disk: disk.mount(power),
          store: store.mount(power),
          clock: power.clock,
          segmentBytes: 64 << 10,
          pendingBytesMax: 1 << 20,
          reserveBytes: 0,
          random: () => Buffer.concat([Buffer.alloc(8, 1), Buffer.from(Uint32Array.of(salt).buffer)]),
          defer: queueMicrotask,
          onNotice: (line) => lines.push(line),
        }),
      )
    },
    async all(log: SegmentLog): Promise<StoredEvent[]> {
      const stored: StoredEvent[] = []
      const reading = (async () => {
        for await (const { events } of log.read({})) stored.push(...events)
      })()
      await run(reading)
      return stored
    },
    segments: () =>
      disk
        .files()
        .map(({ name }) => name)
        .filter((name) => name.endsWith(".segment"))
        .sort(),
    segment: () => host.segments()[0]!,
  }
  return host
}

const ids = (stored: readonly StoredEvent[]) => stored.map((s) => s.event.id)
const offsetOf = (cursor: string) => parseCursor(cursor) - 8

describe("a record", () => {
  test("is under its CRC with every bit: one that is flipped never passes for another event", async () => {
    const host = machine()
    const log = await host.open()
    const appended: Appended[] = []
    for (const id of ["a", "b", "c"]) appended.push(...(await host.run(log.append(orders, [event(id)]))))
    const whole = (await host.all(log)).map(({ event }) => [event.id, Buffer.from(event.data!).toString()])
    await host.run(log.close())
    const at = offsetOf(appended[1]!.cursor)
    const bytes = offsetOf(appended[2]!.cursor) - at
    const unpadded = headerBytes + "acmeorders".length + event("b").attributesJson.length + event("b").data!.length
    expect(bytes - unpadded).toBeLessThan(8)
    for (let byte = 0; byte < unpadded; byte++) {
      for (const bit of [0, 5]) {
        host.disk.flipBit(host.segment(), at + byte, bit)
        const damaged = await host.open()
        const read = (await host.all(damaged)).map(({ event }) => [event.id, Buffer.from(event.data!).toString()])
        expect(read, `byte ${byte}, bit ${bit}`).toEqual([whole[0], whole[2]])
        expect(damaged.health().join()).toContain(`(cursors ${appended[1]!.cursor} to ${appended[2]!.cursor})`)
        await host.run(damaged.close())
        host.disk.flipBit(host.segment(), at + byte, bit)
      }
    }
  })

  test("that somebody put into an event's data is no event, not even with the log's own salt", async () => {
    const host = machine()
    const log = await host.open()
    const [first] = await host.run(log.append(orders, [event("first")]))
    const [second] = await host.run(log.append(orders, [event("second")]))
    const start = parseCursor(second!.cursor) + parseCursor(second!.cursor) - parseCursor(first!.cursor)
    // Where the next event's data begins, as anybody can work out who knows how long his events are.
    const forged = { tenant: "acme", topic: "redcar.attempts" }
    for (const guessed of [0, salt]) {
      const [before] = await host.run(log.append(orders, [event("third", Buffer.alloc(400, 32))]))
      const dataAt = parseCursor(before!.cursor) + recordBytes(encodeAddress(orders).bytes.length, event("third"))
      const place = Math.ceil(dataAt / 8) * 8 + 512
      expect(place).toBeGreaterThan(start)
      const inner = event("forged")
      const data = Buffer.alloc(1_200, 32)
      const next =
        parseCursor(before!.cursor) +
        recordBytes(encodeAddress(orders).bytes.length, event("third", Buffer.alloc(400, 32)))
      const dataStart = next + headerBytes + "acmeorders".length + event("fourth").attributesJson.length
      const at = place + 512 - dataStart
      writeRecord(
        data,
        new DataView(data.buffer, data.byteOffset, data.length),
        at,
        {
          place: { position: place + 512, commitStart: place + 512, salt: guessed },
          address: encodeAddress(forged),
          storedAt: 1,
          hashLow: 1,
          hashHigh: 1,
        },
        inner,
      )
      await host.run(log.append(orders, [event("fourth", data)]))
      expect(await host.run(log.get(formatCursor(place + 512)))).toBeUndefined()
    }
    expect(ids(await host.all(log))).not.toContain("forged")
  })
})

describe("what was acknowledged", () => {
  test("stays named as damaged, though its segment was written anew without it", async () => {
    const host = machine()
    const users = { tenant: "acme", topic: "users" }
    let log = await host.open()
    const [lost] = await host.run(log.append(orders, [event("lost")]))
    await host.run(log.append(orders, [event("kept")]))
    for (let i = 0; i < 20; i++) await host.run(log.append(users, [event(`u${i}`, Buffer.alloc(5_000, 32))]))
    host.cut()
    host.disk.flipBit(host.segment(), offsetOf(lost!.cursor) + 60, 3)
    // The index is made anew, and does not know of it.
    host.store.lose()
    log = await host.open()
    const named = expect.stringContaining(`(cursors ${lost!.cursor} to `)
    expect(log.health()).toContainEqual(named)
    await host.run(log.trim(users, { eventsMax: 1 }))
    for (let start = 0; start < 3; start++) {
      host.cut()
      log = await host.open()
      expect(ids(await host.all(log))).toContain("kept")
      expect(log.health()).toContainEqual(named)
    }
  })

  test("stays, though a record of its commit is damaged", async () => {
    const host = machine()
    let log = await host.open()
    const batch = await host.run(
      log.append(
        orders,
        ["b0", "b1", "b2", "b3", "b4"].map((id) => event(id)),
      ),
    )
    for (let i = 0; i < 40; i++) await host.run(log.append(orders, [event(`s${i}`)]))
    host.cut()
    host.disk.flipBit(host.segment(), offsetOf(batch[1]!.cursor) + 60, 3)
    log = await host.open()
    const all = ["b0", "b2", "b3", "b4", ...Array.from({ length: 40 }, (_, i) => `s${i}`)]
    expect(ids(await host.all(log))).toEqual(all)
    expect(log.health()).toEqual([
      expect.stringMatching(new RegExp(`^damaged: .*\\(cursors ${batch[1]!.cursor} to ${batch[2]!.cursor}\\)`)),
    ])
    await host.run(log.append(orders, [event("after")]))
    expect(ids(await host.all(log))).toEqual([...all, "after"])
  })

  test("in the last commit stays too, but for the record that is damaged; a later start names it as well", async () => {
    const host = machine()
    let log = await host.open()
    const batch = await host.run(
      log.append(
        orders,
        ["b0", "b1", "b2"].map((id) => event(id)),
      ),
    )
    host.cut()
    host.disk.flipBit(host.segment(), offsetOf(batch[1]!.cursor) + 60, 3)
    for (let start = 0; start < 2; start++) {
      log = await host.open()
      expect(ids(await host.all(log))).toEqual(["b0", "b2"])
      expect(log.health()).toEqual([expect.stringContaining(`(cursors ${batch[1]!.cursor} to ${batch[2]!.cursor})`)])
      await host.run(log.close())
    }
  })

  test("at the log's end, where the state knows of it, is named, and its place is not given out again", async () => {
    const host = machine()
    let log = await host.open()
    await host.run(log.append(orders, [event("kept")]))
    const lost = await host.run(log.append(orders, [event("lost")]))
    await host.run(log.close())
    host.disk.flipBit(host.segment(), offsetOf(lost[0]!.cursor) + 60, 3)
    for (const more of ["x", "y"]) {
      log = await host.open()
      expect(log.health().join()).toContain(`(cursors ${lost[0]!.cursor} to `)
      const [added] = await host.run(log.append(orders, [event(more)]))
      expect(added!.cursor > lost[0]!.cursor).toBe(true)
      await host.run(log.close())
    }
    log = await host.open()
    expect(ids(await host.all(log))).toEqual(["kept", "x", "y"])
  })

  test("that a copy brings back is no longer named", async () => {
    const host = machine()
    let log = await host.open()
    const appended = await host.run(log.append(orders, [event("a"), event("b"), event("c")]))
    await host.run(log.close())
    const at = offsetOf(appended[1]!.cursor) + 60
    host.disk.flipBit(host.segment(), at, 3)
    log = await host.open()
    expect(ids(await host.all(log))).toEqual(["a", "c"])
    expect(log.health()).toHaveLength(1)
    await host.run(log.close())
    host.disk.flipBit(host.segment(), at, 3)
    log = await host.open()
    expect(ids(await host.all(log))).toEqual(["a", "b", "c"])
    expect(log.health()).toEqual([])
  })

  test("in the middle of the open segment is named by every later start, whoever reads there or does not", async () => {
    const host = machine()
    let log = await host.open()
    const appended: Appended[] = []
    for (let i = 0; i < 30; i++) appended.push(...(await host.run(log.append(orders, [event(`e${i}`)]))))
    host.cut()
    for (const at of [10, 20]) host.disk.flipBit(host.segment(), offsetOf(appended[at]!.cursor) + 60, 3)
    for (let start = 0; start < 3; start++) {
      log = await host.open()
      const health = log.health()
      expect(health, `start ${start}`).toHaveLength(2)
      for (const at of [10, 20]) expect(health.join()).toContain(`(cursors ${appended[at]!.cursor} to `)
      await host.run(log.close())
    }
  })
})

describe("what retention has given back", () => {
  test("hides nothing that is kept behind it from a reader that was in it", async () => {
    const host = machine()
    const users = { tenant: "acme", topic: "users" }
    let log = await host.open()
    let middle: Appended | undefined
    const big = (id: string) => event(id, Buffer.from(JSON.stringify({ id, text: "x".repeat(300) })))
    for (let i = 0; i < 400; i++) {
      const [added] = await host.run(log.append(orders, [big(`o${i}`)]))
      if (i === 20) middle = added
      if (i % 40 === 39) await host.run(log.append(users, [big(`u${i}`)]))
    }
    const from = cursorBefore(parseCursor(middle!.cursor))
    const kept = async () => {
      const found: StoredEvent[] = []
      const reading = async () => {
        for await (const { events } of log.read({ from })) found.push(...events)
      }
      await host.run(reading())
      return ids(found).filter((id) => id.startsWith("u"))
    }
    const before = await kept()
    await host.run(log.trim(orders, { eventsMax: 1 }))
    await host.run(log.close())
    log = await host.open()
    expect(await kept()).toEqual(before)
    expect(before).toHaveLength(10)
    expect(log.health()).toEqual([])
  })

  test("leaves a segment as it is that has damage, and names it still", async () => {
    const host = machine()
    let log = await host.open()
    const appended: Appended[] = []
    const big = (id: string) => event(id, Buffer.from(JSON.stringify({ id, text: "x".repeat(1_000) })))
    for (let i = 0; i < 100; i++) appended.push(...(await host.run(log.append(orders, [big(`o${i}`)]))))
    host.cut()
    host.disk.flipBit(host.segment(), offsetOf(appended[9]!.cursor) + 60, 3)
    log = await host.open()
    await host.all(log)
    await host.run(log.trim(orders, { eventsMax: 60 }))
    await host.run(log.close())
    log = await host.open()
    expect(log.health()).toEqual([expect.stringContaining(`(cursors ${appended[9]!.cursor} to `)])
  })

  test.each([
    ["lost with the state is named for ever, since nobody knows what was in it", true],
    ["lost alone is named until retention has given up what the state knows of it", false],
  ])("%s", async (_, isStateLost) => {
    const host = machine()
    let log = await host.open()
    const big = (id: string) => event(id, Buffer.from(JSON.stringify({ id, text: "x".repeat(1_000) })))
    for (let i = 0; i < 200; i++) await host.run(log.append(orders, [big(`o${i}`)]))
    await host.run(log.close())
    const [, second] = host.segments()
    host.disk.truncate(second!, 0)
    if (isStateLost) host.store.lose()
    const named = () => log.health().filter((line) => line.startsWith(`damaged: log/${second}`)).length
    log = await host.open()
    expect(named()).toBe(1)
    await host.run(log.trim(orders, { eventsMax: 5 }))
    await host.run(log.close())
    log = await host.open()
    expect(named()).toBe(isStateLost ? 1 : 0)
    expect(host.segments().includes(second!)).toBe(isStateLost)
  })
})
