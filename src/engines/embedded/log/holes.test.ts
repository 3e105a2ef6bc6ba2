import { expect, test } from "vitest"
import { StorageFullError } from "../../../core/errors.ts"
import { checkpointOf } from "../../parts/journal/record.ts"
import { isJournaled, type Store, tables, type Write } from "../../parts/store.ts"
import { readChain } from "./chain.ts"
import type { SegmentLog } from "./log.ts"
import { event, type Machine, machine, nameAt, orders } from "./machine.fixture.ts"
import { type JournalRecord, Reader } from "./reader.ts"
import { Segments } from "./segments.ts"

const segmentBytes = 64 << 10

const row = (table: "deliveries" | "positions", key: string, value: string) =>
  ({ table, key, value: Buffer.from(value) }) as const

/** Rows of so many rounds, in each of which a reader goes on and enqueues. */
async function route(host: Machine, log: SegmentLog, from: number, rounds: number): Promise<void> {
  for (let i = from; i < from + rounds; i++) {
    const enqueued = row("deliveries", `d${i}`, "x".repeat(3_000))
    await host.run(log.tables.write([row("positions", "router", `${i}`), enqueued]))
  }
}

/** What the journal tells, but for what names losses. */
const rowsOf = ({ store }: Machine) =>
  tables
    .filter(isJournaled)
    .flatMap((table) =>
      store.entries(table).map(({ key, value }) => `${table} ${key} ${Buffer.from(value).toString()}`),
    )
    .filter((text) => !text.startsWith("meta "))

const holeLine = expect.stringContaining("the hub's own records between cursors")

/** A log whose state is lost, and of whose middle a segment; behind the hole there is more than one step of replaying writes. */
async function withHole(throughStore?: (store: Store) => Store) {
  const host = machine({ segmentBytes, compactBytesMin: 1 << 30, ...(throughStore && { throughStore }) })
  const log = await host.open()
  await route(host, log, 0, 80)
  const many: Write[] = Array.from({ length: 11_000 }, (_, i) => row("deliveries", `many${i}`, "1"))
  await host.run(log.tables.write(many))
  await route(host, log, 80, 10)
  await host.run(log.close())
  host.store.lose()
  await host.rename(host.segments()[2]!, "taken-away")
  return host
}

test("a hole in the hub's own records is found again by the start after one that died anywhere in its replaying", async () => {
  const whole = await withHole()
  const end = (await whole.open()).figures().log_end_position_bytes!
  const told = rowsOf(whole)
  expect(told).not.toContain("positions router 89")
  let failed = true
  for (let at = 0; failed; at++) {
    failed = false
    let writes = Number.NEGATIVE_INFINITY
    const host = await withHole((store) => ({
      get: (table, key) => store.get(table, key),
      range: (table, range) => store.range(table, range),
      async write(some) {
        if (writes++ === at) {
          failed = true
          throw new StorageFullError("no room")
        }
        await store.write(some)
        // So that the cut takes none of it away.
        await store.flushed()
      },
      flushed: () => store.flushed(),
      close: () => store.close(),
    }))
    writes = 0
    let died = false
    await host.open().catch((error) => {
      died = true
      expect(error).toBeInstanceOf(StorageFullError)
    })
    writes = Number.NEGATIVE_INFINITY
    host.cut()
    host.lines.length = 0
    const log = await host.open()
    if (died) expect(host.lines, `write ${at}`).toContainEqual(holeLine)
    expect(rowsOf(host), `write ${at}`).toEqual(told)
    expect(Math.abs(log.figures().log_end_position_bytes! - end)).toBeLessThan(segmentBytes)
    expect(at).toBeLessThan(50)
  }
})

/** The records of the journal that are in the segments. */
async function journalOf(host: Machine) {
  const disk = host.hand()
  const chain = await host.run(readChain(disk, host.segmentBytes, undefined))
  const segments = await host.run(
    Segments.open(disk, { segmentBytes: host.segmentBytes, reserveBytes: 0 }, chain, () => chain.identity!),
  )
  const reader = new Reader(segments, undefined, () => {})
  const records: JournalRecord[] = []
  const reading = async () => {
    for (let at = 0; at < segments.end; ) {
      const { journal, next } = await reader.stretch(at, segments.end)
      records.push(...journal)
      at = next
    }
  }
  await host.run(reading())
  await host.run(segments.close())
  return records
}

/** Damages a record of the log. */
function damage(host: Machine, position: number): void {
  const name = host.segments().findLast((name) => name <= nameAt(position))!
  host.disk.flipBit(name, position - Number.parseInt(name, 36) + 40, 1)
}

async function compacted() {
  const host = machine({ segmentBytes, compactBytesMin: 100_000 })
  const log = await host.open()
  for (let round = 0; round < 10; round++) await route(host, log, 0, 20)
  await host.clock.advance(5_000)
  await host.run(log.close())
  const checkpoints = (await journalOf(host)).flatMap(({ position, payload }) => {
    const checkpoint = checkpointOf(payload)
    return checkpoint === undefined ? [] : [{ position, ...checkpoint }]
  })
  expect(checkpoints.length).toBeGreaterThan(0)
  return { host, told: rowsOf(host), checkpoints }
}

test("a state is made anew from the newest checkpoint on, and what is before that is not asked for", async () => {
  const { host, told } = await compacted()
  expect(host.segments()[0]).not.toBe(nameAt(8))
  host.store.lose()
  await host.open()
  expect(host.lines).toEqual([])
  expect(rowsOf(host)).toEqual(told)
})

test("the first record behind a checkpoint is missed, where it is damaged, by a state that is made anew from there", async () => {
  const { host, checkpoints } = await compacted()
  const { place } = checkpoints.at(-1)!
  damage(host, (await journalOf(host)).find(({ position }) => position >= place)!.position)
  host.store.lose()
  await host.open()
  expect(host.lines).toContainEqual(holeLine)
})

/** A log of one segment, in which the rows were written anew twice, and the records of its journal. */
async function compactedTwice() {
  const host = machine({ segmentBytes: 1 << 20, compactBytesMin: 1 << 30 })
  const log = await host.open()
  for (let round = 0; round < 2; round++) {
    await route(host, log, 0, 20)
    log.tables.compact()
    await host.clock.advance(5_000)
  }
  await route(host, log, 20, 5)
  await host.run(log.close())
  host.store.lose()
  const journal = await journalOf(host)
  const checkpoints = journal.filter(({ payload }) => checkpointOf(payload) !== undefined)
  expect(checkpoints).toHaveLength(2)
  return { host, journal, newest: checkpoints[1]! }
}

const enqueued = Array.from({ length: 25 }, (_, i) => `deliveries d${i} ${"x".repeat(3_000)}`).sort()

test("a record before the newest checkpoint is not missed where it is damaged", async () => {
  const { host, journal, newest } = await compactedTwice()
  const { place } = checkpointOf(newest.payload)!
  damage(host, journal.findLast(({ position }) => position < place)!.position)
  await host.open()
  expect(host.lines).not.toContainEqual(holeLine)
  expect(rowsOf(host)).toEqual([...enqueued, "positions router 24"])
})

test("a checkpoint that is damaged is none: rows from before it are made anew too", async () => {
  const { host, newest } = await compactedTwice()
  damage(host, newest.position)
  await host.open()
  expect(rowsOf(host)).toEqual([...enqueued, "positions router 19"])
  expect(host.lines).toContainEqual(holeLine)
})

test.each([
  { isBack: true, what: "and is whole again where the bytes are back" },
  { isBack: false, what: "and has what was there at the hole" },
])("a journal with a hole is told anew by a start after one that died before it was, $what", async ({ isBack }) => {
  const host = await withHole()
  await host.openUntilThere()
  host.cut()
  if (isBack) await host.rename("taken-away", nameAt(8 + 2 * segmentBytes))
  let log = await host.open()
  await host.clock.advance(5_000)
  await host.run(log.append(orders, [event("e")]))
  await host.run(log.close())
  const told = rowsOf(host)
  expect(told.includes("positions router 89")).toBe(isBack)
  const records = (await journalOf(host)).length
  log = await host.open()
  await host.clock.advance(5_000)
  await host.run(log.close())
  expect((await journalOf(host)).length).toBe(records)
  host.store.lose()
  host.lines.length = 0
  log = await host.open()
  expect(rowsOf(host)).toEqual(told)
  expect(host.lines.filter((line) => line.startsWith("the hub's own records"))).toEqual([])
})

test("a state that is made anew knows how much the journal has grown beyond its rows", async () => {
  const host = machine({ segmentBytes, compactBytesMin: 100_000 })
  let log = await host.open()
  for (let round = 0; round < 4; round++) await route(host, log, 0, 15)
  await host.clock.advance(5_000)
  await route(host, log, 0, 10)
  await host.run(log.close())
  const grown = log.figures().journal_bytes!
  expect(grown).toBeGreaterThan(30_000)
  host.store.lose()
  log = await host.open()
  expect(Math.abs(log.figures().journal_bytes! - grown)).toBeLessThan(grown / 5)
})

test.each([
  { gone: "an event's bytes", told: /^damaged: / },
  { gone: "the first segment", told: /^the hub's own records before cursor/ },
])("what is lost ($gone) is told by the start after one that died before all was made anew", async ({ gone, told }) => {
  const host = machine({ segmentBytes, compactBytesMin: 1 << 30 })
  let log = await host.open()
  await route(host, log, 0, 80)
  await host.run(log.close())
  host.store.lose()
  const [first] = host.segments()
  if (gone === "the first segment") await host.rename(first!, "taken-away")
  else host.disk.flipBit(first!, 2_000, 1)
  for (const start of ["that dies", "that dies as well", "that lives", "later"]) {
    host.lines.length = 0
    log = await (start.startsWith("that dies") ? host.openUntilThere() : host.open())
    const lines = [...host.lines, ...log.health()]
    if (start !== "later" || gone === "an event's bytes")
      expect(lines, start).toContainEqual(expect.stringMatching(told))
    if (gone === "the first segment") expect(log.isBeginningLost).toBe(start !== "later")
    if (start === "that lives") await host.run(log.close())
    else host.cut()
  }
})
