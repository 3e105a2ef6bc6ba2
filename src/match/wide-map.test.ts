import { expect, test } from "vitest"
import { WideMap } from "./wide-map.ts"

test("holds what a map holds, also once it is divided", () => {
  const wide = new WideMap<number>()
  const map = new Map<string | number | boolean | null, number>([
    [null, 1],
    [true, 2],
    ["true", 3],
  ])
  for (const [key, value] of map) wide.set(key, value)
  for (let i = 0; i < 10_000; i++) {
    const key = i % 2 === 0 ? i : `k${i}`
    map.set(key, i)
    wide.set(key, i)
    if (i % 3 === 0) expect(wide.delete(i - 6)).toBe(map.delete(i - 6))
  }
  expect(wide.size).toBe(map.size)
  for (const [key, value] of map) expect(wide.get(key)).toBe(value)
  expect(wide.get("nothing")).toBeUndefined()
  expect(wide.delete("nothing")).toBe(false)
})
