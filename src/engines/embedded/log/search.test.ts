import { beforeEach, expect, test, vi } from "vitest"
import { hostileData } from "./hostile.fixture.ts"
import { gapKind, headerBytes, journalKind, recordBytesMax, writeGap, writeOwnRecord } from "./record.ts"
import { findRecord } from "./search.ts"

const summed = vi.hoisted(() => ({ bytes: 0 }))
vi.mock(import("node:zlib"), async (original) => {
  const zlib = await original()
  const crc32: typeof zlib.crc32 = (data, value) => {
    summed.bytes += (data as Buffer).length
    return zlib.crc32(data, value)
  }
  return { ...zlib, crc32 }
})
beforeEach(() => {
  summed.bytes = 0
})

const [from, salt] = [8_192, 0x5eed]

/** Looks through `damaged`, with something behind it, in a file that goes on for 16 MiB. */
async function search(damaged: Buffer, behind: (at: number, file: Buffer) => void = () => {}) {
  const file = Buffer.concat([damaged, Buffer.alloc(16 << 20)])
  behind(damaged.length, file)
  let read = 0
  const load = async (position: number, bytes: number) => {
    const block = file.subarray(position - from, position - from + bytes)
    read += block.length
    return block
  }
  summed.bytes = 0
  const found = await findRecord({ from, end: from + file.length, salt, load })
  return { found: found?.position, commitStart: found?.commitStart, read, summed: summed.bytes }
}

function record(bytes: number) {
  return (at: number, file: Buffer) => {
    const view = new DataView(file.buffer, file.byteOffset, file.length)
    const place = { position: from + at, commitStart: from + at - 8, salt }
    writeOwnRecord(file, view, at, place, { kind: journalKind, payload: Buffer.alloc(bytes - headerBytes, 7) })
  }
}

const claims = {
  "one size": () => 1 << 20,
  "the largest size": () => recordBytesMax,
  "more than any record has": () => 15 << 20,
  "ever more": (at: number) => headerBytes + 16 * at,
  "up to one place": (at: number) => (1 << 20) - (at % (1 << 20)),
  "small sizes": (at: number) => headerBytes + (at % 4_096),
  "so much, all but the last bytes": () => (1 << 20) + 7,
}

test.each(
  Object.entries(claims).flatMap(([name, claimed]) =>
    [8 << 10, 32 << 10, 128 << 10, 1 << 20].map((bytes) => [name, bytes, claimed] as const),
  ),
)("what claims %s costs no more than a few times its own size to pass over: %d bytes", async (_, bytes, claimed) => {
  const result = await search(hostileData(bytes, claimed), record(1_000))
  expect(result.found).toBe(from + bytes)
  expect(result.commitStart).toBe(from + bytes - 8)
  expect(result.read).toBeLessThanOrEqual(3 * (bytes + 2 * recordBytesMax))
  expect(result.summed).toBeLessThanOrEqual(2_000)
})

test.each([headerBytes, 1_000, 65_536, 1_200_003, recordBytesMax])("a record of %d bytes is found", async (bytes) => {
  for (const damaged of [8, 65_536 - headerBytes, 65_536, 70_000, (1 << 20) + 65_496]) {
    const result = await search(Buffer.alloc(damaged, 1), record(bytes))
    expect(result.found).toBe(from + damaged)
  }
})

test("a gap is found by its header, however much it lies over", async () => {
  const place = { position: from + 800, commitStart: from + 800, salt }
  const result = await search(
    hostileData(800, () => 1 << 24, gapKind),
    (at, file) => writeGap(file, at, 15 << 20, place),
  )
  expect(result.found).toBe(from + 800)
  expect(result.read).toBe(64 << 10)
})

test("where a file ends early nothing more is looked for", async () => {
  const data = hostileData(1_000, () => 4_096)
  const load = vi.fn(async (position: number, bytes: number) => data.subarray(position - from, position - from + bytes))
  expect(await findRecord({ from, end: from + (1 << 20), salt, load })).toBeUndefined()
  expect(load).toHaveBeenCalledTimes(1)
})
