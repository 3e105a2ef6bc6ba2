import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { choicesOf } from "./caller.ts"
import { doings } from "./doings.ts"
import { mutants } from "./mutant-list.ts"
import { listOperations } from "./operations.ts"
import { simulate } from "./run.ts"
import { longSeeds, parts, planScenario } from "./scenario.ts"
import { createWorld } from "./world.ts"

const root = join(import.meta.dirname, "..")
const identity = ["getJsonWebKeys", "getOpenIdConfiguration", "rotateIdentityKey"]
const handshakes = ["agreeToHandshake", "agreeToHandshakeByPost"]
const nats = ["issueNatsCredentials", "revokeNatsCredentials"]

test.each([1, 2, 3, 4, 5, 6])("seed %i: every invariant holds", async (seed) => {
  const { violation, counts } = await simulate({ seed })
  expect(violation).toBeUndefined()
  expect(counts.get("owed")).toBeGreaterThan(0)
})

test("seed 569: what was delayed falls due while the clock leaps, and retention counts it", async () => {
  expect((await simulate({ seed: 569 })).violation).toBeUndefined()
})

test("every operation of the API is done by the workload, or exempt with a reason", async () => {
  const operations = await listOperations()
  const choices = choicesOf(operations)
  const exempt = Object.entries(doings).filter(([, doing]) => "exempt" in doing)
  expect(choices.length + exempt.length).toBe(operations.size)
  expect(exempt.map(([id]) => id).sort()).toEqual(
    [...identity, ...handshakes, ...nats, "streamEvents", "streamSubscription"].sort(),
  )
  expect(choices.every(({ doing }) => doing.weight > 0)).toBe(true)
})

test("of 2,000 seeds enough are long, and each part is in hundreds of the brief ones, and left out of as many", () => {
  const scenarios = Array.from({ length: 2_000 }, (_, i) => {
    const { chance } = createWorld(i + 1)
    return planScenario(chance.fork("scenario"), i + 1)
  })
  const brief = scenarios.filter(({ isBrief }) => isBrief)
  expect(scenarios.length - brief.length).toBeGreaterThanOrEqual(longSeeds)
  expect(scenarios.every(({ isBrief, parts: its }) => isBrief || its.size === parts.length)).toBe(true)
  for (const part of parts) {
    const having = brief.filter((scenario) => scenario.parts.has(part)).length
    expect({ part, isShared: having > 500 && brief.length - having > 500 }).toEqual({ part, isShared: true })
  }
})

test("an operation that the workload leaves out, or knows and the API has not, is told of", async () => {
  const operations = await listOperations()
  const added = { id: "mergeTopics", method: "POST", path: "/v1/topics:merge", statuses: new Set([200]) } as const
  expect(() => choicesOf(new Map([...operations, [added.id, added]]))).toThrow("leaves out mergeTopics")
  const fewer = new Map([...operations].filter(([id]) => id !== "deleteTopic"))
  expect(() => choicesOf(fewer)).toThrow("no operations deleteTopic")
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
