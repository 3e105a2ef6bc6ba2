import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { mutants } from "./mutant-list.ts"
import { simulate } from "./run.ts"

const root = join(import.meta.dirname, "..")

test.each([1, 2, 3, 4, 5, 6])("seed %i: every invariant holds", async (seed) => {
  const { violation, counts } = await simulate({ seed })
  expect(violation).toBeUndefined()
  expect(counts.get("owed")).toBeGreaterThan(0)
})

test("a seed is lived through the same way every time, to the byte", async () => {
  const traceOf = async (seed: number) => {
    const lines: string[] = []
    const { digest } = await simulate({ seed, keep: (line) => lines.push(line) })
    return { digest, text: lines.join("") }
  }
  const first = await traceOf(10)
  const second = await traceOf(10)
  expect(second.text === first.text).toBe(true)
  expect(second.digest).toBe(first.digest)
  expect((await traceOf(11)).digest).not.toBe(first.digest)
})

test.each(mutants.map((mutant) => [mutant.name, mutant] as const))("mutant can be made: %s", (_name, mutant) => {
  const parts = readFileSync(join(root, mutant.file), "utf8").split(mutant.before)
  expect(parts).toHaveLength(2)
  expect(mutant.after).not.toBe(mutant.before)
})
