import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import { LeaseLostError, StorageFullError } from "../../core/errors.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "../../testing/clock.ts"
import { queueConformance } from "../conformance/queue.ts"
import { delivery, ids, lane, letter, take, takeOne } from "../conformance/queue-fixture.ts"
import { directoryHarness } from "./directory-harness.fixture.ts"
import { formatPosition } from "./index/position.ts"
import { openQueue, type StoredQueue } from "./queue.ts"
import type { Store } from "./store.ts"
import { openLmdbStore } from "./store-lmdb.ts"

const cursors = (count: number, first = 1_000) =>
  Array.from({ length: count }, (_, i) => formatPosition(first + i * 8) as Cursor)

// With the memory it has in the field it is tested as a part of its engine.
queueConformance("embedded, with next to no memory", () => {
  let last = 0
  return directoryHarness(async (directory, clock) => {
    const store = openLmdbStore(directory)
    const queue = await openQueue({ store, clock, laneReadyMax: 2, readyMax: 2 })
    return {
      opened: {
        queue,
        async cursors(count) {
          last += 1_000_000
          return cursors(count, last)
        },
      },
      written: () => store.write([]),
      abandon: () => store.close(),
      async close() {
        await queue.close()
        await store.close()
      },
    }
  })
})

let directory: string
let store: Store
let clock: SimulatedClock
/** While it is set the store refuses every write. */
let full: boolean

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "redcar-queue-"))
  store = openLmdbStore(directory)
  clock = createSimulatedClock(1_700_000_000_000)
  full = false
})

afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true, force: true })
})

const refusing: Store = {
  get: (table, key) => store.get(table, key),
  range: (table, range) => store.range(table, range),
  write: (writes) => (full ? Promise.reject(new StorageFullError("full")) : store.write(writes)),
  flushed: () => store.flushed(),
  close: () => store.close(),
}

const open = (options = {}) => openQueue({ store: refusing, clock, ...options })

test("the backlog tells of each destination how much is open, and since when its oldest event's delivery is due", async () => {
  const queue = await open()
  const [parked, held, due] = cursors(3).map((cursor, i) => delivery(cursor, { destination: i < 2 ? "d1" : "d2" }))
  const shown = () => queue.backlog().map(({ oldestDueAt, ...lane }) => ({ ...lane, since: oldestDueAt() }))
  const since = clock.now()
  await queue.enqueue([parked!, held!])
  await clock.advance(1_000)
  await queue.enqueue([due!])
  for (const lease of await take(queue, 10)) {
    if (lease.delivery.id === parked!.id) await queue.end(lease, { kind: "retry", delayMs: 60_000 })
    if (lease.delivery.id === held!.id) await queue.end(lease, { kind: "hold" })
  }
  const { tenant } = due!
  const [one, two] = [
    { tenant, destination: "d1", open: 2, since },
    { tenant, destination: "d2", open: 1, since: since + 1_000 },
  ]
  expect(shown()).toEqual([one, two])
  await queue.close()
  const again = await open()
  expect(again.backlog().map(({ open, oldestDueAt }) => [open, oldestDueAt()])).toEqual(
    expect.arrayContaining([
      [2, since],
      [1, since + 1_000],
    ]),
  )
  await again.close()
})

describe("memory", () => {
  test("holds a bounded part of what is due, before and after a start", async () => {
    const all = cursors(20_000).map((cursor, i) => delivery(cursor, { destination: i % 4 === 0 ? "d2" : "d1" }))
    let queue = await open({ laneReadyMax: 100 })
    for (let i = 0; i < all.length; i += 1_000) await queue.enqueue(all.slice(i, i + 1_000))
    expect(queue.figures()).toEqual({ lanes: 2, deliveries_open: 20_000, deliveries_in_memory: 200, leases: 0 })
    await queue.close()
    queue = await open({ laneReadyMax: 100 })
    expect(queue.figures()).toEqual({ lanes: 2, deliveries_open: 20_000, deliveries_in_memory: 0, leases: 0 })
    let left = 15_000
    for (let leases = await take(queue, 64); leases.length > 0; leases = await take(queue, 64)) {
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
      left -= leases.length
      expect(queue.figures().deliveries_in_memory).toBeLessThanOrEqual(200)
      expect(queue.figures().deliveries_open).toBe(left + 5_000)
    }
    expect(left).toBe(0)
    expect(queue.figures()).toMatchObject({ lanes: 1, leases: 0 })
  })

  test("is shared by all lanes, and none starves", async () => {
    const names = Array.from({ length: 20 }, (_, i) => `d${i}`)
    const all = cursors(4_000).map((cursor, i) => delivery(cursor, { destination: names[i % 20]! }))
    const queue = await open({ readyMax: 500 })
    await queue.enqueue(all)
    expect(queue.figures().deliveries_in_memory).toBeLessThanOrEqual(500 + 20 * 16)
    for (const name of names) expect(await take(queue, 50, `acme/${name}`)).toHaveLength(50)
  })

  test("is given back: what has nothing open costs nothing", async () => {
    const queue = await open()
    await queue.enqueue(cursors(50).map((cursor, i) => delivery(cursor, { destination: `d${i}` })))
    for (let i = 0; i < 50; i++) await queue.end(await takeOne(queue, `acme/d${i}`), { kind: "done" })
    expect(queue.figures()).toEqual({ lanes: 0, deliveries_open: 0, deliveries_in_memory: 0, leases: 0 })
    expect([...store.range("deliveries")]).toEqual([])
    expect([...store.range("parked")]).toEqual([])
  })
})

describe("a store that refuses", () => {
  const [a, b] = cursors(2)
  const both = [delivery(a!), delivery(b!)]

  for (const options of [{}, { laneReadyMax: 1 }]) {
    test(`an enqueue leaves nothing behind, and can be made again (${JSON.stringify(options)})`, async () => {
      const queue = await open(options)
      full = true
      await expect(queue.enqueue(both, { reader: "router", cursor: b! })).rejects.toThrow(StorageFullError)
      expect([await queue.depth(lane), await queue.position("router"), await take(queue)]).toEqual([0, undefined, []])
      full = false
      await queue.enqueue(both, { reader: "router", cursor: b! })
      expect(ids(await take(queue))).toEqual(both.map((d) => d.id))
    })
  }

  test("a delivery that was leased before its enqueue was refused is lost to who leased it", async () => {
    const queue = await open()
    full = true
    const refused = queue.enqueue(both)
    const [lease] = await take(queue)
    await expect(refused).rejects.toThrow(StorageFullError)
    full = false
    await expect(queue.end(lease!, { kind: "done" })).rejects.toThrow(LeaseLostError)
    expect(queue.figures()).toEqual({ lanes: 0, deliveries_open: 0, deliveries_in_memory: 0, leases: 0 })
  })

  const ends: Record<string, (queue: StoredQueue, lease: Awaited<ReturnType<typeof takeOne>>) => Promise<void>> = {
    done: (queue, lease) => queue.end(lease, { kind: "done" }),
    retry: (queue, lease) => queue.end(lease, { kind: "retry", delayMs: 100 }),
    bury: (queue, lease) => queue.end(lease, { kind: "dead", letter: letter(lease.delivery) }),
    release: (queue, lease) => queue.end(lease, { kind: "release", delayMs: 100 }),
    hold: (queue, lease) => queue.end(lease, { kind: "hold" }),
  }
  test.each(Object.entries(ends))(
    "the end of a lease (%s): it is held on, and can be ended again, or lapses",
    async (_name, end) => {
      const queue = await open()
      await queue.enqueue(both)
      const [first, second] = await take(queue)
      full = true
      await expect(end(queue, first!)).rejects.toThrow(StorageFullError)
      await expect(end(queue, second!)).rejects.toThrow(StorageFullError)
      expect(await queue.open(both[0]!)).toMatchObject({ state: "leased" })
      await clock.advance(1_000)
      full = false
      await end(queue, first!)
      expect(await queue.open(both[1]!)).toMatchObject({ state: "leased" })
      await clock.advance(1_100)
      expect(await queue.open(both[1]!)).toMatchObject({ state: "due", attempts: 1 })
      await expect(end(queue, second!)).rejects.toThrow(LeaseLostError)
    },
  )

  test("a redrive: the letter stays", async () => {
    const queue = await open()
    await queue.enqueue([both[0]!])
    await queue.end(await takeOne(queue), { kind: "dead", letter: letter(both[0]!) })
    full = true
    await expect(queue.redrive("acme", both[0]!.id)).rejects.toThrow(StorageFullError)
    expect([await queue.depth(lane), (await queue.deadLetters({ tenant: "acme", limit: 9 })).length]).toEqual([0, 1])
    full = false
    expect(await queue.redrive("acme", both[0]!.id)).toBe(true)
    await takeOne(queue)
  })

  test("a drop, a resume and the moving of what comes due: all is found again", async () => {
    const queue = await open({ laneReadyMax: 1 })
    const all = cursors(6).map((cursor) => delivery(cursor))
    await queue.enqueue(all)
    const leases = await take(queue, 4)
    await queue.end(leases[0]!, { kind: "hold" })
    for (const lease of leases.slice(1, 4)) await queue.end(lease, { kind: "retry", delayMs: 100 })
    full = true
    await clock.advance(200)
    await expect(queue.resume("acme", "t1", "i1")).rejects.toThrow(StorageFullError)
    await expect(queue.drop("acme", "t1", "i1")).rejects.toThrow(StorageFullError)
    full = false
    for (let i = 0; i < 3; i++) {
      await clock.advance(1_000)
      await store.write([])
      await quiesce()
    }
    expect(await queue.resume("acme", "t1", "i1")).toBe(1)
    expect(await queue.depth(lane)).toBe(6)
    expect(ids(await take(queue, 10))).toEqual(all.map((d) => d.id))
    expect(await queue.drop("acme", "t1", "i1")).toBe(6)
    expect(queue.figures()).toEqual({ lanes: 0, deliveries_open: 0, deliveries_in_memory: 0, leases: 0 })
  })

  test("opening: what is there can be read and leased", async () => {
    let queue = await open()
    await queue.enqueue(both)
    await queue.close()
    full = true
    queue = await open()
    expect(ids(await take(queue))).toEqual(both.map((d) => d.id))
  })
})

describe("what overlaps", () => {
  test("a lane that is drained faster than its rows are written loses none of them", async () => {
    const queue = await open({ laneReadyMax: 2 })
    const all = cursors(5).map((cursor) => delivery(cursor))
    const heard = queue.lanes(new AbortController().signal)[Symbol.asyncIterator]()
    const first = heard.next()
    const written = queue.enqueue(all)
    expect((await first).value).toBe(lane)
    expect(ids(await take(queue))).toEqual(all.slice(0, 2).map((d) => d.id))
    await written
    expect((await heard.next()).value).toBe(lane)
    expect(ids(await take(queue))).toEqual(all.slice(2).map((d) => d.id))
    await queue.close()
  })

  test("a delivery that becomes readable by a lease before its redrive knows of it is leased once", async () => {
    const all = cursors(3).map((cursor) => delivery(cursor))
    let queue = await open()
    await queue.enqueue(all)
    const [first, second] = await take(queue, 2)
    await queue.end(first!, { kind: "release", delayMs: 0 })
    await queue.end(second!, { kind: "dead", letter: letter(all[1]!) })
    await queue.close()
    queue = await open()
    const early = queue.forget("nobody").then(() => take(queue))
    await queue.redrive("acme", all[1]!.id)
    expect(ids([...(await early), ...(await take(queue))]).toSorted()).toEqual(all.map((d) => d.id))
    expect(await queue.depth(lane)).toBe(3)
  })

  test("a delivery that is being parked while its trigger is dropped is dropped", async () => {
    const queue = await open()
    await queue.enqueue([delivery(cursors(1)[0]!)])
    const lease = await takeOne(queue)
    const dropped = queue.drop("acme", "t1", "i1")
    await new Promise(setImmediate)
    const parked = queue.end(lease, { kind: "retry", delayMs: 10 }).catch((error: unknown) => error)
    expect(await dropped).toBe(1)
    await parked
    expect(queue.figures()).toEqual({ lanes: 0, deliveries_open: 0, deliveries_in_memory: 0, leases: 0 })
    expect([...store.range("parked")]).toEqual([])
  })
})

describe("a clock that jumps", () => {
  test("a lease is over when its time is, though its timer comes late", async () => {
    const queue = await open()
    await queue.enqueue([delivery(cursors(1)[0]!)])
    const lease = await takeOne(queue)
    clock.jump(10_000)
    await expect(queue.end(lease, { kind: "done" })).rejects.toThrow(LeaseLostError)
    await clock.advance(0)
    expect((await takeOne(queue)).attempt).toBe(2)
  })

  test("what is parked after a jump back comes due in its time", async () => {
    const queue = await open()
    await queue.enqueue([delivery(cursors(1)[0]!)])
    await queue.end(await takeOne(queue), { kind: "retry", delayMs: 5_000 })
    await clock.advance(5_000)
    const second = await takeOne(queue)
    clock.jump(-60_000)
    await queue.end(second, { kind: "retry", delayMs: 100 })
    await clock.advance(100)
    expect((await takeOne(queue)).attempt).toBe(3)
  })
})

test("a delivery whose id does not say its event and trigger is one like any other", async () => {
  const [a, b] = cursors(2)
  let queue = await open()
  const odd = { ...delivery(a!), id: `${a}.t1.replay` }
  await queue.enqueue([delivery(a!), odd, delivery(b!)])
  await queue.end((await take(queue))[1]!, { kind: "retry", delayMs: 100 })
  await queue.close()
  clock.jump(100)
  queue = await open()
  expect((await take(queue)).map((lease) => lease.delivery)).toEqual([delivery(a!), odd, delivery(b!)])
})

test("a closed queue takes nothing more and ends who listens", async () => {
  const queue = await open()
  const heard = queue.lanes(new AbortController().signal)[Symbol.asyncIterator]()
  const next = heard.next()
  await queue.enqueue([delivery(cursors(1)[0]!)])
  expect((await next).value).toBe(lane)
  const lease = await takeOne(queue)
  const end = heard.next()
  await queue.close()
  expect((await end).done).toBe(true)
  await expect(queue.enqueue([])).rejects.toThrow()
  await expect(queue.end(lease, { kind: "done" })).rejects.toThrow()
  await expect(queue.redrive("acme", "x")).rejects.toThrow()
  expect(await take(queue)).toEqual([])
})

test("what is parked is found within seconds of the clock's being set beyond its time", async () => {
  const queue = await openQueue({ store, clock })
  await queue.enqueue([delivery(cursors(1)[0]!)])
  await queue.end(await takeOne(queue), { kind: "retry", delayMs: 3_600_000 })
  clock.set(3_600_000)
  await clock.advance(5_000)
  expect(await take(queue, 1)).toHaveLength(1)
  await queue.close()
})

test("where thousands of order keys wait for their retries, what one that flows costs does not grow with them", async () => {
  let reads = 0
  const counting: Store = {
    ...refusing,
    range(table, range) {
      reads++
      return store.range(table, range)
    },
  }
  const queue = await openQueue({ store: counting, clock, laneReadyMax: 2 })
  const places = cursors(3_200)
  await queue.enqueue(places.slice(0, 3_000).map((cursor, i) => delivery(cursor, { orderKey: `k${i}` })))
  for (let parked = 0; parked < 3_000; ) {
    const leases = await take(queue, 500)
    await Promise.all(leases.map((lease) => queue.end(lease, { kind: "retry", delayMs: 3_600_000 })))
    parked += leases.length
  }
  // A call looks at so many keys at most: the rounds that are under way end first.
  for (let i = 0; i < 20; i++) expect(await take(queue)).toEqual([])
  const flowing = places.slice(3_000).map((cursor, i) => delivery(cursor, { orderKey: `z${i % 4}` }))
  await queue.enqueue(flowing)
  reads = 0
  const taken: string[] = []
  // Ends: with those that flow; a take without any fails the test.
  while (taken.length < flowing.length) {
    const leases = await take(queue, 3)
    expect(leases).not.toEqual([])
    taken.push(...ids(leases))
    for (const lease of leases) await queue.end(lease, { kind: "done" })
  }
  for (const key of [0, 1, 2, 3])
    expect(taken.filter((id) => flowing.findIndex((each) => each.id === id) % 4 === key)).toEqual(
      ids(flowing.filter((_, i) => i % 4 === key).map((each) => ({ delivery: each }) as never)),
    )
  expect(reads).toBeLessThan(4 * flowing.length)
  await queue.close()
})
