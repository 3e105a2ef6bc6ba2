import { describe, expect, test } from "vitest"
import { fill, idsOf, machine, nameAt } from "./machine.fixture.ts"

const segmentBytes = 16 << 10

/** A log of three segments, closed, and the name that its next one is to have. */
async function filled() {
  const host = machine({ segmentBytes })
  const log = await host.open()
  const ids = await fill(host, log, 35)
  await host.run(log.close())
  expect(host.segments()).toEqual([nameAt(8), nameAt(8 + segmentBytes), nameAt(8 + 2 * segmentBytes)])
  return { host, ids, next: nameAt(8 + 3 * segmentBytes) }
}

type Host = Awaited<ReturnType<typeof filled>>["host"]

/** Publishes over several starts; a power cut ends every other one. */
async function goOn(host: Host, ids: readonly string[]): Promise<void> {
  const all = [...ids]
  for (let start = 0; start < 4; start++) {
    const log = await host.open()
    all.push(...(await fill(host, log, 20, 1_000, `${start}.`)))
    expect(idsOf(await host.read(log))).toEqual(all)
    if (start % 2 === 0) host.cut()
    else await host.run(log.close())
  }
  expect(host.segments().length).toBeLessThan(16)
}

describe("a file that is not the log's, where its next segment is to be", () => {
  test("of another log is left as it is, and the log goes on beyond it", async () => {
    const { host, ids, next } = await filled()
    const other = machine({ segmentBytes, seed: 2 })
    const log = await other.open()
    await fill(other, log, 45)
    await other.run(log.close())
    const foreign = other.disk.peek(next, 0, segmentBytes)
    await host.put(next, foreign)
    await goOn(host, ids)
    expect(host.disk.peek(next, 0, segmentBytes)).toEqual(foreign)
    expect(host.lines).toContain(`log/${next} is of another log; it is left alone`)
  })

  test.each([0, 5, 100, 4_000])("of %i bytes that say nothing is left as it is", async (bytes) => {
    const { host, ids, next } = await filled()
    const junk = Buffer.alloc(bytes, "junk")
    await host.put(next, junk)
    await goOn(host, ids)
    expect(host.disk.peek(next, 0, bytes)).toEqual(Uint8Array.from(junk))
    expect(host.disk.files().find(({ name }) => name === next)?.bytes).toBe(bytes)
  })

  test("and that ends far beyond all places does not keep the log from opening", async () => {
    const { host, ids } = await filled()
    await host.put("zzzzzzzzzzz.segment", Buffer.alloc(64, "z"))
    await goOn(host, ids)
    expect(host.lines).toContain("log/zzzzzzzzzzz.segment is no file of the hub's; it is left alone")
  })
})

test("a segment under the name that the next one is to have is read where it belongs, and never written over", async () => {
  const { host, ids, next } = await filled()
  const [, second] = host.segments()
  const before = host.disk.peek(second!, 0, segmentBytes)
  await host.rename(second!, next)
  await goOn(host, ids)
  expect(host.disk.peek(next, 0, segmentBytes)).toEqual(before)
  expect(host.lines).toContain(`log/${next} holds what belongs to log/${second}`)
})

test("what ends in a file that was cut short goes on in another one", async () => {
  const { host, ids } = await filled()
  const last = host.segments().at(-1)!
  const head = Buffer.from(host.disk.peek(last, 0, segmentBytes))
  const used = head.findLastIndex((byte) => byte !== 0) + 1
  host.disk.truncate(last, Math.ceil(used / 8) * 8)
  await goOn(host, ids)
})

test("places that a start has left out are not left out again by the next one, not even where there was no room to write", async () => {
  const host = machine({ segmentBytes })
  const log = await host.open()
  await fill(host, log, 40)
  await host.run(log.close())
  await host.rename(host.segments().at(-1)!, "taken-away")
  await host.rename("spare", "taken-too")
  const ends: number[] = []
  const missing: number[] = []
  for (const room of [false, false, false, true, true]) {
    host.disk.bytesMax = room ? Number.MAX_SAFE_INTEGER : host.disk.bytesUsed
    const again = await host.open()
    ends.push(again.figures().log_end_position_bytes!)
    missing.push(again.figures().log_missing_bytes!)
    await host.run(again.close())
  }
  expect(Math.max(...ends) - Math.min(...ends)).toBeLessThan(segmentBytes)
  expect(missing[0]).toBeGreaterThan(0)
  expect(missing[0]).toBeLessThanOrEqual(segmentBytes)
  expect(new Set(missing).size).toBe(1)
})

test("what a file held before it was used again is not said to be a write that was never finished", async () => {
  const host = machine({ segmentBytes })
  let log = await host.open()
  await fill(host, log, 44)
  await host.run(log.trim({ tenant: "acme", topic: "orders" }, { eventsMax: 1 }))
  await fill(host, log, 16, 1_000, "again")
  const last = Buffer.from(host.disk.peek(host.segments().at(-1)!, 0, segmentBytes))
  expect(last.includes("again15")).toBe(true)
  expect(last.includes("e9e9")).toBe(true)
  host.cut()
  log = await host.open()
  expect(host.lines).toEqual([])
})

test.each([{ isNoticed: false }, { isNoticed: true }])(
  "what an older copy of a lost segment lacks is told, and stays told; noticed before: $isNoticed",
  async ({ isNoticed }) => {
    const host = machine({ segmentBytes: 16 << 10 })
    let log = await host.open()
    await fill(host, log, 20, 900)
    const name = host.segments().at(-1)!
    const { bytes } = host.disk.files().find((file) => file.name === name)!
    const copy = Buffer.from(host.disk.peek(name, 0, bytes))
    await fill(host, log, 40, 900, "later")
    await host.run(log.close())
    await host.run(host.hand().remove(name))
    if (isNoticed) {
      log = await host.open()
      expect(log.health()).toHaveLength(1)
      await host.run(log.close())
    }
    await host.put(name, copy)
    for (const start of ["first", "second"]) {
      log = await host.open()
      expect((await host.read(log)).length).toBeLessThan(60)
      expect(log.health(), start).toContainEqual(expect.stringMatching(`^damaged: log/${name}`))
      await host.run(log.close())
    }
  },
)
