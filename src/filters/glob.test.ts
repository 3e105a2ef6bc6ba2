import fc from "fast-check"
import { expect, test } from "vitest"
import { compileGlob, type Glob, type GlobPart, one, run } from "./glob.ts"
import { compilePathPattern, type PathPattern, type PathSegment, parsePath } from "./path/pattern.ts"
import { compileSearch } from "./search.ts"

/** By definition: every way to divide the text is tried, by a table of beginnings. */
function matches(glob: Glob, text: string): boolean {
  const tests = glob.flatMap((part): (GlobPart | string)[] => (typeof part === "string" ? [...part] : [part]))
  const characters = [...text]
  let reached = [true, ...characters.map(() => false)]
  for (const part of tests) {
    const next = reached.map((_, at) => {
      if (part === run) return reached.slice(0, at + 1).includes(true)
      return at > 0 && reached[at - 1]! && (part === one || part === characters[at - 1])
    })
    reached = next
  }
  return reached.at(-1)!
}

const character = fc.constantFrom("a", "b", "é", "😀")
const text = fc.array(character, { maxLength: 80 }).map((all) => all.join(""))
const glob = fc.array(fc.oneof(character, fc.constantFrom<GlobPart[]>(run, one, one)), { maxLength: 60 })

test("a glob matches what its definition says", () => {
  fc.assert(
    fc.property(glob, fc.array(text, { minLength: 1, maxLength: 5 }), (glob, texts) => {
      const compiled = compileGlob(glob)
      for (const text of texts) expect(compiled(text)).toBe(matches(glob, text))
    }),
    { numRuns: 2000 },
  )
})

test("a text that a glob was made from matches it, however long the pieces", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(character, fc.constantFrom("keep", "one", "run")), { maxLength: 300 }), (parts) => {
      const glob = parts.map(([text, how]) => (how === "keep" ? text : how === "one" ? one : run))
      const text = parts.map(([text, how], at) => (how === "run" ? text.repeat(at % 3) : text)).join("")
      expect(compileGlob(glob)(text)).toBe(true)
      expect(compileGlob(glob)(`${text}x`)).toBe(matches(glob, `${text}x`))
    }),
  )
})

test("a literal is found where indexOf finds it, however long it is", () => {
  const letters = (maxLength: number) => fc.array(fc.constantFrom("a", "b"), { maxLength }).map((all) => all.join(""))
  fc.assert(
    fc.property(letters(40), fc.nat(12), letters(100), fc.nat(50), (unit, times, around, from) => {
      const literal = unit.repeat(times)
      const text = around + literal + around
      expect(compileSearch(literal)(text, from)).toBe(text.indexOf(literal, from))
      expect(compileSearch(`${literal}c`)(text, from)).toBe(-1)
    }),
  )
})

/** By definition: every way to divide the parts is tried. */
function pathMatches(segments: readonly PathSegment[], parts: readonly string[]): boolean {
  const [first, ...rest] = segments
  if (first === undefined) return parts.length === 0
  if (first === "deep") return parts.some((_, at) => pathMatches(rest, parts.slice(at))) || pathMatches(rest, [])
  if (parts.length === 0) return false
  const only = first.length === 1 && first[0] === run
  return (only ? parts[0] !== "" : matches(first, parts[0]!)) && pathMatches(rest, parts.slice(1))
}

test("a path pattern matches what its definition says", () => {
  const segment = fc.constantFrom("**", "a", "b", "a", "*", "a*", "*b", "", "{v}")
  const part = fc.constantFrom("a", "b", "a", "ab", "")
  fc.assert(
    fc.property(
      fc.array(segment, { minLength: 1, maxLength: 9 }),
      fc.array(part, { minLength: 1, maxLength: 12 }),
      (segments, parts) => {
        const text = segments.map((each, at) => (each === "{v}" ? `{v${at}}` : each)).join("/")
        const pattern = parsePath(text) as PathPattern
        expect(compilePathPattern(pattern)(parts.join("/"))).toBe(pathMatches(pattern.segments, parts))
      },
    ),
    { numRuns: 3000 },
  )
})
