import fc from "fast-check"
import { expect, test } from "vitest"
import { parseExact } from "../formats/exact-json.ts"
import { skipValue } from "./json-scan.ts"
import { skim, type Wanted, type WantedMember, wantedMember } from "./skim.ts"
import { isComposite, type Json } from "./view.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const name = fc.constantFrom("a", "b", "ab", "\u00fc", 'a"', "\ufffd", "constructor", "")

/** A string in JSON with characters escaped at random. */
function written(text: string, escapes: readonly boolean[]): string {
  let at = 0
  const parts = Array.from(text, (character) => {
    if (escapes[at++ % escapes.length] !== true) return JSON.stringify(character).slice(1, -1)
    return [...character]
      .flatMap((each) => Array.from({ length: each.length }, (_, unit) => unitOf(each, unit)))
      .join("")
  })
  return `"${parts.join("")}"`
}

function unitOf(text: string, at: number): string {
  return `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`
}

const space = fc.constantFrom("", "", "", " ", "\n\t ", "\r")
const escapes = fc.array(fc.boolean(), { minLength: 1, maxLength: 4 })
const string = fc.tuple(fc.oneof(name, fc.string()), escapes).map(([text, which]) => written(text, which))
const scalar = fc.oneof(
  string,
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom("true", "false", "null", "0", "-0", "-1.50e+3", "1E400", "12345678901234567890"),
)

/** JSON texts with space, escapes and names that come twice. */
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc
    .tuple(
      space,
      fc.oneof(
        { maxDepth: 4, depthSize: "small" },
        scalar,
        fc.array(tie("json"), { maxLength: 3 }).map((all) => `[${all.join(",")}]`),
        objectOf(tie("json")),
      ),
      space,
    )
    .map((all) => all.join("")),
}))

function objectOf(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const member = fc
    .tuple(space, name, escapes, space, value)
    .map(([before, key, which, after, value]) => `${before}${written(key, which)}${after}:${value}`)
  return fc
    .tuple(fc.array(member, { maxLength: 4 }), space)
    .map(([all, last]) => `{${all.join(",")}${all.length === 0 ? last : ""}}`)
}

const { wanted } = fc.letrec<{ wanted: Wanted }>((tie) => ({
  wanted: fc
    .dictionary(name, fc.option(tie("wanted"), { nil: undefined, maxDepth: 2 }), { maxKeys: 4, noNullPrototype: true })
    .map((all) => ({ members: Object.entries(all).map(([key, of]) => wantedMember(key, of) as WantedMember) })),
}))

/** What skimming leaves of an object. */
function left(value: { readonly [name: string]: Json }, { members }: Wanted): { [name: string]: Json } {
  const found: { [name: string]: Json } = {}
  for (const { name, of } of members) {
    if (!Object.hasOwn(value, name)) continue
    const member = value[name]!
    if (!isComposite(member) || Array.isArray(member)) found[name] = member
    else if (of !== undefined) found[name] = left(member as { readonly [name: string]: Json }, of)
  }
  return found
}

function parsed(bytes: Uint8Array): Json | undefined {
  try {
    return parseExact(decoder.decode(bytes))
  } catch {
    return undefined
  }
}

function sorted(value: Json | undefined): string | undefined {
  if (!isComposite(value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, each]) => `${JSON.stringify(name)}:${sorted(each as Json)}`).join()}}`
}

function agree(bytes: Uint8Array, wanted: Wanted): void {
  const whole = parsed(bytes)
  const isObject = typeof whole === "object" && whole !== null && !Array.isArray(whole)
  const expected = isObject ? left(whole as { readonly [name: string]: Json }, wanted) : undefined
  const found = skim(bytes, wanted)
  expect(found).toEqual(expected)
  // Decimals look alike to the line above.
  expect(sorted(found)).toBe(sorted(expected))
}

test("finds the members that parsing finds", () => {
  fc.assert(
    fc.property(objectOf(json), wanted, (text, wanted) => agree(encoder.encode(text), wanted)),
    { numRuns: 3000 },
  )
})

test("finds no more and no less of texts that are spoilt", () => {
  const spoil = fc.record({
    at: fc.nat(),
    cut: fc.nat(2),
    put: fc.array(fc.oneof(fc.constantFrom(...encoder.encode('"\\{}[]:,0-.eEtu \n')), fc.nat(255)), { maxLength: 2 }),
  })
  fc.assert(
    fc.property(objectOf(json), wanted, fc.array(spoil, { minLength: 1, maxLength: 2 }), (text, wanted, spoils) => {
      let bytes = [...encoder.encode(text)]
      for (const { at, cut, put } of spoils) bytes = bytes.toSpliced(at % (bytes.length + 1), cut, ...put)
      agree(Uint8Array.from(bytes), wanted)
    }),
    { numRuns: 5000 },
  )
})

test.each(["1", "-0", "0.5e-7", '"a"', "[]", "[[],{}]", '{"a":[{"b":null}]}', " [ 1 , true ] "])(
  "takes %s as JSON.parse does",
  (text) => {
    const bytes = encoder.encode(text.trim())
    expect(skipValue(bytes, 0)).toBe(bytes.length)
  },
)

test.each([
  "",
  "-",
  "01",
  "1.",
  ".5",
  "1e",
  "+1",
  "tru",
  "nul",
  '"a',
  '"\\x"',
  '"\\u12g4"',
  '"\n"',
  "[1,]",
  "[,1]",
  "[1 2]",
  "{a:1}",
  '{"a"}',
  '{"a":1,}',
  '{"a":1]',
  "[}",
  "[1}",
  "'a'",
  "NaN",
])("does not take %s, as JSON.parse does not", (text) => {
  expect(parsed(encoder.encode(text))).toBeUndefined()
  const bytes = encoder.encode(`{"a":${text}}`)
  expect(skim(bytes, { members: [] })).toBeUndefined()
})

test("leaves what it cannot tell to parsing: depth, and names whose bytes mean another", () => {
  const deep = `{"a":${"[".repeat(600)}${"]".repeat(600)}}`
  expect(skim(encoder.encode(deep), { members: [] })).toBeUndefined()
  expect(["__proto__", "a\\b", "\ud800"].map((each) => wantedMember(each, undefined))).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect(skim(encoder.encode('\ufeff{"a":1}'), { members: [wantedMember("a", undefined)!] })).toEqual({ a: 1 })
})
