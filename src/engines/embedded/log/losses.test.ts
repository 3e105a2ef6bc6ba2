import { describe, expect, test } from "vitest"
import type { Cursor } from "../../../core/cursor.ts"
import type { Appended } from "../../../core/log.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import type { SegmentLog } from "./log.ts"
import { machine as bareMachine, event, idsOf, orders } from "./machine.fixture.ts"

const segmentBytes = 16 << 10

/** A machine whose files are taken away, and brought back. */
function machine() {
  const host = bareMachine({ segmentBytes })
  return {
    ...host,
    remove: (name: string) => host.run(host.hand().remove(name)),
    bytesOf(name: string): Buffer {
      const { bytes } = host.disk.files().find((file) => file.name === name)!
      return Buffer.from(host.disk.peek(name, 0, bytes))
    },
    /** Events, and rows now and then. */
    async append(log: SegmentLog, from: number, count: number): Promise<Appended[]> {
      const appended: Appended[] = []
      for (let i = from; i < from + count; i++) {
        appended.push(...(await host.run(log.append(orders, [event(`e${i}`, 900)]))))
        const row = { table: "catalog", key: `k${i}`, value: Buffer.from(`${i}`) } as const
        if (i % 5 === 0) await host.run(log.tables.write([row]))
      }
      return appended
    },
    all: async (log: SegmentLog): Promise<readonly string[]> => idsOf(await host.read(log)),
  }
}

interface Harm {
  readonly name: string
  /** What is told of it, first where the state is there, then where it is lost as well. */
  readonly told: readonly [RegExp, RegExp]
  /** Of the five segments. */
  readonly of: (segments: readonly string[]) => string
  /** Bytes that are left of it; undefined: it is gone. */
  readonly left?: number
}

const missing = (segment: number, to: string) =>
  new RegExp(`^missing: log/${bases[segment]}.segment \\(cursors ${bases[segment]} to ${to}\\)`)
const damaged = (segment: number, from: string) =>
  new RegExp(`^damaged: log/${bases[segment]}.segment, bytes ${from} to ${segmentBytes} `)
const twice = (told: RegExp) => [told, told] as const
const bases = Array.from({ length: 6 }, (_, i) => formatCursor(8 + i * segmentBytes))

const harms: readonly Harm[] = [
  { name: "the first gone", of: (all) => all[0]!, told: twice(missing(0, bases[1]!)) },
  { name: "one in the middle gone", of: (all) => all[2]!, told: twice(missing(2, bases[3]!)) },
  // The state knows how far it was written; without it the segment before it tells that it was there.
  { name: "the newest gone", of: (all) => all[4]!, told: [missing(4, "00000001j\\w\\w"), missing(4, bases[5]!)] },
  { name: "one in the middle cut", of: (all) => all[2]!, left: 5_003, told: twice(damaged(2, "4\\d\\d\\d")) },
  { name: "one in the middle empty", of: (all) => all[2]!, left: 0, told: twice(damaged(2, "0")) },
  { name: "the newest cut", of: (all) => all[4]!, left: 2_003, told: twice(damaged(4, "1\\d\\d\\d")) },
  { name: "the newest cut in its head", of: (all) => all[4]!, left: 100, told: twice(damaged(4, "0")) },
  { name: "the newest empty", of: (all) => all[4]!, left: 0, told: twice(damaged(4, "0")) },
]
const published = 66
const stretches = (health: readonly string[]) => health.filter((line) => line.includes("log/"))

/** A log of five segments, the newest half full, on which nobody works any more; and what harm was done to it. */
async function harmed({ of, left }: Harm, isStateLost: boolean) {
  const host = machine()
  const log = await host.open()
  const appended = await host.append(log, 0, published)
  await host.run(log.close())
  expect(host.segments().map((name) => name.slice(0, 11))).toEqual(bases.slice(0, 5))
  const name = of(host.segments())
  const whole = host.bytesOf(name)
  if (left === undefined) await host.remove(name)
  else host.disk.truncate(name, left)
  if (isStateLost) host.store.lose()
  return { host, appended, name, whole }
}

const cases = harms.flatMap((harm) => [false, true].map((isStateLost) => ({ ...harm, isStateLost })))

describe.each(cases)("of five segments $name, the state lost: $isStateLost", ({ isStateLost, ...harm }) => {
  test("is told in one line by each start, with all cursors that are lost, and bytes that can have been there", async () => {
    const { host, appended } = await harmed(harm, isStateLost)
    for (const start of ["first", "second", "without its state"]) {
      if (start === "without its state") host.store.lose()
      const log = await host.open()
      const there = await host.all(log)
      const told = stretches(log.health())
      expect(told, start).toEqual([expect.stringMatching(harm.told[isStateLost ? 1 : 0])])
      const [, from, to] = /cursors (\w+) to (\w+)/.exec(told[0]!)!
      const lost = appended.filter((_, i) => !there.includes(`e${i}`)).map(({ cursor }) => cursor)
      expect(lost.length).toBeGreaterThan(3)
      expect(lost.filter((cursor) => cursor < from! || cursor > to!)).toEqual([])
      const { log_missing_bytes: gone, log_damaged_bytes: bad } = log.figures()
      expect(gone! + bad!).toBe(parseCursor(to!) - parseCursor(from!))
      expect(gone! + bad!).toBeLessThanOrEqual(segmentBytes)
      if (start === "first") await host.append(log, 1_000, 3)
      await host.run(log.close())
    }
  })

  test.each([false, true])(
    "is told no more when a copy has brought it back, and all of it read; without the state: %s",
    async (without) => {
      const { host, name, whole } = await harmed(harm, isStateLost)
      const log = await host.open()
      await host.append(log, 1_000, 3)
      await host.run(log.close())
      await host.put(name, whole)
      if (without) host.store.lose()
      host.found.length = 0
      for (let start = 0; start < 2; start++) {
        const healed = await host.open()
        expect(await host.all(healed)).toHaveLength(published + 3)
        expect(stretches(healed.health())).toEqual([])
        expect(host.found).toHaveLength(1)
        await host.run(healed.close())
      }
    },
  )
})

test("a copy that is shorter than its segment was tells what is not in it to be lost, wherever it was cut", async () => {
  const { host, appended, name, whole } = await harmed(harms[2]!, false)
  const base = parseCursor(name.slice(0, 11) as Cursor)
  const within = appended.map(({ cursor }) => parseCursor(cursor) - base).filter((at) => at > 0)
  const [, , from, behind] = within
  for (const left of [from!, from! + 4, from! + 8, (from! + behind!) / 2, behind! - 8, behind!]) {
    const log = await host.open()
    await host.run(log.close())
    await host.put(name, whole.subarray(0, left))
    for (const isStateLost of [false, true]) {
      if (isStateLost) host.store.lose()
      const healed = await host.open()
      const there = await host.all(healed)
      const [, first, end] = /cursors (\w+) to (\w+)/.exec(stretches(healed.health())[0] ?? "") ?? []
      const isTold = ({ cursor }: Appended) => first! <= cursor && cursor < end!
      expect(appended.filter((each, i) => !there.includes(`e${i}`) && !isTold(each))).toEqual([])
      await host.run(healed.close())
    }
    await host.remove(name)
  }
})

describe("places that were left out", () => {
  test("are not missing, where the segment behind them is", async () => {
    const host = machine()
    let log = await host.open()
    await host.append(log, 0, 5)
    await host.run(log.close())
    host.store.lose()
    log = await host.open()
    await host.append(log, 5, 40)
    await host.run(log.close())
    const [, behind, next] = host.segments()
    await host.remove(behind!)
    for (const isStateLost of [false, true]) {
      if (isStateLost) host.store.lose()
      log = await host.open()
      const range = `(cursors ${behind!.slice(0, 11)} to ${next!.slice(0, 11)})`
      expect(stretches(log.health())).toEqual([expect.stringContaining(`missing: log/${behind} ${range}`)])
      expect(log.figures().log_missing_bytes).toBe(segmentBytes)
      await host.run(log.close())
    }
  })

  test("are not missing, where the newest segment is the one behind them", async () => {
    const host = machine()
    let log = await host.open()
    await host.append(log, 0, 5)
    await host.run(log.close())
    host.store.lose()
    log = await host.open()
    await host.append(log, 5, 5)
    await host.run(log.close())
    const [, behind] = host.segments()
    await host.remove(behind!)
    log = await host.open()
    expect(stretches(log.health())).toEqual([
      expect.stringContaining(`missing: log/${behind} (cursors ${behind!.slice(0, 11)} to `),
    ])
    expect(log.figures().log_missing_bytes).toBeLessThan(segmentBytes)
  })
})

/** What is brought back: the one segment into what is there, or all of the directory instead of it. */
const restored = ["segment", "directory"] as const
const restores = restored.flatMap((back) =>
  ["segment", "directory"].flatMap((away) =>
    ["kept", "lost", "rebuilt meanwhile"].flatMap((state) =>
      [1, 2, 3].flatMap((starts) => [0, 3, 30].map((published) => ({ back, away, state, starts, published }))),
    ),
  ),
)

describe("a log whose only segment is not full", () => {
  test.each(restores)(
    "its $away away for $starts starts that publish $published events each, and its $back back, the state $state",
    async ({ back, away, state, starts, published }) => {
      const host = machine()
      let log = await host.open()
      await host.append(log, 0, 8)
      await host.run(log.close())
      const files = host.disk.files().map(({ name }) => [name, host.bytesOf(name)] as const)
      const gone: Appended[] = []
      const isMoved = (name: string) => away === "directory" || name.endsWith(".segment")
      for (const [name] of files) if (isMoved(name)) await host.remove(name)
      for (let start = 0; start < starts; start++) {
        if (start > 0 && state === "rebuilt meanwhile") host.store.lose()
        log = await host.open()
        expect(stretches(log.health())).toEqual([
          expect.stringContaining("missing: log/00000000008.segment (cursors 00000000008 to "),
        ])
        gone.push(...(await host.append(log, 1_000 * (start + 1), published)))
        await host.run(log.close())
      }
      if (back === "directory") for (const { name } of host.disk.files()) await host.remove(name)
      for (const [name, bytes] of files)
        if (back === "directory" || name.endsWith(".segment")) await host.put(name, bytes)
      if (state === "lost") host.store.lose()
      const isGone = back === "directory" && published > 0 && state !== "lost"
      const there = 8 + (back === "directory" ? 0 : published * starts)
      for (let start = 0; start < 3; start++) {
        host.found.length = 0
        log = await host.open()
        expect(await host.all(log)).toHaveLength(there + start)
        const told = stretches(log.health()).map((line) =>
          /^missing: .* \(cursors (\w+) to (\w+)\)/.exec(line)!.slice(1),
        )
        const isLost = ({ cursor }: Appended) => told.some(([from, to]) => from! <= cursor && cursor < to!)
        expect(told).toHaveLength(isGone ? 1 : 0)
        if (!isGone) expect(log.health()).toEqual([])
        expect(gone.filter((each) => isGone && !isLost(each))).toEqual([])
        expect(log.figures().log_missing_bytes).toBeLessThan(7 * segmentBytes)
        const isTold = start === 0 && !(back === "directory" && state === "lost")
        const isOlder = start === 0 && back === "directory" && state !== "lost" && published === 0
        const lines = [
          ...(isOlder ? [/^log\/ is as it was before cursor 0/] : []),
          ...(isTold ? [/^found again: /] : []),
        ]
        expect(host.found).toEqual(lines.map((line) => expect.stringMatching(line)))
        await host.append(log, 9_000 + start, 1)
        await host.run(log.close())
        if (start === 1) host.store.lose()
      }
    },
  )
})

test("several files that are gone are told by where they were", async () => {
  for (const kept of [0, 1]) {
    const host = machine()
    let log = await host.open()
    await host.append(log, 0, published)
    await host.run(log.close())
    const [first, ...others] = host.segments()
    for (const name of kept === 0 ? [first!, ...others] : others) await host.remove(name)
    log = await host.open()
    const files = kept === 0 ? "the first files of log/" : `files of log/ after ${first}`
    expect(log.health()).toContainEqual(expect.stringContaining(`missing: ${files} (cursors `))
  }
})

test("a log copied before its state was is told to end where it ends, and not where the state begins", async () => {
  const host = machine()
  let log = await host.open()
  await host.append(log, 0, 20)
  const copy = host.segments().map((name) => [name, host.bytesOf(name)] as const)
  const later = await host.append(log, 20, 40)
  await host.run(log.close())
  for (const name of host.segments()) await host.remove(name)
  for (const [name, data] of copy) await host.put(name, data)
  log = await host.open()
  const told = stretches(log.health()).map((line) => /cursors (\w+) to (\w+)/.exec(line)!.slice(1))
  expect(told).toHaveLength(2)
  const isTold = (cursor: string) => told.some(([from, to]) => from! <= cursor && cursor < to!)
  expect(later.filter(({ cursor }) => !isTold(cursor))).toEqual([])
})

test("what the hub's own records told before the first one that is left is lost, and said to be", async () => {
  const { host } = await harmed(harms[0]!, true)
  const log = await host.open()
  expect(log.health()).toContainEqual(
    expect.stringMatching(
      /^the hub's own records before cursor 0000\w+ are lost: triggers, destinations, keys and topics made before then are missing/,
    ),
  )
})
