import fc from "fast-check"
import { expect, test } from "vitest"
import type { Retention } from "../../../core/resources.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import type { Store } from "../store.ts"
import { type Block, blockEntries, type IndexEntry } from "./block.ts"
import { groupBlocks, hashOfKey } from "./block-filters.ts"
import { avalanche, type Hash } from "./hash.ts"
import { statsOf, trimPoint } from "./kept.ts"
import { TopicIndex } from "./topic-index.ts"

const recordBytes = 512
const entry = (n: number, key: number): IndexEntry => ({
  position: 8 + n * recordBytes,
  storedAt: n,
  hashLow: avalanche(n + 1),
  hashHigh: avalanche(n ^ 0x55555555),
  key,
  bytes: recordBytes,
})

/** A store that counts the rows and bytes that are read from it. */
function counted(store: Store) {
  const read = { rows: 0, bytes: 0 }
  const count = (value: Uint8Array | undefined) => {
    read.rows++
    read.bytes += value?.length ?? 0
    return value
  }
  const counting: Store = {
    get: (table, key) => count(store.get(table, key)),
    *range(table, range) {
      for (const entry of store.range(table, range)) {
        count(entry.value)
        yield entry
      }
    },
    write: (writes) => store.write(writes),
    flushed: () => store.flushed(),
    close: () => store.close(),
  }
  return { counting, read }
}

function indexUnderTest() {
  const clock = createSimulatedClock()
  const store = createSimulatedStore({ chance: createSimulatedChance("index"), latencyMs: () => 0.1 })
  const { counting, read } = counted(store.mount(createPower({ clock })))
  const open = () => new TopicIndex(counting, "acme", "orders")
  const flush = async (index: TopicIndex, durable = Number.MAX_SAFE_INTEGER) => {
    const flush = index.flush(durable)
    if (flush === undefined) return
    await runUntil(clock, counting.write(flush.writes))
    flush.done()
  }
  const trim = (index: TopicIndex, position: number) => runUntil(clock, index.trim(position))
  const drop = (index: TopicIndex, positions: readonly number[]) => runUntil(clock, index.drop(positions))
  const mend = (index: TopicIndex) => runUntil(clock, index.mendGone())
  return { open, flush, trim, drop, mend, read, rows: () => store.entries("index") }
}

/** As a hub fills it, and starts anew then. */
async function filled(events: number) {
  const { open, flush, ...rest } = indexUnderTest()
  const index = open()
  for (let n = 0; n < events; n++) {
    index.add(entry(n, avalanche(n) || 1))
    if (n % 16_384 === 0) await flush(index)
  }
  await flush(index)
  return { ...rest, flush, index: open() }
}

const positions = (blocks: Iterable<Block>, wanted: (block: Block, i: number) => boolean): number[] => {
  const found: number[] = []
  for (const block of blocks) {
    for (let i = block.count - 1; i >= 0; i--) if (wanted(block, i)) found.push(block.positions[i]!)
  }
  return found
}
const withKey = (index: TopicIndex, key: number) =>
  positions(index.holding(hashOfKey(key)), (block, i) => block.keys[i] === key)
const withId = (index: TopicIndex, { low, high }: Hash, from?: number, to?: number) =>
  positions(index.holding({ low, high }, from, to), (block, i) => block.lows[i] === low && block.highs[i] === high)

test("a key or an id that is not there costs no more in a large topic than in a small one", async () => {
  const cost = async (events: number) => {
    const { index, read } = await filled(events)
    const before = { ...read }
    for (let n = 0; n < 100; n++) {
      expect(withKey(index, avalanche(1_000_000 + n))).toEqual([])
      expect(withId(index, { low: avalanche(5_000_000 + n), high: n })).toEqual([])
    }
    return { rows: (read.rows - before.rows) / 200, bytes: (read.bytes - before.bytes) / 200 }
  }
  const perGroup = groupBlocks * blockEntries
  const small = await cost(perGroup - blockEntries)
  const large = await cost(8 * perGroup - blockEntries)
  expect(large.rows).toBeLessThan(1.5 * small.rows)
  expect(large.bytes).toBeLessThan(1.5 * small.bytes)
})

test("what a topic holds, and where it is to be trimmed, is told by the blocks' heads", async () => {
  const cost = async (events: number) => {
    const { index, read } = await filled(events)
    const before = read.bytes
    expect(statsOf(index)).toEqual({ events, bytes: events * recordBytes, oldestAt: 0, newestAt: events - 1 })
    const durable = entry(events, 0).position
    for (const keep of [{ eventsMax: 10 }, { bytesMax: 10 * recordBytes }, { ageMaxMs: 10 }]) {
      const dropped = events - 10
      const point = {
        position: entry(events - 11, 0).position + 1,
        events: dropped,
        bytes: dropped * recordBytes,
        newestAt: dropped - 1,
      }
      expect(trimPoint(index, keep, events, durable)).toEqual(point)
    }
    return read.bytes - before
  }
  // A block takes 64 KiB, its head 40 bytes.
  expect(await cost(40 * blockEntries + 100)).toBeLessThan(10 * (64 << 10))
})

test("trims where a naive reading of the retention does", async () => {
  const { index } = await filled(3 * blockEntries + 700)
  const all = Array.from({ length: 3 * blockEntries + 700 }, (_, n) => entry(n, 0))
  const naive = (from: number, keep: Retention, now: number, durable: number) => {
    const kept = all.slice(from)
    let n = 0
    while (
      n < kept.length &&
      kept[n]!.position < durable &&
      (kept[n]!.storedAt < now - (keep.ageMaxMs ?? Number.POSITIVE_INFINITY) ||
        kept.length - n > (keep.eventsMax ?? Number.POSITIVE_INFINITY) ||
        (kept.length - n) * recordBytes > (keep.bytesMax ?? Number.POSITIVE_INFINITY))
    )
      n++
    return {
      position: n === 0 ? kept[0]!.position : kept[n - 1]!.position + 1,
      events: n,
      bytes: n * recordBytes,
      ...(n > 0 && { newestAt: kept[n - 1]!.storedAt }),
    }
  }
  const limit = fc.option(fc.nat(all.length + 10), { nil: undefined })
  const keeps = fc.record({
    age: limit,
    events: limit,
    bytes: limit,
    from: fc.nat(all.length - 1),
    end: fc.nat(all.length),
  })
  fc.assert(
    fc.property(keeps, ({ age, events, bytes, from, end }) => {
      index.trimmedTo = all[from]!.position
      const keep = {
        ...(age !== undefined && { ageMaxMs: age }),
        ...(events !== undefined && { eventsMax: events }),
        ...(bytes !== undefined && { bytesMax: bytes * recordBytes }),
      }
      const durable = entry(Math.max(end, from), 0).position
      expect(trimPoint(index, keep, all.length, durable)).toEqual(naive(from, keep, all.length, durable))
    }),
    { numRuns: 500 },
  )
})

test("the filters go with the events they are over", async () => {
  const events = 3 * groupBlocks * blockEntries
  const { index, trim, flush, rows } = await filled(events)
  await trim(index, entry(2 * groupBlocks * blockEntries + 5, 0).position)
  expect(withKey(index, avalanche(events - 1))).toEqual([entry(events - 1, 0).position])
  expect(rows().filter(({ key }) => key.startsWith("g/"))).toHaveLength(0)
  await trim(index, entry(events, 0).position)
  await flush(index)
  expect(rows()).toEqual([])
})

test("finds every event by key and by id, whatever is flushed, trimmed, dropped, taken back and opened anew between", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("add" as const), count: fc.nat(30_000) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("flush" as const), behind: fc.nat(3_000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), share: fc.nat(100) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("drop" as const),
        from: fc.nat(100),
        count: fc.nat(4_000),
        every: fc.integer({ min: 1, max: 4 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("open" as const), flushed: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("rollback" as const), count: fc.nat(3_000) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 24 }), fc.nat(), async (steps, seed) => {
      const { open, flush, trim, drop, mend } = indexUnderTest()
      let index = open()
      let kept: IndexEntry[] = []
      let durable = 0
      let stored = 0
      let next = 0
      for (const step of steps) {
        if (step.kind === "add") {
          for (let i = 0; i < step.count; i++, next++) {
            const added = entry(next, avalanche(seed + (next % 997)) || 1)
            kept.push(added)
            index.add(added)
          }
        } else if (step.kind === "flush") {
          durable = Math.max(durable, entry(next - step.behind, 0).position)
          await flush(index, durable)
          stored = durable
        } else if (step.kind === "trim") {
          const position = Math.min(durable, kept[Math.floor((kept.length * step.share) / 101)]?.position ?? durable)
          await trim(index, position)
          kept = kept.filter((one) => one.position >= position)
        } else if (step.kind === "drop") {
          const begin = Math.floor((kept.length * step.from) / 101)
          const among = kept.slice(begin, begin + step.count).filter((one) => one.position < durable)
          const going = new Set(among.filter((_, i) => i % step.every === 0).map(({ position }) => position))
          expect(await drop(index, [...going])).toHaveLength(going.size)
          kept = kept.filter((one) => !going.has(one.position))
        } else if (step.kind === "rollback") {
          const position = Math.max(durable, entry(next - step.count, 0).position)
          index.rollback(position)
          kept = kept.filter((one) => one.position < position)
        } else {
          if (step.flushed) await flush(index, durable)
          else durable = stored
          index = open()
          if (index.isToMend) await mend(index)
          for (const one of kept) if (one.position >= durable) index.add(one)
        }
      }
      const left = [...index.blocks(index.trimmedTo)].flatMap((block) => [...block.positions.subarray(0, block.count)])
      expect(left.filter((position) => position >= index.trimmedTo)).toEqual(kept.map(({ position }) => position))
      expect(statsOf(index)).toMatchObject({ events: kept.length, bytes: kept.length * recordBytes })
      expect(index.last ?? -1).toBe(
        Math.max(index.trimmedTo > 0 ? (index.last ?? -1) : -1, kept.at(-1)?.position ?? -1),
      )
      for (let i = 0; i < 20; i++) {
        const one = kept[avalanche(seed + i) % Math.max(1, kept.length)]
        if (one === undefined) break
        const sameKey = kept.filter(({ key }) => key === one.key).map(({ position }) => position)
        const found = withKey(index, one.key).filter((position) => position >= index.trimmedTo)
        expect(found).toEqual(sameKey.reverse())
        const hash = { low: one.hashLow, high: one.hashHigh }
        expect(withId(index, hash)).toEqual([one.position])
        expect(withId(index, hash, one.position, one.position)).toEqual([one.position])
      }
    }),
    { numRuns: 15 },
  )
})

test("an event that comes while all before it is trimmed stays in the index, also after a start", async () => {
  const clock = createSimulatedClock()
  const simulated = createSimulatedStore({ chance: createSimulatedChance("index"), latencyMs: () => 0.1 })
  const store = simulated.mount(createPower({ clock }))
  const journal = Promise.withResolvers<void>()
  // The mark is in the journal before it is in the store; blocks are not.
  const journaled: Store = {
    get: (table, key) => store.get(table, key),
    range: (table, range) => store.range(table, range),
    flushed: () => store.flushed(),
    close: () => store.close(),
    async write(writes) {
      if (writes.some(({ table }) => table === "meta")) await journal.promise
      return store.write(writes)
    },
  }
  const index = new TopicIndex(journaled, "acme", "orders")
  const add = async (n: number) => {
    index.add(entry(n, 1))
    const { writes, done } = index.flush(Number.MAX_SAFE_INTEGER)!
    await runUntil(clock, store.write(writes))
    done()
  }
  for (let n = 0; n < 3; n++) await add(n)
  const trimmed = index.trim(entry(3, 0).position)
  await add(3)
  journal.resolve()
  await runUntil(clock, trimmed)
  for (const each of [index, new TopicIndex(store, "acme", "orders")]) {
    const kept = positions(each.blocks(each.trimmedTo), (block, i) => block.positions[i]! >= each.trimmedTo)
    expect(kept).toEqual([entry(3, 0).position])
  }
})

test("of two trims at once the one that reaches further holds, whichever comes last", async () => {
  for (const order of [
    [900, 100],
    [100, 900],
  ]) {
    const clock = createSimulatedClock(1_000_000)
    const store = createSimulatedStore({ chance: createSimulatedChance("trims") }).mount(createPower({ clock }))
    const index = new TopicIndex(store, "acme", "orders")
    for (let n = 0; n < 10; n++) index.add(entry(n, 0))
    await runUntil(
      clock,
      Promise.all(order.map((position) => index.trim(position))).then(() => {}),
    )
    expect(new TopicIndex(store, "acme", "orders").trimmedTo).toBe(900)
  }
})
