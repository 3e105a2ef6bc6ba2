import { execFileSync, spawn } from "node:child_process"
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import fc from "fast-check"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { ClosedError, DamagedError, OverloadError, StorageError } from "../../core/errors.ts"
import type { Range, Store, Write } from "./store.ts"
import { copyTables, openLmdbStore } from "./store-lmdb.ts"

let path: string
let opened: Store[]

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "redcar-store-"))
  opened = []
})

afterEach(async () => {
  for (const store of opened) await store.close()
  rmSync(path, { recursive: true, force: true })
})

const open = (options: Parameters<typeof openLmdbStore>[1] = {}): Store => {
  const store = openLmdbStore(path, options)
  opened.push(store)
  return store
}
const put = (key: string, text = "x"): Write => ({ table: "deliveries", key, value: Buffer.from(text) })
const remove = (key: string): Write => ({ table: "deliveries", key, value: undefined })
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString())
const keys = (store: Store, range: Range = {}) => [...store.range("deliveries", range)].map((entry) => entry.key)

describe("reading", () => {
  test("sees a write once it has resolved, and keeps tables apart", async () => {
    const store = open()
    await store.write([put("a", "1"), { table: "dead", key: "a", value: Buffer.from("2") }])
    expect(text(store.get("deliveries", "a"))).toBe("1")
    expect(text(store.get("dead", "a"))).toBe("2")
    expect(store.get("parked", "a")).toBeUndefined()
    await store.write([remove("a")])
    expect(store.get("deliveries", "a")).toBeUndefined()
    expect(text(store.get("dead", "a"))).toBe("2")
  })

  test("gives bytes that stay as they are", async () => {
    const store = open()
    const big = "y".repeat(200_000)
    await store.write([put("a", "first"), put("b", "second"), put("c", big)])
    const [a, b, c] = [store.get("deliveries", "a"), store.get("deliveries", "b"), store.get("deliveries", "c")]
    const entries = [...store.range("deliveries")]
    await store.write([put("a", "other"), put("b", "other"), put("c", "other")])
    for (let i = 0; i < 10; i++) store.get("deliveries", "a")
    expect([a, b, c].map(text)).toEqual(["first", "second", big])
    expect(entries.map((entry) => text(entry.value))).toEqual(["first", "second", big])
  })

  test("ranges are inclusive, exclusive, limited and reversed as asked, whatever the keys", async () => {
    const key = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 6 })
    const bound = fc.option(key, { nil: undefined })
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 12 }),
        fc.array(fc.record({ start: bound, end: bound, reverse: fc.boolean(), limit: fc.option(fc.nat(6)) })),
        async (all, ranges) => {
          const store = open()
          await store.write([...store.range("deliveries")].map((entry) => remove(entry.key)))
          await store.write(all.map((key) => put(key, key)))
          const sorted = all.toSorted()
          for (const { start, end, reverse, limit } of ranges) {
            const within = sorted.filter((key) => (start ?? "") <= key && (end === undefined || key < end))
            const expected = (reverse ? within.toReversed() : within).slice(0, limit ?? within.length)
            const range = { reverse, ...(start && { start }), ...(end && { end }), ...(limit !== null && { limit }) }
            expect(keys(store, range)).toEqual(expected)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test("a range that is left early, and one during which others write, harm nothing", async () => {
    const store = open()
    await store.write(Array.from({ length: 100 }, (_, i) => put(`k${String(i).padStart(3, "0")}`)))
    const seen: string[] = []
    for (const { key } of store.range("deliveries")) {
      seen.push(key)
      await store.write([remove(key)])
      if (seen.length === 50) break
    }
    expect(new Set(seen).size).toBe(50)
    expect(keys(store)).toHaveLength(50)
  })

  test("a key that cannot be there is not there", () => {
    const store = open()
    expect(store.get("deliveries", "")).toBeUndefined()
    expect(store.get("deliveries", "k".repeat(5_000))).toBeUndefined()
  })
})

describe("writing", () => {
  test("applies and resolves calls in their order", async () => {
    const store = open({ commitMax: 3 })
    const resolved: number[] = []
    const calls = Array.from({ length: 50 }, (_, i) =>
      store.write([put("last", String(i)), put(`k${i}`)]).then(() => resolved.push(i)),
    )
    await Promise.all(calls)
    expect(resolved).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(text(store.get("deliveries", "last"))).toBe("49")
  })

  test("refuses a key that is too long or empty, with all of its call", async () => {
    const store = open()
    await expect(store.write([put("ok"), put("k".repeat(5_000))])).rejects.toThrow(RangeError)
    await expect(store.write([put("ok"), put("")])).rejects.toThrow(RangeError)
    await store.write([put("other")])
    expect(keys(store)).toEqual(["other"])
  })

  test("takes no more than it may hold, and goes on when there is room", async () => {
    const store = open({ pendingMax: 10 })
    const full = store.write(Array.from({ length: 10 }, (_, i) => put(`a${i}`)))
    await expect(store.write([put("b")])).rejects.toThrow(OverloadError)
    await full
    await store.write([put("c")])
    expect(store.get("deliveries", "b")).toBeUndefined()
    expect(store.get("deliveries", "c")).toBeDefined()
  })

  test("outgrows the size it was mapped with", async () => {
    const store = open({ mapBytes: 1 << 20 })
    for (let i = 0; i < 40; i++)
      await store.write(Array.from({ length: 100 }, (_, j) => put(`${i}-${j}`, "z".repeat(1_000))))
    expect(keys(store)).toHaveLength(4_000)
  })

  test("a closed store keeps what it was given before, and takes nothing more", async () => {
    const store = open()
    const written = store.write([put("a")])
    await store.close()
    await written
    await expect(store.write([put("b")])).rejects.toThrow(ClosedError)
    expect(() => store.get("deliveries", "a")).toThrow(ClosedError)
    expect(() => store.range("deliveries")).toThrow(ClosedError)
    await expect(store.flushed()).resolves.toBeUndefined()
    expect(keys(open())).toEqual(["a"])
  })
})

test("a path that cannot be a directory is a storage error", () => {
  writeFileSync(join(path, "file"), "")
  expect(() => openLmdbStore(join(path, "file", "below"))).toThrow(StorageError)
})

const storeUrl = new URL("./store-lmdb.ts", import.meta.url).href

test("a file whose pages are zeroed is told to be damaged, by reads and writes alike", async () => {
  const told: string[] = []
  const store = open({ onDamage: (what) => told.push(what) })
  for (let i = 0; i < 20; i++)
    await store.write(Array.from({ length: 100 }, (_, n) => put(`${i}.${n}`, "row".repeat(20))))
  const file = openSync(join(path, "data.mdb"), "r+")
  const pages = statSync(join(path, "data.mdb")).size / 4096
  for (let page = 2; page < pages; page++) writeSync(file, Buffer.alloc(4096), 0, 4096, page * 4096)
  closeSync(file)
  expect(() => store.get("deliveries", "3.7")).toThrow(DamagedError)
  expect(() => keys(store)).toThrow(DamagedError)
  await expect(store.write([put("a")])).rejects.toThrow(DamagedError)
  expect(told).toHaveLength(3)
})

test("a copy of the tables holds all of them, in a smaller file", async () => {
  const store = open()
  for (let i = 0; i < 20; i++) await store.write(Array.from({ length: 200 }, (_, n) => put(`${n}`, `${i}`.repeat(100))))
  await opened.pop()!.close()
  mkdirSync(join(path, "copy"))
  await copyTables(path, join(path, "copy"))
  expect(statSync(join(path, "copy", "data.mdb")).size).toBeLessThan(statSync(join(path, "data.mdb")).size)
  const copy = openLmdbStore(join(path, "copy"))
  opened.push(copy)
  await copy.verify()
  expect(keys(copy)).toHaveLength(200)
})

test("large rows can be deleted from a copy", async () => {
  const store = open()
  for (let i = 0; i < 200; i++) await store.write([put(`${i}`, "x".repeat(20_000))])
  await opened.pop()!.close()
  mkdirSync(join(path, "copy"))
  await copyTables(path, join(path, "copy"))
  // In a process of its own: it would die of LMDB.
  const script = `
    import { openLmdbStore } from ${JSON.stringify(storeUrl)}
    const copy = openLmdbStore(process.argv[1])
    const all = [...copy.range("deliveries")].map(({ key }) => ({ table: "deliveries", key, value: undefined }))
    await copy.write(all)
    await copy.close()
    console.log(all.length)`
  const args = ["--input-type=module", "-e", script, join(path, "copy")]
  expect(execFileSync(process.execPath, args, { encoding: "utf8" })).toBe("200\n")
}, 30_000)

test("a killed process leaves a prefix of its calls, each whole", { timeout: 60_000 }, async () => {
  const script = `
    import { copyTables, openLmdbStore } from ${JSON.stringify(storeUrl)}
    const store = openLmdbStore(process.argv[1])
    const value = Buffer.alloc(20)
    for (let call = Number(process.argv[2]); ; ) {
      const calls = []
      for (let i = 0; i < 7; i++, call++) {
        const name = String(call).padStart(9, "0")
        const rows = Array.from({ length: 5 }, (_, row) => ({ table: "deliveries", key: row + "/" + name, value }))
        calls.push(store.write(rows).then(() => process.stdout.write(name + "\\n")))
      }
      await calls[3]
    }`
  let next = 0
  for (let round = 0; round < 12; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script, path, String(next)])
    let acknowledged = next - 1
    const lines = createInterface(child.stdout)
    lines.on("line", (line) => {
      acknowledged = Number(line)
      if (acknowledged - next === 20 + round * 37) child.kill("SIGKILL")
    })
    await new Promise((resolve) => child.on("close", resolve))
    const store = openLmdbStore(path)
    const rows = Array.from({ length: 5 }, (_, row) => keys(store, { start: `${row}/`, end: `${row}0` }).length)
    const last = keys(store, { start: "0/", end: "00", reverse: true, limit: 1 })[0]
    await store.close()
    expect(new Set(rows).size, `rows of each kind: ${rows}`).toBe(1)
    expect(rows[0]).toBeGreaterThan(acknowledged)
    expect(last).toBe(`0/${String(rows[0]! - 1).padStart(9, "0")}`)
    next = rows[0]!
  }
})

/** Whether this machine lets a test have a small file system of its own. */
function canMount(): boolean {
  try {
    execFileSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

test.skipIf(!canMount())(
  "a full disk refuses what came, keeps the rest, and takes more when there is room",
  async () => {
    const script = `
    import { rmSync, writeFileSync } from "node:fs"
    import { copyTables, openLmdbStore } from ${JSON.stringify(storeUrl)}
    const path = process.argv[1]
    const store = openLmdbStore(path + "/db")
    writeFileSync(path + "/ballast", Buffer.alloc(1 << 20))
    const value = Buffer.alloc(1_000)
    const call = (i) => Array.from({ length: 20 }, (_, row) => ({ table: "index", key: i + "/" + row, value }))
    const report = { failed: [], stored: 0, late: "" }
    let first
    for (let i = 1_000; first === undefined; i++)
      await store.write(call(i)).then(() => report.stored++, (error) => { first = i; report.failed.push(error.name) })
    await Promise.all([1, 2, 3].map((n) => store.write(call(first + n)).catch((error) => report.failed.push(error.name))))
    await store.flushed()
    report.rows = [...store.range("index")].length
    rmSync(path + "/ballast")
    await store.write(call(first))
    report.rowsLater = [...store.range("index")].length
    await store.close()
    console.log(JSON.stringify(report))`
    const command = `mount -t tmpfs -o size=3m none "$0" && exec "$1" --input-type=module -e "$2" "$0" 2>/dev/null`
    const out = execFileSync("unshare", ["-rm", "sh", "-c", command, path, process.execPath, script], {
      encoding: "utf8",
    })
    const report = JSON.parse(out) as { failed: string[]; stored: number; rows: number; rowsLater: number }
    expect(report.failed).toEqual(Array(4).fill("StorageFullError"))
    expect(report.stored).toBeGreaterThan(10)
    expect(report.rows).toBe(report.stored * 20)
    expect(report.rowsLater).toBe(report.rows + 20)
  },
)
