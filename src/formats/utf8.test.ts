import { isUtf8 } from "node:buffer"
import fc from "fast-check"
import { expect, test } from "vitest"
import { decodeUtf8 } from "./utf8.ts"

test("is the text, or where it leaves off being one", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.uint8Array({ maxLength: 8 }), (text, more) => {
      const bytes = Buffer.concat([Buffer.from(text), more])
      const lengths = Array.from({ length: bytes.length + 1 }, (_, length) => length)
      const longest = lengths.findLast((length) => isUtf8(bytes.subarray(0, length)))!
      expect(decodeUtf8(bytes)).toBe(longest === bytes.length ? bytes.toString() : longest)
    }),
    { numRuns: 2000 },
  )
  expect(decodeUtf8(Buffer.from("\ufeffé\ufffd"))).toBe("\ufeffé\ufffd")
  for (const [bytes, at] of [
    ["ff", 0],
    ["61c3", 1],
    ["61efbf", 1],
    ["e282ac80", 3],
    ["eda080", 0],
    ["efbfbdff", 3],
  ] as const) {
    expect([bytes, decodeUtf8(Buffer.from(bytes, "hex"))]).toEqual([bytes, at])
  }
})
