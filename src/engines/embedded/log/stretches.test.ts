import { describe, expect, test } from "vitest"
import { formatCursor, parseCursor } from "./cursor.ts"
import { hostileData, hostileEvent } from "./hostile.fixture.ts"
import { event, fill, idsOf, machine, orders, throughFiles } from "./machine.fixture.ts"
import { gapKind, recordBytesMax } from "./record.ts"

const events = 500

/** How many bytes of its disk a log asks for that opens and is read, with so many damaged stretches. */
async function bytesRead(stretches: number, { commit, isLost }: { commit: number; isLost: boolean }) {
  let bytes = 0
  const throughDisk = throughFiles((file) => ({
    ...file,
    read(into, at) {
      bytes += into.length
      return file.read(into, at)
    },
  }))
  const host = machine({ segmentBytes: 1 << 20, throughDisk })
  let log = await host.open()
  const positions: number[] = []
  for (let i = 0; i < events; i += commit) {
    const all = Array.from({ length: commit }, (_, j) => event(`e${i + j}`, 700))
    for (const { cursor } of await host.run(log.append(orders, all))) positions.push(parseCursor(cursor))
  }
  host.cut()
  if (isLost) host.store.lose()
  const [name] = host.segments()
  const every = Math.floor(events / stretches)
  for (let i = 0; i < stretches; i++) host.disk.flipBit(name!, positions[i * every + 1]! - 8 + 60, 1)
  bytes = 0
  log = await host.open()
  expect(await host.read(log)).toHaveLength(events - stretches)
  if (isLost) {
    // What lies in the last commit may never have been acknowledged.
    const unfinished = log.health().filter((line) => line.includes("never finished"))
    expect(unfinished).toHaveLength(commit === 1 ? 0 : stretches * (commit / events))
  }
  return bytes
}

test.each([
  ["that the state knows of", { commit: 250, isLost: false }],
  ["of commits of one event each", { commit: 1, isLost: true }],
  ["of commits of many events", { commit: 250, isLost: true }],
])("each damaged stretch costs as much to pass over, however many there are: %s", async (_, kind) => {
  const few = await bytesRead(20, kind)
  const many = await bytesRead(100, kind)
  expect(many).toBeLessThan(6 * few)
  expect(many).toBeLessThan(100 * (4 << 20))
})

describe("an event whose data looks like records' beginnings everywhere", () => {
  const claims = () => 1 << 20
  async function counted(segmentBytes: number) {
    const read = { bytes: 0 }
    const throughDisk = throughFiles((file) => ({
      ...file,
      read(into, at) {
        read.bytes += into.length
        return file.read(into, at)
      },
    }))
    const host = machine({ segmentBytes, throughDisk })
    return { host, read, log: await host.open() }
  }

  test.each([8, 32, 128])("is passed over where it is damaged at once: %d KiB", async (kib) => {
    const { host, read, log } = await counted(4 << 20)
    const all: number[] = []
    for (let i = 0; i < 8; i++) {
      const hostile = hostileEvent(`h${i}`, hostileData(kib << 10, claims))
      const [added] = await host.run(log.append(orders, [hostile.event]))
      all.push(parseCursor(added!.cursor))
      await fill(host, log, 1, 100, `n${i}-`)
    }
    const ids = await fill(host, log, 200)
    host.cut()
    host.store.lose()
    for (const position of all) host.disk.flipBit(host.segments()[0]!, position - 8 + 60, 1)
    read.bytes = 0
    const again = await host.open()
    expect(idsOf(await host.read(again))).toEqual([...all.map((_, i) => `n${i}-0`), ...ids])
    expect(read.bytes).toBeLessThan(8 * 3 * (4 << 20))
  })

  test("is cut off where it is the last one and was not written whole", async () => {
    const { host, read, log } = await counted(8 << 20)
    const ids = await fill(host, log, 5)
    const hostile = hostileEvent("torn", hostileData((1 << 20) - 1_000, claims))
    const [torn] = await host.run(log.append(orders, [hostile.event]))
    host.cut()
    host.store.lose()
    const file = await host.run(host.hand().open(host.segments()[0]!))
    const at = parseCursor(torn!.cursor) - 8 + (1 << 19)
    await host.run(file.write(Buffer.alloc(1 << 19), at))
    read.bytes = 0
    let again = await host.open()
    expect(read.bytes).toBeLessThan(5 * (8 << 20))
    expect(host.lines.join()).toContain("never finished writing")
    const more = await fill(host, again, 5, 100, "more")
    host.cut()
    again = await host.open()
    expect(idsOf(await host.read(again))).toEqual([...ids, ...more])
  })

  test.each([
    ["records", hostileData(1_024, () => 3 << 20)],
    ["gaps", hostileData(1_024, () => 3 << 20, gapKind)],
  ])("costs next to nothing where somebody asks for a place in it: %s", async (_, data) => {
    const { host, read, log } = await counted(8 << 20)
    const hostile = hostileEvent("h", data)
    const [added] = await host.run(log.append(orders, [hostile.event]))
    await fill(host, log, 4, 1_000_000)
    await host.run(log.close())
    const again = await host.open()
    read.bytes = 0
    const inside = formatCursor(parseCursor(added!.cursor) + hostile.dataAt + 8)
    expect(await host.run(again.get(inside))).toBeUndefined()
    expect(read.bytes).toBeLessThan(256 << 10)
  })
})

test("an event that is larger than a record can be is refused, for nobody could read it again", async () => {
  const host = machine({ segmentBytes: 8 << 20 })
  const log = await host.open()
  await expect(host.run(log.append(orders, [event("large", recordBytesMax)]))).rejects.toThrow(
    /a record has 2097152 at most/,
  )
})
