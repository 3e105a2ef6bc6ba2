import { expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { Lag, type LagSource } from "./lag.ts"

const cursor = (place: number) => String(place).padStart(6, "0") as Cursor
const compare = (a: Cursor, b: Cursor) => Number(a) - Number(b)

type Looks = readonly (readonly [here: number, end: number])[]

/** Looks every 5 s; each look is where the reader is and where the log ends. Answers after which looks it was behind. */
async function behind(looks: Looks, holdsEvent: LagSource["holdsEvent"] = async () => true) {
  const lag = new Lag(30_000, { compare, holdsEvent })
  const found: boolean[] = []
  for (const [i, [here, end]] of looks.entries()) {
    await lag.look(cursor(here), cursor(end), i * 5_000)
    found.push(lag.isBehind)
  }
  return found
}

const times = <T>(count: number, of: (i: number) => T) => Array.from({ length: count }, (_, i) => of(i))

test("a reader that follows is not behind, however much it reads", async () => {
  expect(await behind(times(100, (i) => [i * 1_000, i * 1_000 + 500]))).not.toContain(true)
})

test("one that stands still is behind after a while, and no more when it is at the end", async () => {
  const looks = await behind([...times(12, (i) => [10, 20 + i] as const), [40, 40], [40, 40]])
  expect(looks).toEqual([...times(7, () => false), ...times(5, () => true), false, false])
})

test("one that reads on a minute late stays behind", async () => {
  const looks = await behind(times(100, (i) => [Math.max(0, i - 12), i]))
  expect(looks.slice(0, 7)).not.toContain(true)
  expect(looks.slice(9)).not.toContain(false)
})

test("where nothing is published nobody is behind", async () => {
  expect(await behind(times(100, () => [10, 10]))).not.toContain(true)
})

test("nobody is behind what holds no event, and what is found to hold none is not read again", async () => {
  const asked: (readonly [from: Cursor, until: Cursor])[] = []
  const holdsEvent = async (from: Cursor, until: Cursor) => {
    asked.push([from, until])
    return false
  }
  expect(
    await behind(
      times(100, () => [0, 10]),
      holdsEvent,
    ),
  ).not.toContain(true)
  expect(asked).toEqual([[cursor(0), cursor(10)]])
})

test("an event behind what held none is one to be behind of, until retention has dropped it", async () => {
  const holds = { is: false }
  const looks = times(60, (i) => [0, i < 20 ? 10 : 20] as const)
  let asked = 0
  const holdsEvent = async (_: Cursor, until: Cursor) => {
    asked++
    holds.is = until === cursor(20) && asked < 10
    return holds.is
  }
  const found = await behind(looks, holdsEvent)
  expect(found.slice(0, 26)).not.toContain(true)
  expect(found).toContain(true)
  expect(found.at(-1)).toBe(false)
})

test("where that cannot be told, what was so before holds", async () => {
  const looks = times(30, () => [0, 10] as const)
  expect(await behind(looks, async () => undefined)).not.toContain(true)
  let asked = 0
  expect((await behind(looks, async () => (asked++ === 0 ? true : undefined))).at(-1)).toBe(true)
})
