import fc from "fast-check"
import { expect, test } from "vitest"
import { KeyRound } from "./key-round.ts"

const keyOf = (n: number) => `&acme/d1 t1 ${String(n).padStart(5, "0")} `

/** Asks as the queue does; answers the keys in the order in which they were asked. */
function ask(round: KeyRound, all: readonly string[], times = Number.POSITIVE_INFINITY): readonly string[] {
  const asked: string[] = []
  // Ends: with the keys, or with so many.
  while (round.isLeft && asked.length < times) {
    const { range } = round
    const prefix = range === undefined ? round.take() : all.find((key) => key >= range.start && key < range.end)
    if (prefix === undefined) round.end()
    else {
      if (range !== undefined) round.passed(prefix)
      asked.push(prefix)
    }
  }
  return asked
}

test("a key that is added is asked once after that, whatever was added and asked before", () => {
  const all = Array.from({ length: 12 }, (_, n) => keyOf(n))
  const step = fc.oneof(
    fc.record({ add: fc.nat(11) }),
    fc.record({ ask: fc.integer({ min: 1, max: 5 }) }),
    fc.constant({}),
  )
  const property = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const round = new KeyRound("acme/d1")
    const owed = new Set<string>()
    for (const { add, ask: times } of steps as readonly { add?: number; ask?: number }[]) {
      if (add !== undefined) {
        round.add(all[add]!)
        owed.add(all[add]!)
      } else if (times === undefined) {
        round.all()
        for (const key of all) owed.add(key)
      } else for (const key of ask(round, all, times)) owed.delete(key)
    }
    for (const key of ask(round, all)) owed.delete(key)
    expect([...owed]).toEqual([])
    expect(round.isLeft).toBe(false)
  })
  fc.assert(property)
})

test("those that wait have their turns in the order in which they came, and no other key is asked", () => {
  const all = Array.from({ length: 10_000 }, (_, n) => keyOf(n))
  const round = new KeyRound("acme/d1")
  for (const n of [7, 9_000, 3, 7]) round.add(keyOf(n))
  expect(ask(round, all)).toEqual([7, 9_000, 3].map(keyOf))
})

test("where more wait than are kept by name every key is asked once", () => {
  const all = Array.from({ length: 2_000 }, (_, n) => keyOf(n))
  const round = new KeyRound("acme/d1")
  for (const key of all.slice(0, 1_500).reverse()) round.add(key)
  expect(ask(round, all)).toEqual(all)
})
