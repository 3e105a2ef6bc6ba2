import fc from "fast-check"
import { expect, test } from "vitest"
import { Event } from "../../core/event.ts"
import { compileFilters } from "../compile.ts"
import { evaluateInput } from "../eval.ts"
import type { Json } from "../view.ts"

function passes(pattern: object, data: Json): boolean {
  return evaluateInput({ filter: { pattern: { data: pattern } }, event: { data } }).pass
}

test("exists: false beside another condition on an array asks no less than alone", () => {
  const items = [{ sku: "A1" }, { sku: "B2", refund: 1 }]
  const gone = { refund: [{ exists: false }] }
  expect(passes({ items: gone }, { items })).toBe(false)
  expect(passes({ items: { sku: ["A1"], ...gone } }, { items })).toBe(false)
  expect(passes({ items: { sku: ["A1"], ...gone } }, { items: [{ sku: "A1" }, { sku: "B2" }] })).toBe(true)
  expect(passes({ items: { sku: ["A1"], refund: [{ exists: false }, 1] } }, { items })).toBe(false)
  expect(passes({ items: { sku: ["B2"], refund: [{ exists: false }, 1] } }, { items })).toBe(true)
  expect(passes({ sku: ["A1"], ...gone }, items)).toBe(false)
  expect(
    passes(
      { items: { sku: ["A1"], of: { a: [1], b: [{ exists: false }] } } },
      { items: [{ sku: "A1", of: { a: 1 } }, { of: { b: 1 } }] },
    ),
  ).toBe(false)
  expect(passes({ items: { $or: [{ sku: ["C3"] }, gone] } }, { items })).toBe(false)
})

/** One value of an event: its place, and which element of which array it is in. */
interface Leaf {
  readonly path: string
  readonly value: Json
  readonly elements: ReadonlyMap<object, number>
}

function leavesOf(value: Json, path = "", elements: ReadonlyMap<object, number> = new Map()): readonly Leaf[] {
  if (typeof value !== "object" || value === null) return [{ path, value, elements }]
  if (Array.isArray(value)) {
    return value.flatMap((each: Json, at) => leavesOf(each, path, new Map([...elements, [value as object, at]])))
  }
  return Object.entries(value).flatMap(([name, each]) => leavesOf(each, `${path}/${name}`, elements))
}

type Matcher = string | number | { readonly exists: boolean } | { readonly "anything-but": number }
type Pattern = { readonly [name: string]: Pattern | readonly Matcher[] | readonly Pattern[] }
type Question = readonly [path: string, matchers: readonly Matcher[]]

/** The pattern as alternatives of questions, all of which must be answered. */
function alternativesOf(pattern: Pattern, path = ""): readonly (readonly Question[])[] {
  let alternatives: readonly (readonly Question[])[] = [[]]
  for (const [name, value] of Object.entries(pattern)) {
    const at = `${path}/${name}`
    const parts =
      name === "$or"
        ? (value as readonly Pattern[]).flatMap((each) => alternativesOf(each, path))
        : Array.isArray(value)
          ? [[[at, value as readonly Matcher[]] as const]]
          : alternativesOf(value as Pattern, at)
    alternatives = alternatives.flatMap((before) => parts.map((part) => [...before, ...part]))
  }
  return alternatives
}

function accepts(matcher: Matcher, value: Json): boolean {
  if (typeof matcher !== "object") return matcher === value
  return "exists" in matcher ? matcher.exists : matcher["anything-but"] !== value
}

/** As EventBridge has it: every question is answered by one value, and no two of these are in different elements of one array. */
function holds(questions: readonly Question[], leaves: readonly Leaf[], taken: readonly Leaf[] = []): boolean {
  const [first, ...rest] = questions
  if (first === undefined) return true
  const [path, matchers] = first
  const there = leaves.filter((leaf) => leaf.path === path)
  const absent = matchers.some((each) => typeof each === "object" && "exists" in each && !each.exists)
  if (absent && there.length === 0 && holds(rest, leaves, taken)) return true
  return there
    .filter(({ value }) => matchers.some((matcher) => accepts(matcher, value)))
    .filter((leaf) =>
      taken.every((other) => [...leaf.elements].every(([array, at]) => (other.elements.get(array) ?? at) === at)),
    )
    .some((leaf) => holds(rest, leaves, [...taken, leaf]))
}

const name = fc.constantFrom("a", "b", "c")
const scalar = fc.constantFrom(1, 2, 3, "x")
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(name, tie("json"), { maxKeys: 3, noNullPrototype: true }),
    fc.dictionary(name, scalar, { maxKeys: 3, noNullPrototype: true }),
  ),
}))
const matcher: fc.Arbitrary<Matcher> = fc.oneof(
  scalar,
  fc.record({ exists: fc.boolean() }),
  fc.record({ "anything-but": fc.constantFrom(1, 2) }),
)
const matchers = fc.array(matcher, { minLength: 1, maxLength: 2 })
const { pattern } = fc.letrec<{ pattern: Pattern; object: Pattern }>((tie) => ({
  object: fc.dictionary(name, fc.oneof({ maxDepth: 3 }, matchers, tie("pattern")) as fc.Arbitrary<readonly Matcher[]>, {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  }),
  pattern: fc.oneof(
    { maxDepth: 3 },
    tie("object"),
    tie("object"),
    // What an alternative asks is not asked beside it too: then two questions would be about one place.
    fc
      .tuple(
        matchers,
        fc.array(fc.dictionary(fc.constantFrom("b", "c"), matchers, { minKeys: 1, noNullPrototype: true }), {
          minLength: 2,
          maxLength: 2,
        }),
      )
      .map(([a, $or]) => ({ a, $or })),
  ),
}))

test("patterns over arrays mean what EventBridge's do", () => {
  const outcomes = { true: 0, false: 0 }
  fc.assert(
    fc.property(pattern, fc.array(json, { minLength: 1, maxLength: 4 }), (pattern, all) => {
      const compiled = compileFilters([{ pattern: { data: pattern } }])
      for (const data of all) {
        const wanted = alternativesOf(pattern).some((questions) => holds(questions, leavesOf(data)))
        const event = Event.of(
          { specversion: "1.0", id: "1", source: "/a", type: "t" },
          Buffer.from(JSON.stringify(data)),
          "json",
        )
        expect(compiled(event), JSON.stringify(data)).toBe(wanted)
        outcomes[`${wanted}`]++
      }
    }),
    { numRuns: 5000 },
  )
  expect(Math.min(outcomes.true, outcomes.false)).toBeGreaterThan(500)
})
