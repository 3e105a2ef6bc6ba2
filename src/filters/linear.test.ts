import { describe, expect, it, test } from "vitest"
import { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { growthOf, ratioOf } from "../testing/growth.ts"
import { compileFilters } from "./compile.ts"
import { compileExplainer } from "./explain.ts"
import { limits } from "./limits.ts"
import { parseFilters } from "./parse.ts"

const attributes = { specversion: "1.0", id: "1", source: "/a", type: "t" }

function withData(data: unknown, more: Record<string, string> = {}): Event {
  return Event.of({ ...attributes, ...more }, Buffer.from(JSON.stringify(data)), "json")
}

function decide(filter: Filter, event: (size: number) => Event) {
  const passes = compileFilters([filter])
  return (size: number) => {
    const on = event(size)
    return () => passes(on)
  }
}

const as = (size: number) => withData({ s: "a".repeat(size) })
const open = "a_".repeat(limits.wildcardsMax - 2)
const long = `${"a".repeat(1000)}b${"a".repeat(1000)}`
const manySegments = "a/".repeat(limits.segmentsMax - 4)

describe("twice the text takes no more than about twice the time", () => {
  it.each<[string, Filter, (size: number) => Event]>([
    ["LIKE with _ between two %", { sql: `data.s LIKE '%${open}b%'` }, as],
    ["LIKE with % alone", { sql: `data.s LIKE '%${"a%".repeat(limits.wildcardsMax - 2)}b'` }, as],
    ["LIKE with a long literal", { sql: `data.s LIKE '%${long}%'` }, as],
    ["functions", { sql: "LENGTH(CONCAT(UPPER(LEFT(TRIM(data.s), 2000000)), SUBSTRING(data.s, -9))) < 0" }, as],
    ["wildcard", { pattern: { data: { s: [{ wildcard: `*${"a*".repeat(limits.wildcardsMax - 1)}b` }] } } }, as],
    ["wildcard with a long literal", { pattern: { data: { s: [{ wildcard: `*${long}*` }] } } }, as],
    ["contains", { query: `data.s contains '${long}'` }, as],
    [
      "path with many segments",
      { path: { subject: `**/${manySegments}b/**` } },
      (size) => Event.of({ ...attributes, subject: "a/".repeat(size) }),
    ],
    [
      "path with many wildcards",
      { path: { subject: `**/${"a*/".repeat(60)}b/**` } },
      (size) => Event.of({ ...attributes, subject: "a/".repeat(size / 4) }),
    ],
    [
      "arrays of objects",
      { pattern: { data: { items: { a: [1], b: [1], c: { d: [2], e: [{ exists: false }] } } } } },
      (size) => withData({ items: Array.from({ length: size / 32 }, () => ({ a: 1, b: 1, c: [{ d: 1, e: 1 }] })) }),
    ],
  ])("%s", (_, filter, event) => {
    expect(parseFilters([filter])).toEqual({ ok: true, filters: [filter] })
    expect(growthOf(decide(filter, event), 200_000)).toBeLessThan(3)
  })

  it("explaining", () => {
    const explain = compileExplainer([{ sql: `data.s LIKE '%${open}b%' AND data.s = 'b'` }, { query: "data.s == 'b'" }])
    const prepare = (size: number) => {
      const event = as(size)
      return () => explain(event)
    }
    expect(growthOf(prepare, 200_000)).toBeLessThan(3)
  })
})

describe("a long pattern takes little more time than a short one", () => {
  const attribute = Event.of({ ...attributes, subject: "a/".repeat(50_000) })
  it.each<[string, (length: number) => Filter, Event]>([
    ["LIKE with _", (length) => ({ sql: `data.s LIKE '%${"a_".repeat(length / 2)}b%'` }), as(100_000)],
    [
      "a literal",
      (length) => ({ query: `data.s contains '${"a".repeat(length * 8)}b${"a".repeat(length * 8)}'` }),
      as(100_000),
    ],
    ["path", (length) => ({ path: { subject: `**/${"a/".repeat(length)}b/**` } }), attribute],
  ])("%s", (_, filterOf, event) => {
    const [long, short] = [compileFilters([filterOf(124)]), compileFilters([filterOf(4)])]
    const ratio = ratioOf(
      () => long(event),
      () => short(event),
      12,
    )
    expect(ratio).toBeLessThan(12)
  })
})

describe("a filter that does not parse is refused in about twice the time where it is twice as long", () => {
  const names = (size: number, value: unknown) =>
    Object.fromEntries(Array.from({ length: size * 4 }, (_, at) => [`m${at}`, value]))
  it.each<[string, (size: number) => unknown]>([
    ["sql full of faults", (size) => ({ sql: ") AND ".repeat(size / 6) })],
    ["query full of faults", (size) => ({ query: "a ) or ".repeat(size / 7) })],
    ["a pattern of names", (size) => ({ pattern: { data: names(size, 5) } })],
    ["operators", (size) => ({ pattern: { type: [names(size, 5)] } })],
    ["dialects", (size) => names(size, 5)],
    ["alternatives", (size) => ({ any: Array.from({ length: size * 4 }, () => ({ exact: { type: "a" } })) })],
  ])("%s", (_, filterOf) => {
    const prepare = (size: number) => {
      const filter = filterOf(size)
      const parsed = parseFilters([filter])
      expect(parsed.ok ? 0 : parsed.faults.length).toBeGreaterThan(0)
      expect(JSON.stringify(parsed).length).toBeLessThan(100_000)
      return () => parseFilters([filter])
    }
    expect(growthOf(prepare, 8_000)).toBeLessThan(3)
  })

  it("faults are told up to a limit, and then nothing more is read", () => {
    const reads = { count: 0 }
    const filters = Array.from({ length: 64 }, () => ({
      get sql() {
        reads.count++
        return ") AND ".repeat(2_000)
      },
    }))
    const parsed = parseFilters(filters)
    expect(parsed.ok ? [] : parsed.faults).toHaveLength(limits.faultsMax)
    expect(reads.count).toBe(1)
  })
})

function faultOf(filter: unknown): string | undefined {
  const parsed = parseFilters([filter])
  return parsed.ok ? undefined : parsed.faults[0]!.message
}

test("what a pattern may ask for is limited, and what is at the limit is taken", () => {
  const like = (pattern: string) => faultOf({ sql: `type LIKE '${pattern}'` })
  const { wildcardsMax, openCharactersMax, segmentsMax, nameCharactersMax, stepsMax } = limits
  expect(like("a_".repeat(wildcardsMax))).toBeUndefined()
  expect(like("a_".repeat(wildcardsMax + 1))).toContain("more than 64 wildcards; use fewer % and _")
  expect(like(`${"a%".repeat(wildcardsMax)}%%%`)).toBeUndefined()
  expect(like(`%_${"a".repeat(openCharactersMax - 1)}%`)).toBeUndefined()
  expect(like(`%_${"a".repeat(openCharactersMax)}%`)).toContain("more than 256 characters with a _ between two %")
  expect(like(`_${"a".repeat(2000)}%${"a".repeat(2000)}_`)).toBeUndefined()
  const wildcard = (value: string) => faultOf({ pattern: { type: [{ wildcard: value }] } })
  expect(wildcard("a*".repeat(wildcardsMax))).toBeUndefined()
  expect(wildcard("a*".repeat(wildcardsMax + 1))).toBe("has more than 64 wildcards; use fewer *")
  const path = (subject: string) => faultOf({ path: { subject } })
  expect(path("a/*/".repeat(wildcardsMax))).toBeUndefined()
  expect(path(`${"a/*/".repeat(wildcardsMax)}{name}`)).toBe("has more than 64 wildcards; use fewer")
  expect(path("a/".repeat(segmentsMax))).toBe("has more than 256 segments; use fewer")
  const name = (length: number) => "n".repeat(length)
  const named = (length: number) => [
    faultOf({ pattern: { data: { [name(length)]: [1] } } }),
    faultOf({ pattern: { data: { a: { [name(length)]: [1], b: [1] } } } }),
    faultOf({ sql: `data.${name(length)} = 1` }),
    faultOf({ query: `data['${name(length)}'] == 1` }),
  ]
  expect(named(nameCharactersMax)).toEqual([undefined, undefined, undefined, undefined])
  for (const fault of named(nameCharactersMax + 1))
    expect(fault).toMatch(/name .*more than 1024|name is longer than 1024/)
  expect(faultOf({ sql: `EXISTS data${".a".repeat(stepsMax)}` })).toBeUndefined()
  expect(faultOf({ sql: `EXISTS data${".a".repeat(stepsMax + 1)}` })).toContain("more than 128 steps")
  expect(faultOf({ query: `exists data${"[0]".repeat(stepsMax + 1)}` })).toContain("more than 128 steps")
})

test("texts that functions join are bounded", () => {
  const passes = compileFilters([{ sql: `LENGTH(CONCAT(${"data.s, ".repeat(200)}'x')) > 0` }])
  expect(passes(as(100))).toBe(true)
  expect(passes(as(10_000))).toBe(false)
  const explain = compileExplainer([{ sql: `CONCAT_WS(data.s, ${"'x', ".repeat(200)}'x') = ''` }])
  expect(explain(as(10_000)).errors).toEqual([
    expect.objectContaining({ kind: "functionEvaluation", message: "CONCAT_WS makes more than 1048576 characters" }),
  ])
})
