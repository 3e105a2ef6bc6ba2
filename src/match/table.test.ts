import fc from "fast-check"
import { expect, test } from "vitest"
import { hashText } from "./hashing.ts"
import { Table } from "./table.ts"
import { Texts } from "./texts.ts"

/** Few hashes, so that many texts have the same one, and 0, which marks a free place. */
function poor(text: string): number {
  return hashText(text) % 5
}

const texts = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "ü", "\u{1f600}"), maxLength: 20 }), {
  minLength: 30,
})

test.each([
  ["with hashes as they are", hashText],
  ["with hashes that are often equal", poor],
])("holds what a map holds, %s", (_, hash) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(texts, fc.nat(3)), { maxLength: 8 }), (rounds) => {
      const table = new Table(new Texts())
      const map = new Map<string, number>()
      for (const [keys, ref] of rounds) {
        for (const key of keys) {
          table.set(hash(key), key, ref)
          if (ref === 0) map.delete(key)
          else map.set(key, ref)
        }
        expect(table.size).toBe(map.size)
        for (const [key, known] of map) expect(table.get(hash(key), `-${key}-`, 1, key.length)).toBe(known)
        for (const key of keys) expect(table.get(hash(key), key)).toBe(map.get(key) ?? 0)
      }
    }),
    { numRuns: 200 },
  )
})

test("room for texts is used again", () => {
  const kept = new Texts()
  const table = new Table(kept)
  const first = kept.add("x".repeat(100))
  kept.delete(first)
  for (let round = 0; round < 50; round++) {
    for (let key = 0; key < 200; key++) table.set(hashText(`${key}`), `${key}`, 1)
    for (let key = 0; key < 200; key++) table.set(hashText(`${key}`), `${key}`, 0)
  }
  expect(kept.add("y".repeat(100))).toBe(first)
  expect(kept.add("z")).toBeLessThan(300)
})
