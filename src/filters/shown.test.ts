import fc from "fast-check"
import { expect, test } from "vitest"
import { showJson } from "./shown.ts"
import type { Json } from "./view.ts"

test("shows what JSON.stringify begins with", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), fc.nat(60), (given, max) => {
      const value = JSON.parse(JSON.stringify(given)) as Json
      const whole = JSON.stringify(value)
      expect(showJson(value, max)).toBe(whole.length > max ? `${whole.slice(0, max)}…` : whole)
    }),
    { numRuns: 2000 },
  )
})

test("looks at no more of a value than it shows", () => {
  let looks = 0
  const watched = (size: number): Json =>
    Array.from({ length: size }, (_, at) =>
      Object.defineProperty({}, "a", {
        enumerable: true,
        get() {
          looks++
          return at
        },
      }),
    ) as unknown as Json
  expect(showJson({ items: watched(100_000) }, 1_000)).toHaveLength(1_001)
  expect(looks).toBeLessThan(500)
  expect(showJson("y".repeat(1_000_000), 10)).toBe('"yyyyyyyyy…')
})
