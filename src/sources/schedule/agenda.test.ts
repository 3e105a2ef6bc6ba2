import { expect, test } from "vitest"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { Agenda, type Wanted } from "./agenda.ts"

const start = 1_000_000

function begin() {
  const clock = createSimulatedClock(start)
  return { clock, agenda: new Agenda<string>(clock) }
}

async function taken(agenda: Agenda<string>): Promise<readonly string[]> {
  await agenda.look()
  const items: string[] = []
  for (let item = agenda.take(); item !== undefined; item = agenda.take()) items.push(item)
  return items
}

test("what is due comes in the order of its times, and what came due earlier comes first", async () => {
  const { clock, agenda } = begin()
  agenda.put("late", { now: start + 30 })
  agenda.put("early", { now: start + 10 })
  agenda.put("next", { now: start + 20 })
  expect(agenda.waitMs()).toBe(10)
  await clock.advance(20)
  await agenda.look()
  agenda.put("older", { now: start })
  expect(await taken(agenda)).toEqual(["early", "next", "older"])
  expect(agenda.waitMs()).toBe(10)
})

test("of two times the first one counts, each by its own clock", async () => {
  const { clock, agenda } = begin()
  agenda.put("both", { now: start + 50, steady: clock.steady() + 10 })
  agenda.put("steady", { steady: clock.steady() + 40 })
  clock.set(-1_000)
  expect(agenda.waitMs()).toBe(10)
  await clock.advance(10)
  expect(await taken(agenda)).toEqual(["both"])
  clock.set(5_000)
  expect(await taken(agenda)).toEqual([])
  expect(agenda.waitMs()).toBe(30)
})

test("what is taken, removed or wants nothing is not there", async () => {
  const { agenda } = begin()
  agenda.put("never", {})
  agenda.put("gone", { now: 0, steady: 0 })
  agenda.put("due and gone", { now: 0 })
  await agenda.look()
  agenda.remove("gone")
  agenda.remove("due and gone")
  agenda.remove("unknown")
  expect(await taken(agenda)).toEqual([])
  expect(agenda.waitMs()).toBe(Number.POSITIVE_INFINITY)
})

test("whatever is put, moved and removed, what is due is what a list would have", async () => {
  const { clock, agenda } = begin()
  const chance = createSimulatedChance(7, clock)
  const below = (max: number) => Math.floor(chance.next() * max)
  const wanted = new Map<string, Wanted>()
  for (let round = 0; round < 300; round++) {
    for (let i = below(12); i > 0; i--) {
      const item = `item ${below(60)}`
      const when = { now: clock.now() + below(500) + 1, steady: clock.steady() + below(500) + 1 }
      wanted.delete(item)
      if (below(4) === 0) agenda.remove(item)
      else {
        wanted.set(item, when)
        agenda.put(item, when)
      }
    }
    await clock.advance(below(40))
    const due = [...wanted].filter(([, { now, steady }]) => now! <= clock.now() || steady! <= clock.steady())
    for (const [item] of due) wanted.delete(item)
    expect([...(await taken(agenda))].toSorted()).toEqual(due.map(([item]) => item).toSorted())
    const waits = [...wanted.values()].map(({ now, steady }) => Math.min(now! - clock.now(), steady! - clock.steady()))
    expect(agenda.waitMs()).toBe(Math.min(Number.POSITIVE_INFINITY, ...waits))
  }
})

test("to look at many gives others their turn", async () => {
  const clock = createSimulatedClock(start)
  let reads = 0
  let turns = 0
  // Each look at this clock takes a millisecond.
  const agenda = new Agenda<number>({
    now: clock.now,
    steady: () => clock.steady() + reads++,
    after(_, run) {
      turns++
      queueMicrotask(run)
      return () => {}
    },
  })
  for (let i = 0; i < 100; i++) agenda.put(i, { now: 0 })
  await agenda.look()
  expect(turns).toBeGreaterThan(10)
})
