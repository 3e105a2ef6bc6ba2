import { expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { Lag } from "./lag.ts"

const cursor = (place: number) => String(place).padStart(6, "0") as Cursor
const compare = (a: Cursor, b: Cursor) => Number(a) - Number(b)

/** Looks every 5 s; each look is where the reader is and where the log ends. Answers after which looks it was behind. */
function behind(looks: readonly (readonly [here: number, end: number])[]): readonly boolean[] {
  const lag = new Lag(30_000)
  return looks.map(([here, end], i) => {
    lag.look(cursor(here), cursor(end), i * 5_000, compare)
    return lag.isBehind
  })
}

const times = <T>(count: number, of: (i: number) => T) => Array.from({ length: count }, (_, i) => of(i))

test("a reader that follows is not behind, however much it reads", () => {
  expect(behind(times(100, (i) => [i * 1_000, i * 1_000 + 500]))).not.toContain(true)
})

test("one that stands still is behind after a while, and no more when it is at the end", () => {
  const looks = behind([...times(12, (i) => [10, 20 + i] as const), [40, 40], [40, 40]])
  expect(looks).toEqual([...times(7, () => false), ...times(5, () => true), false, false])
})

test("one that reads on a minute late stays behind", () => {
  const looks = behind(times(100, (i) => [Math.max(0, i - 12), i]))
  expect(looks.slice(0, 7)).not.toContain(true)
  expect(looks.slice(9)).not.toContain(false)
})

test("where nothing is published nobody is behind", () => {
  expect(behind(times(100, () => [10, 10]))).not.toContain(true)
})
