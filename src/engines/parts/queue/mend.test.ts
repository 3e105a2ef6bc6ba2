import fc from "fast-check"
import { expect, test } from "vitest"
import { sleep } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { DeliveryQueue } from "../../../core/queue.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import { delivery, lane, letter, take } from "../../conformance/queue-fixture.ts"
import { formatPosition } from "../index/position.ts"
import { openQueue } from "../queue.ts"
import type { Store, Write } from "../store.ts"
import { mendRows } from "./mend.ts"
import { putParked } from "./row.ts"

const hour = 3_600_000
const count = 6

/** Leases what is due, and ends each lease in the way that is next. */
const endings = fc.array(
  fc.constantFrom("done", "retry", "hold", "later", "resume", "bury", "redrive", "keep", "unlock"),
  {
    minLength: 4,
    maxLength: 30,
  },
)

function machine() {
  const clock = createSimulatedClock(1_700_000_000_000)
  const empty = () => {
    const store = createSimulatedStore({ chance: createSimulatedChance("mend"), latencyMs: () => 0 })
    return store.mount(createPower({ clock }))
  }
  return { clock, empty, run: <T>(work: Promise<T>) => runUntil(clock, work) }
}

async function leasedIds(queue: DeliveryQueue): Promise<readonly string[]> {
  const { deliveries } = await queue.openDeliveries({ tenant: "acme", state: "leased", limit: 100 })
  return deliveries.map(({ delivery }) => delivery.id)
}

/** All that a queue wrote, step by step. */
async function written({ clock, empty, run }: ReturnType<typeof machine>, how: readonly string[]) {
  const store = empty()
  const steps: (readonly Write[])[] = []
  const recording: Store = {
    get: (table, key) => store.get(table, key),
    range: (table, range) => store.range(table, range),
    flushed: () => store.flushed(),
    close: () => store.close(),
    write(writes) {
      steps.push([...writes])
      return store.write(writes)
    },
  }
  const queue = await run(openQueue({ store: recording, clock }))
  await run(queue.enqueue(Array.from({ length: count }, (_, i) => delivery(formatPosition(1_000 + 8 * i) as Cursor))))
  for (const each of how) {
    if (each === "resume") await run(queue.resume("acme", "t1", "i1"))
    if (each === "redrive") {
      for (const { id } of await run(queue.deadLetters({ tenant: "acme", limit: 1 })))
        await run(queue.redrive("acme", id))
    }
    if (each === "later") await run(sleep(clock, hour))
    if (each === "unlock") await run(queue.anywhere.unlock(lane, await leasedIds(queue)))
    const [lease] = await take(queue, 1)
    if (lease === undefined) continue
    if (each === "done") await run(queue.end(lease, { kind: "done" }))
    else if (each === "bury") await run(queue.end(lease, { kind: "dead", letter: letter(lease.delivery) }))
    else if (each === "keep") await run(queue.anywhere.keep(lane, [{ token: lease.token, id: lease.delivery.id }]))
    else if (each === "hold") await run(queue.end(lease, { kind: "hold" }))
    else await run(queue.end(lease, { kind: "retry", delayMs: hour / 2 }))
  }
  await run(queue.close())
  return steps
}

test("of rows whose changes are lost in part each is there once, and comes due", async () => {
  const holes = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 4 }))
  await fc.assert(
    fc.asyncProperty(endings, holes, async (how, [at, length]) => {
      const host = machine()
      const { clock, run } = host
      const steps = await written(host, how)
      const from = at % steps.length
      const store = host.empty()
      for (const step of steps.toSpliced(from, length)) await run(store.write(step))
      const queue = await run(openQueue({ store, clock, isTorn: true }))
      await run(queue.resume("acme", "t1", "i1"))
      await run(sleep(clock, 2 * hour))
      await run(queue.anywhere.unlock(lane, await leasedIds(queue)))
      const open = queue.figures().deliveries_open
      const leases = await take(queue, 100)
      expect(new Set(leases.map(({ delivery }) => delivery.id)).size).toBe(leases.length)
      expect(leases).toHaveLength(open!)
      const dead = await run(queue.deadLetters({ tenant: "acme", limit: 100 }))
      expect(dead.filter(({ id }) => leases.some(({ delivery }) => delivery.id === id))).toEqual([])
      for (const lease of leases) await run(queue.end(lease, { kind: "done" }))
      expect(await queue.depth(lane)).toBe(0)
      await run(queue.close())
      expect([...store.range("deliveries"), ...store.range("parked")]).toEqual([])
    }),
    { numRuns: 300 },
  )
})

test("others get a turn while many rows are looked at", async () => {
  const { clock, empty, run } = machine()
  const store = empty()
  const writes: Write[] = []
  for (let i = 0; i < 5_000; i++) {
    const state = { attempts: 1, forgiven: 0, firstDueAt: 0, dueAt: clock.now() + hour, held: false, behind: false }
    putParked(writes, lane, delivery(formatPosition(1_000 + 8 * i) as Cursor), state)
  }
  await run(store.write(writes))
  let turns = 0
  let isOver = false
  const count = () => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await mendRows(store)
  isOver = true
  expect(turns).toBeGreaterThanOrEqual(10)
})
