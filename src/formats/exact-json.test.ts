import fc from "fast-check"
import { expect, test } from "vitest"
import { growthOf } from "../testing/growth.ts"
import { Decimal, exactNumber } from "./decimal.ts"
import { holdsLongNumber, type Loss, parseExact, parseWithLosses } from "./exact-json.ts"

const numberText = fc.constantFrom(
  ...["1", "-0", "0.5", "1e3", "1e400", "-1E+400", "1e-400", "9007199254740993", "-9007199254740993.10"],
  ...[
    "123456789012345",
    "0.12345678901234567",
    "1.00000000000000000",
    "12345678901234567890123456789012345678901234567890",
  ],
)
const space = fc.constantFrom("", " ", "\n\t")
const string = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("__proto__", "constructor", '"', "\\", "1e400", " 9007199254740993,", "\u2028", "\ud800"),
)
const name = fc.oneof(fc.constantFrom("a", "b", "__proto__"), string)
const { text } = fc.letrec<{ text: string }>((tie) => ({
  text: fc
    .tuple(
      space,
      fc.oneof(
        { maxDepth: 5 },
        numberText,
        string.map((value) => JSON.stringify(value)),
        fc.constantFrom("true", "false", "null", "[]", "{ }"),
        fc.array(tie("text"), { maxLength: 4 }).map((all) => `[${all.join(",")}]`),
        fc
          .array(fc.tuple(space, name, space, tie("text")), { maxLength: 4 })
          .map((all) => `{${all.map(([a, name, b, value]) => `${a}${JSON.stringify(name)}${b}:${value}`).join(",")}}`),
      ),
      space,
    )
    .map((all) => all.join("")),
}))

/** The same value with its numbers as JSON.parse makes them. */
function rounded(value: unknown): unknown {
  if (value instanceof Decimal) return Number(String(value))
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(rounded)
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, rounded(each)]))
}

function lossesOf(text: string): readonly Loss[] {
  return parseWithLosses(text).losses
}

/** As JSON.parse, which may take an escaped name for another one: names are put in without escapes. */
function oracle(text: string): unknown {
  const names = new Map<string, string>()
  const plain = text.replace(/("(?:[^"\\]|\\.)*")(\s*:)/g, (_, name: string, colon: string) => {
    const alias = `name${[...names.values()].indexOf(JSON.parse(name) as string) + 1 || names.size + 1}`
    names.set(alias, JSON.parse(name) as string)
    return `"${alias}"${colon}`
  })
  const named = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value
    if (Array.isArray(value)) return value.map(named)
    return Object.fromEntries(Object.entries(value).map(([alias, each]) => [names.get(alias), named(each)]))
  }
  return named(JSON.parse(plain))
}

test("a name is what it says, whatever names were read before", () => {
  for (const before of ['{"a":1,"\\\\":2}', '{"a":1,"\\\\u0041":2}', '{"\\"x":1}']) JSON.parse(before)
  for (const name of ["\\u0041", "\\n", "\\ud800", "\\u00fcber", '\\"', "\\\\"]) {
    const text = `{"a":1,"${name}":2}`
    expect(Object.keys(parseExact(text) as object)).toEqual(["a", JSON.parse(`"${name}"`)])
  }
})

function decimalsIn(value: unknown): readonly string[] {
  if (value instanceof Decimal) return [String(value)]
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(decimalsIn) : []
}

test("is what JSON.parse makes of it, but for the numbers that it changes", () => {
  fc.assert(
    fc.property(text, (text) => {
      const value = parseExact(text)
      expect(rounded(value)).toEqual(oracle(text))
      const decimals = decimalsIn(value)
      const lost = lossesOf(text).filter(({ kind }) => kind === "number")
      expect(lost.map(({ text }) => String(exactNumber(text)))).toEqual(expect.arrayContaining([...decimals]))
      if (lost.length > 0) expect(holdsLongNumber(text)).toBe(true)
    }),
    { numRuns: 5_000 },
  )
})

test("tells a text that may hold such a number from one that does not", () => {
  for (const text of [
    "1e400",
    "[1e400]",
    '{"a":[0,1e-400 ]}',
    '{"account":9007199254740993}',
    "0.1000000000000000055",
  ]) {
    expect(holdsLongNumber(text), text).toBe(true)
    for (let spaces = 0; spaces < 10; spaces++) expect(holdsLongNumber(`${" ".repeat(spaces)}${text}`)).toBe(true)
  }
  for (const text of [
    '"1e400"',
    '{"id":"1234567890123456"}',
    "[123456789012345]",
    '{"at":"2026-01-01T00:00:00Z"}',
    "1e99",
  ]) {
    expect(holdsLongNumber(text), text).toBe(false)
  }
})

test("a text names what it loses, and where", () => {
  expect(lossesOf('{"a":[1,{"b":1e400}],"a":2,"c":{"d":9007199254740993,"d":1}}')).toEqual([
    { path: ["a", 1, "b"], kind: "number", text: "1e400" },
    { path: ["a"], kind: "repeated", text: "a" },
    { path: ["c", "d"], kind: "number", text: "9007199254740993" },
    { path: ["c", "d"], kind: "repeated", text: "d" },
  ])
  expect(lossesOf(' {"a": 1.50, "b": [9007199254740992, 0.1, -0]} ')).toEqual([])
})

test("the longest and deepest texts take no time to speak of", () => {
  const before = performance.now()
  const many = `[${"{},".repeat(300_000)}9007199254740993]`
  expect(parseExact(many)).toHaveLength(300_001)
  expect(parseExact(`${"[".repeat(100_000)}1e400${"]".repeat(100_000)}`)).toHaveLength(1)
  expect(performance.now() - before).toBeLessThan(10_000)
})

test.each<[string, (size: number) => string]>([
  ["exponents in a row", (size) => `"${"1e100".repeat(size / 5)}"`],
  ["exponents in rows", (size) => `"${`${"1e100".repeat(50)} `.repeat(size / 250)}"`],
  ["long numbers", (size) => `[${"1e-400,".repeat(size / 7)}1]`],
  ["digits", (size) => `"${"0".repeat(size)}"`],
  ["losses far in", (size) => `${"[".repeat(size / 7)}${"1e400,".repeat(size / 7)}1${"]".repeat(size / 7)}`],
  ["repeated names far in", (size) => `${'{"a":'.repeat(size / 11)}1${',"a":1}'.repeat(size / 11)}`],
])("twice the text takes no more than about twice the time: %s", (_, textOf) => {
  for (const read of [holdsLongNumber, parseExact, parseWithLosses]) {
    const prepare = (size: number) => {
      const text = textOf(size)
      JSON.parse(text)
      return () => read(text)
    }
    expect(growthOf(prepare, 200_000), read.name).toBeLessThan(3)
  }
})

test("at most 100 losses are named, each with the outermost steps of its path", () => {
  const losses = lossesOf(`{"a":${"[".repeat(20_000)}${"1e400,".repeat(20_000)}1${"]".repeat(20_000)}}`)
  expect(losses).toHaveLength(100)
  for (const { path } of losses) expect(path).toEqual(["a", ...Array(255).fill(0)])
})
