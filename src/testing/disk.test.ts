import { expect, test } from "vitest"
import { StorageError, StorageFullError } from "../core/errors.ts"
import { createSimulatedChance } from "./chance.ts"
import { createSimulatedClock, runUntil } from "./clock.ts"
import { blockBytes, createSimulatedDisk } from "./disk.ts"
import { createPower } from "./power.ts"

function machine(seed = 1, bytesMax?: number) {
  const clock = createSimulatedClock()
  const disk = createSimulatedDisk({
    chance: createSimulatedChance(seed),
    ...(bytesMax === undefined ? {} : { bytesMax }),
  })
  const start = () => {
    const power = createPower({ clock })
    return { power, mounted: disk.mount(power) }
  }
  return { clock, disk, start }
}

const filled = (bytes: number, value: number) => new Uint8Array(bytes).fill(value)

test("what was written is read, also by the next process", async () => {
  const { clock, start } = machine()
  const first = start()
  const file = await runUntil(clock, first.mounted.create("a", 40_000))
  await runUntil(clock, file.write(filled(20_000, 7), 10_000))
  first.power.cut()
  const again = await runUntil(clock, start().mounted.open("a"))
  const into = new Uint8Array(50_000)
  expect(await runUntil(clock, again.read(into, 9_999))).toBe(30_001)
  expect([into[0], into[1], into[20_000], into[20_001]]).toEqual([0, 7, 7, 0])
  expect(again.bytes).toBe(40_000)
})

test("a write in flight leaves whole blocks of the old and the new, in all manners over many seeds", async () => {
  const manners = new Set<string>()
  for (let seed = 0; seed < 60; seed++) {
    const { clock, disk, start } = machine(seed)
    const { power, mounted } = start()
    const file = await runUntil(clock, mounted.create("a", 8 * blockBytes))
    void file.write(filled(3 * blockBytes + 100, 9), blockBytes - 50)
    power.cut()
    const bytes = disk.peek("a", 0, 8 * blockBytes)
    const parts = [
      [blockBytes - 50, blockBytes],
      [blockBytes, 2 * blockBytes],
      [2 * blockBytes, 3 * blockBytes],
      [3 * blockBytes, 4 * blockBytes],
      [4 * blockBytes, 4 * blockBytes + 50],
    ] as const
    for (const [from, to] of parts) expect(new Set(bytes.subarray(from, to)).size).toBe(1)
    manners.add(parts.map(([from]) => bytes[from]).join(""))
  }
  expect(manners.has("00000")).toBe(true)
  expect(manners.has("99999")).toBe(true)
  expect([...manners].some((manner) => /90+9/.test(manner))).toBe(true)
})

test("promises and timers of a dead process never come back", async () => {
  const { clock, start } = machine()
  const { power, mounted } = start()
  const file = await runUntil(clock, mounted.create("a", 1_000))
  let resolved = 0
  file.write(filled(10, 1), 0).then(() => resolved++)
  power.clock.after(1, () => resolved++)
  power.cut()
  mounted.list().then(() => resolved++)
  file.read(new Uint8Array(1), 0).then(() => resolved++)
  await clock.advance(1_000)
  expect(resolved).toBe(0)
})

test("a rename or a removal in flight happened or did not; one that resolved stays", async () => {
  const seen = new Set<string>()
  for (let seed = 0; seed < 30; seed++) {
    const { clock, disk, start } = machine(seed)
    const { power, mounted } = start()
    for (const name of ["a", "b", "c"]) await runUntil(clock, mounted.create(name, 1))
    await runUntil(clock, mounted.rename("c", "kept"))
    void mounted.rename("a", "moved")
    void mounted.remove("b")
    power.cut()
    const names = disk.files().map(({ name }) => name)
    expect(names).toContain("kept")
    expect(names.includes("a")).toBe(!names.includes("moved"))
    seen.add(names.toSorted().join(" "))
  }
  expect(seen.size).toBe(4)
})

test("a full disk refuses new files until there is room, and still takes writes to those it has", async () => {
  const { clock, disk, start } = machine(1, 1_000)
  const { mounted } = start()
  const file = await runUntil(clock, mounted.create("a", 800))
  await expect(runUntil(clock, mounted.create("b", 300))).rejects.toThrow(StorageFullError)
  expect(await runUntil(clock, mounted.freeBytes())).toBe(200)
  await runUntil(clock, file.write(filled(800, 1), 0))
  disk.bytesMax = 1_100
  await runUntil(clock, mounted.create("b", 300))
  await runUntil(clock, mounted.remove("a"))
  expect(disk.bytesUsed).toBe(300)
})

test("a sparse file takes room for its parts only", async () => {
  const { clock, disk, start } = machine(1, 2_000)
  const { mounted } = start()
  async function* parts() {
    yield { at: 100_000, data: filled(600, 5) }
  }
  await runUntil(clock, mounted.createSparse("s", 200_000, parts()))
  expect(disk.bytesUsed).toBe(1_024)
  expect(disk.files()).toEqual([{ name: "s", bytes: 200_000, bytesTaken: 1_024 }])
  expect([disk.peek("s", 99_999, 2)[0], disk.peek("s", 99_999, 2)[1]]).toEqual([0, 5])
})

test("faults: files that are exchanged, or taken away", async () => {
  const { clock, disk, start } = machine()
  const { mounted } = start()
  for (const name of ["a", "b"]) {
    const file = await runUntil(clock, mounted.create(name, name === "a" ? 10 : 20))
    await runUntil(clock, file.write(filled(10, name === "a" ? 1 : 2), 0))
  }
  disk.exchange("a", "b")
  expect(disk.files()).toMatchObject([
    { name: "a", bytes: 20 },
    { name: "b", bytes: 10 },
  ])
  expect([disk.peek("a", 0, 1)[0], disk.peek("b", 0, 1)[0]]).toEqual([2, 1])
  disk.remove("a")
  expect(disk.files()).toMatchObject([{ name: "b", bytes: 10 }])
  expect(() => disk.remove("a")).toThrow(StorageError)
  expect(() => disk.exchange("a", "b")).toThrow(StorageError)
})

test("faults: a flipped bit, a file cut short, a write that fails", async () => {
  const { clock, disk, start } = machine()
  const { mounted } = start()
  const file = await runUntil(clock, mounted.create("a", 2_000))
  disk.flipBit("a", 5, 3)
  expect(disk.peek("a", 5, 1)[0]).toBe(8)
  disk.failWrites(1)
  await expect(runUntil(clock, file.write(filled(10, 1), 0))).rejects.toThrow(StorageError)
  await runUntil(clock, file.write(filled(10, 1), 0))
  disk.truncate("a", 7)
  expect(await runUntil(clock, file.read(new Uint8Array(10), 0))).toBe(7)
  expect(disk.files()).toEqual([{ name: "a", bytes: 7, bytesTaken: 7 }])
})

test("a buffer that changes while its write is in flight is a bug, and named", async () => {
  const { clock, start } = machine()
  const { mounted } = start()
  const file = await runUntil(clock, mounted.create("a", 100))
  const data = filled(10, 1)
  const write = file.write(data, 0)
  data[0] = 2
  await expect(runUntil(clock, write)).rejects.toThrow(/changed while in flight/)
})
