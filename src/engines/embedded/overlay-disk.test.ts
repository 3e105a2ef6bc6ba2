import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { expect, test } from "vitest"
import { StorageFullError } from "../../core/errors.ts"
import { openNodeDisk } from "./disk-node.ts"
import { openOverlayDisk } from "./overlay-disk.ts"

const size = 20_000

/** A disk with a file of random bytes, and what lies over it. */
async function withOverlay(
  run: (over: Awaited<ReturnType<typeof openOverlayDisk>>, before: Uint8Array) => Promise<void>,
  bytesMax = 1 << 20,
) {
  const directory = mkdtempSync(join(tmpdir(), "redcar-overlay-"))
  try {
    const disk = await openNodeDisk(directory)
    const file = await disk.create("a", size)
    await file.write(
      Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251),
      0,
    )
    await file.close()
    const before = readFileSync(join(directory, "a"))
    await run(await openOverlayDisk(disk, bytesMax), before)
    expect(readFileSync(join(directory, "a"))).toEqual(before)
    expect(await disk.list()).toMatchObject([{ name: "a", bytes: size }])
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test("shows what was written over what is beneath, which stays as it is", async () => {
  const write = fc.record({ at: fc.integer({ min: 0, max: size - 1 }), length: fc.integer({ min: 0, max: 9_000 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(write, { maxLength: 6 }), (writes) =>
      withOverlay(async (over, before) => {
        const expected = Uint8Array.from(before)
        const file = await over.open("a")
        for (const [i, { at, length }] of writes.entries()) {
          const data = new Uint8Array(Math.min(length, size - at)).fill(i + 1)
          await file.write(data, at)
          expected.set(data, at)
        }
        await file.close()
        const again = await over.open("a")
        const read = new Uint8Array(size + 100)
        expect(await again.read(read, 0)).toBe(size)
        expect(Buffer.from(read.subarray(0, size)).equals(expected)).toBe(true)
        await again.close()
      }),
    ),
    { numRuns: 30 },
  )
})

test("files are made, renamed and removed in it alone", async () => {
  await withOverlay(async (over) => {
    await over.createSparse(
      "b",
      10_000,
      (async function* () {
        yield { at: 5_000, data: Uint8Array.of(7) }
      })(),
    )
    await over.rename("b", "c")
    await over.rename("a", "d")
    await over.remove("c")
    expect(await over.list()).toMatchObject([{ name: "d", bytes: size }])
    const file = await over.open("d")
    const read = new Uint8Array(10)
    expect([await file.read(read, 40), read[0]]).toEqual([10, (40 * 31) % 251])
    await file.close()
  })
})

test("takes no more than it may", async () => {
  await withOverlay(async (over) => {
    const file = await over.create("b", 100_000)
    await expect(file.write(new Uint8Array(20_000), 0)).rejects.toThrow(StorageFullError)
  }, 8_192)
})
