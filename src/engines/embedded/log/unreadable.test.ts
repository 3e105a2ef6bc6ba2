import { describe, expect, test } from "vitest"
import { DamagedError } from "../../../core/errors.ts"
import type { Appended } from "../../../core/log.ts"
import type { Disk, DiskFile } from "../disk.ts"
import { type ReadSome, readAround } from "../disk-node.ts"
import { parseCursor } from "./cursor.ts"
import { event, machine, orders } from "./machine.fixture.ts"

const sectorBytes = 4_096

/** Of the file with this name the sector at `from` is not given back. */
function withBadSector(disk: Disk, bad: { name?: string | undefined; from: number }): Disk {
  const through = (file: DiskFile): DiskFile => ({
    name: file.name,
    bytes: file.bytes,
    read(into, at) {
      const read: ReadSome = (offset, bytes) => {
        const isBad = file.name === bad.name && at + offset < bad.from + sectorBytes && at + offset + bytes > bad.from
        if (isBad) return Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" }))
        return file.read(into.subarray(offset, offset + bytes), at + offset)
      }
      return readAround(into, at, read)
    },
    write: (data, at) => file.write(data, at),
    isGone: () => file.isGone(),
    close: () => file.close(),
  })
  return Object.assign(Object.create(disk) as Disk, {
    list: () => disk.list(),
    open: async (name: string) => through(await disk.open(name)),
    create: async (name: string, bytes: number) => through(await disk.create(name, bytes)),
    createSparse: disk.createSparse.bind(disk),
    rename: (from: string, to: string) => disk.rename(from, to),
    remove: (name: string) => disk.remove(name),
    freeBytes: () => disk.freeBytes(),
  })
}

describe("a sector that the disk does not give back", () => {
  test.each(["kept", "lost"])("costs what is in it, which is named; the state %s", async (state) => {
    const bad: { name?: string; from: number } = { from: 5 * sectorBytes }
    const host = machine({ segmentBytes: 64 << 10, throughDisk: (disk) => withBadSector(disk, bad) })
    let log = await host.open()
    const appended: Appended[] = []
    for (let i = 0; i < 200; i++) appended.push(...(await host.run(log.append(orders, [event(`e${i}`, 600)]))))
    await host.run(log.close())
    bad.name = host.segments()[0]!
    if (state === "lost") host.store.lose()
    log = await host.open()
    const there = (await host.read(log)).map(({ event }) => event.id)
    const gone = appended.flatMap(({ cursor }, i) => (there.includes(`e${i}`) ? [] : [parseCursor(cursor) - 8]))
    expect(gone.length).toBeGreaterThan(3)
    const recordBytesMax = 1_000
    for (const at of gone) {
      expect(at).toBeGreaterThan(bad.from - recordBytesMax)
      expect(at).toBeLessThan(bad.from + sectorBytes)
    }
    expect(log.health()).toContainEqual(expect.stringMatching(`^damaged: log/${bad.name}`))
    await host.run(log.close())
  })

  test("is read around, in whatever steps the system reads", async () => {
    const file = Buffer.from(Array.from({ length: 5 * sectorBytes }, (_, i) => i % 200))
    const read: (into: Uint8Array, at: number) => ReadSome = (into, at) => async (offset, bytes) => {
      const from = at + offset
      const failing = 2 * sectorBytes
      if (from < failing + sectorBytes && from + bytes > failing) {
        if (from >= failing || bytes > 3 * sectorBytes) throw Object.assign(new Error("EIO"), { code: "EIO" })
        bytes = failing - from
      }
      into.set(file.subarray(from, from + bytes), offset)
      return Math.min(bytes, file.length - from)
    }
    for (const at of [0, 100, 2 * sectorBytes, 2 * sectorBytes + 8, 3 * sectorBytes]) {
      const into = Buffer.alloc(6 * sectorBytes)
      expect(await readAround(into, at, read(into, at))).toBe(file.length - at)
      for (let i = at; i < file.length; i++) {
        const isBad = i >= 2 * sectorBytes && i < 3 * sectorBytes
        if (into[i - at] !== (isBad ? 0xff : file[i]))
          expect([at, i, into[i - at]]).toEqual([at, i, "as the file has it"])
      }
    }
  })
})

test("a damaged event that is asked for alone, by its place or its id, is named and is no event that never was", async () => {
  for (const ask of ["place", "id"]) {
    const host = machine({ segmentBytes: 64 << 10 })
    let log = await host.open()
    const appended: Appended[] = []
    for (let i = 0; i < 200; i++) appended.push(...(await host.run(log.append(orders, [event(`e${i}`, 600)]))))
    await host.run(log.tables.write([{ table: "catalog", key: "last", value: Buffer.from("1") }]))
    await host.run(log.close())
    const { cursor } = appended[4]!
    host.disk.flipBit(host.segments()[0]!, parseCursor(cursor) - 8 + 50, 2)
    log = await host.open()
    expect(log.health()).toEqual([])
    const asked = ask === "place" ? log.get(cursor) : log.find(orders, { source: "/shop", id: "e4" })
    await expect(host.run(asked)).rejects.toThrow(DamagedError)
    expect(log.health()).toEqual([expect.stringContaining(`(cursors ${cursor} to `)])
    expect(await host.run(log.find(orders, { source: "/shop", id: "e5" }))).toBeDefined()
    await host.run(log.close())
  }
})
