import { crc32 } from "node:zlib"
import fc from "fast-check"
import { expect, test } from "vitest"
import { Sums } from "./sums.ts"

test("sums of parts are those that zlib computes of them", () => {
  const bytes = Buffer.from(Array.from({ length: 3_000 }, (_, i) => (i * i * 31) >> 3))
  const at = fc.integer({ min: 0, max: bytes.length })
  fc.assert(
    fc.property(fc.array(fc.tuple(at, at, fc.nat(0xffffffff)), { minLength: 1 }), (parts) => {
      const sums = new Sums(bytes)
      for (const [a, b, seed] of parts) {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        expect(sums.of(from, to, seed)).toBe(crc32(bytes.subarray(from, to), seed))
      }
    }),
  )
})

test("each byte is gone over once, however many parts are asked for, and however long they are", () => {
  let read = 0
  const bytes = new Proxy(Buffer.alloc(20_000, 3), {
    get: (target, key) => {
      if (key !== "length") read++
      return Reflect.get(target, key)
    },
  })
  const sums = new Sums(bytes)
  for (let from = 0; from < 10_000; from += 8) sums.of(from + 4, from + 10_000, from)
  expect(read).toBeLessThan(20_000 + (10_000 / 8) * 16)
})
