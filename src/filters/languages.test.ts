import fc from "fast-check"
import { expect, test } from "vitest"
import { sqlText } from "./arbitraries.fixture.ts"
import { evaluateInput, evaluateLine } from "./eval.ts"
import { parseFilters } from "./parse.ts"
import { capturePath, parsePath, printPath } from "./path/pattern.ts"
import { parseQuery } from "./query/parser.ts"
import { parseSql } from "./sql/parser.ts"

const event = {
  specversion: "1.0",
  id: "1",
  source: "/shop/eu",
  type: "order.created",
  subject: "/projects/p1/logs/2026/a.txt",
  time: "2026-03-01T12:00:00Z",
  priority: 7,
  urgent: true,
  data: {
    total: 300,
    state: "running",
    note: null,
    ip: "10.0.0.33",
    ip6: "2001:db8::1",
    tags: ["vip", "new"],
    empty: [],
    user: { name: "Ann", "first-name": "A" },
    items: [
      { sku: "A1", n: 1 },
      { sku: "B2", n: 5 },
    ],
    text: "a*b\\c",
    user_key: "a",
  },
}

function pass(filter: unknown, on: unknown = event): boolean {
  const { pass, errors } = evaluateInput({ filter, event: on })
  expect(errors, JSON.stringify(filter)).toEqual([])
  return pass
}

function check(dialect: string, rows: readonly (readonly [unknown, boolean])[]): void {
  for (const [value, wanted] of rows) expect([value, pass({ [dialect]: value })]).toEqual([value, wanted])
}

function faults(filter: unknown): readonly string[] {
  const parsed = parseFilters([filter])
  return parsed.ok ? [] : parsed.faults.map(({ field, message }) => `${field}: ${message}`)
}

test("pattern: values, null, numbers as numbers, arrays by any element", () => {
  check("pattern", [
    [{ type: ["order.created", "x"] }, true],
    [{ type: ["order"] }, false],
    [{ type: ["order.created"], data: { total: [{ numeric: [">", 100] }] } }, true],
    [{ data: { total: [3e2] } }, true],
    [{ data: { total: ["300"] } }, false],
    [{ data: { note: [null] } }, true],
    [{ data: { missing: [null] } }, false],
    [{ data: { tags: ["vip"] } }, true],
    [{ data: { tags: ["old"] } }, false],
    [{ data: { user: { name: ["Ann"] } } }, true],
    [{ data: { user: ["Ann"] } }, false],
    [{ priority: [7] }, true],
    [{ priority: ["7"] }, true],
    [{ priority: [{ numeric: [">=", 8] }] }, false],
    [{ urgent: [true] }, true],
    [{ dataschema: [null] }, true],
    [{ subject: [null] }, false],
  ])
})

test("pattern: operators", () => {
  const data = (value: unknown) => ({ data: value })
  check("pattern", [
    [data({ state: [{ prefix: "run" }] }), true],
    [data({ state: [{ prefix: { "equals-ignore-case": "RUN" } }] }), true],
    [data({ state: [{ suffix: "ning" }] }), true],
    [data({ state: [{ suffix: { "equals-ignore-case": "NING" } }] }), true],
    [data({ state: [{ "equals-ignore-case": "RUNNING" }] }), true],
    [data({ state: [{ "equals-ignore-case": "RUN" }] }), false],
    [data({ state: [{ wildcard: "r*n*g" }] }), true],
    [data({ state: [{ wildcard: "r*x*g" }] }), false],
    [data({ text: [{ wildcard: "a\\*b\\\\*" }] }), true],
    [data({ state: [{ "anything-but": "stopped" }] }), true],
    [data({ state: [{ "anything-but": ["stopped", "running"] }] }), false],
    [data({ total: [{ "anything-but": [100, 200] }] }), true],
    [data({ missing: [{ "anything-but": "x" }] }), false],
    [data({ state: [{ "anything-but": { prefix: "run" } }] }), false],
    [data({ state: [{ "anything-but": { suffix: ["x", "y"] } }] }), true],
    [data({ state: [{ "anything-but": { wildcard: "*nn*" } }] }), false],
    [data({ state: [{ "anything-but": { "equals-ignore-case": "Running" } }] }), false],
    [data({ total: [{ numeric: ["=", 300] }] }), true],
    [data({ total: [{ numeric: [">", 0, "<=", 300] }] }), true],
    [data({ total: [{ numeric: [">", 0, "<", 300] }] }), false],
    [data({ ip: [{ cidr: "10.0.0.0/24" }] }), true],
    [data({ ip: [{ cidr: "10.0.1.0/24" }] }), false],
    [data({ ip6: [{ cidr: "2001:db8::/32" }] }), true],
    [data({ ip: [{ cidr: "::/0" }] }), false],
    [data({ total: [{ exists: true }] }), true],
    [data({ missing: [{ exists: false }] }), true],
    [data({ user: [{ exists: true }] }), false],
    [data({ empty: [{ exists: false }] }), true],
    [data({ note: [{ exists: true }] }), true],
    [data({ missing: { deeper: [{ exists: false }], too: [{ exists: false }] } }), true],
    [{ subject: [{ exists: true }], nothing: [{ exists: false }] }, true],
  ])
})

test("pattern: $or, and several conditions on the same element of an array", () => {
  check("pattern", [
    [{ $or: [{ type: ["x"] }, { data: { total: [300] } }] }, true],
    [{ source: ["/x"], $or: [{ type: ["x"] }, { data: { total: [300] } }] }, false],
    [{ data: { $or: [{ state: ["x"] }, { user: { name: ["Ann"] } }] } }, true],
    [{ data: { items: { sku: ["A1"] } } }, true],
    [{ data: { items: { sku: ["A1"], n: [1] } } }, true],
    [{ data: { items: { sku: ["A1"], n: [5] } } }, false],
    [{ data: { items: { sku: ["A1"], gone: [{ exists: false }] } } }, true],
  ])
})

test("pattern: every fault with its place", () => {
  expect(
    faults({
      pattern: {
        type: "x",
        Bad: ["x"],
        subject: [],
        data: {
          a: [{ prefx: "x" }],
          b: [{ numeric: [">", 5, "<", 1] }],
          c: [{ cidr: "10.0.0.0" }],
          d: [{ "anything-but": ["a", 1] }],
          e: [{ wildcard: "a**" }, { wildcard: "\\x" }],
          f: {},
        },
      },
    }).map((fault) => fault.split(":")[0]),
  ).toEqual([
    "filters[0].pattern.type",
    "filters[0].pattern.Bad",
    "filters[0].pattern.subject",
    "filters[0].pattern.data.a[0].prefx",
    "filters[0].pattern.data.b[0].numeric",
    "filters[0].pattern.data.c[0].cidr",
    "filters[0].pattern.data.d[0].anything-but",
    "filters[0].pattern.data.e[0].wildcard",
    "filters[0].pattern.data.e[1].wildcard",
    "filters[0].pattern.data.f",
  ])
})

test("path: segments, runs within them, and ** across them", () => {
  check("path", [
    [{ subject: "/projects/p1/logs/2026/a.txt" }, true],
    [{ subject: "/projects/*/logs/**" }, true],
    [{ subject: "/projects/*/logs" }, false],
    [{ subject: "/projects/{project}/**/*.txt" }, true],
    [{ subject: "/projects/**/p1/logs/2026/a.txt" }, true],
    [{ subject: "/projects/p*/l*s/20*6/a.*" }, true],
    [{ subject: "/*/*" }, false],
    [{ subject: "**" }, true],
    [{ subject: "/projects/{rest=**}", source: "/shop/{region=e*}" }, true],
    [{ source: "/shop/eu/**" }, true],
    [{ source: "/shop/eu/*" }, false],
    [{ missing: "**" }, false],
  ])
  expect(capturePath(parsePath("/projects/{p}/{rest=**}/{file=*.txt}") as never, event.subject)).toEqual({
    p: "p1",
    rest: "logs/2026",
    file: "a.txt",
  })
  expect(capturePath(parsePath("/x/{p}") as never, event.subject)).toBeUndefined()
  for (const text of ["/a/*/b*c/**", "/{x=*}/{y=a/**}/z"]) expect(printPath(parsePath(text) as never)).toBe(text)
  expect(faults({ path: { subject: "/a/b**/{x}{y}/{a}/{a}", Bad: "x" } })).toHaveLength(4)
})

test("query: comparisons, in, contains, groups and casts; AND binds tighter", () => {
  check("query", [
    ["type == 'order.created' and data.total > 10 and user_key in ['a','b'] and time > '2026-01-01'::DATETIME", true],
    ["type = 'x' or data.total >= 300 and data.state != 'stopped'", true],
    ["(type = 'x' or data.total >= 300) and data.state == 'stopped'", false],
    ["data.total == '300'", false],
    ["data.total::TEXT == '300'", true],
    ["300 <= data.total", true],
    ["data.state in ['a', 'running']", true],
    ["data.state not in ['a', 'running']", false],
    ["data.missing != 'x'", false],
    ["not (data.missing == 'x')", true],
    ["data.missing not in ['x']", false],
    ["data.tags contains 'vip'", true],
    ["data.tags contains 'vi'", false],
    ["data.state contains 'nni'", true],
    ["data.state not contains 'nni'", false],
    ["data.note == null", true],
    ["dataschema == null", true],
    ["subject != null", true],
    ["exists data.note && !exists data.nope", true],
    ["data.items[1].sku == 'B2'", true],
    ["data.user['first-name'] == 'A'", true],
    ["user.name == 'Ann'", true],
    ["urgent", true],
    ["urgent == true and priority > 6.5", true],
    ["time < '2026-03-01T13:00:00+01:00'::DATETIME", false],
    ["time == '2026-03-01T13:00:00+01:00'::DATETIME", true],
    ["time::DATETIME in ['2026-03-01T12:00']", true],
    ["data.state > 'a'", true],
    ["data.total == '3e2'::NUMBER", true],
  ])
})

test("query: every fault with line and column", () => {
  expect(faults({ query: "type === 'a' and\ndata.x > and (time > 'x'::DATETIME) or 1 == 2 and a.b == c.d" })).toEqual([
    "filters[0].query: line 1, column 8: found =, expected a field or a value",
    "filters[0].query: line 2, column 10: found and, expected a field or a value",
    "filters[0].query: line 2, column 22: x is no datetime",
    "filters[0].query: line 2, column 45: compare a field with a value",
    "filters[0].query: line 2, column 58: compare a field with a value; two fields are compared in sql",
  ])
})

test("query: a number with an exponent needs no point where a value stands, and a field may have its name", () => {
  const on = { ...event, "1e4": 5, data: { "1e4": 5, big: 10_000, small: 0.0001, list: [1e21] } }
  const check = (query: string) => pass({ query }, on)
  for (const query of [
    ...["data.big == 1e4", "data.big == 1E4", "data.big == 1e+4", "data.small == 1e-4", "data.small > -1e4"],
    ...["data.big in [1, 1e4]", "data.list contains 1e21", "-1e400 < data.big", "data.big::TEXT == '10000'"],
    ...["data.big < 1e400 and data.big != 1e5", "1e4 == 5", "5 == 1e4", "data.1e4 == 5", "not (1e4 > 5)"],
  ]) {
    expect([query, check(query)]).toEqual([query, true])
  }
  const found = (query: string) => faults({ query })[0]?.replace(/^filters\[0\]\.query: line 1, /, "")
  expect(found("1e400 == data.a")).toBe("column 10: compare a field with a value; begin with the field")
  expect(found("data.a == 1e")).toBe("column 11: compare a field with a value; two fields are compared in sql")
  expect(found("data.a == 1e -4")).toBe("column 11: compare a field with a value; two fields are compared in sql")
  expect(found("data.a == 1e4x")).toBe("column 11: compare a field with a value; two fields are compared in sql")
})

test("a line that cannot be read is answered, not thrown", () => {
  for (const line of ["", "{", "[]", "{}", '{"filter":{"sql":"1"}}', '{"filter":{},"event":{},"x":1}']) {
    const answer = JSON.parse(evaluateLine(line))
    expect(answer.pass).toBe(false)
    expect(answer.errors[0].kind).toBe("parse")
  }
  expect(evaluateLine('{"filter":{"sql":"1 + 1"},"event":{"id":"1"}}')).toBe('{"pass":false,"value":2,"errors":[]}')
})

/** Tokens of both languages and what is none, so that parsers meet every kind of nonsense. */
const token = fc.constantFrom(
  ..."( ) [ ] , . :: = == != <> < <= > >= + - * / % && || ! 'a' \"b\" 'open 1 9.5 2147483648 _x é 😀 # \\ \n".split(
    " ",
  ),
  ..."AND or XOR not LIKE in IN exists is NULL TRUE data data.x type LENGTH( contains ::DATETIME".split(" "),
)

test("no text makes a parser throw or hang, and what it faults has a place in the text", () => {
  const nonsense = fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join(" "))
  const cut = fc
    .tuple(sqlText, fc.nat(60), token)
    .map(([text, at, put]) => text.slice(0, at) + put + text.slice(at + 1))
  fc.assert(
    fc.property(fc.oneof(nonsense, cut, fc.string({ maxLength: 60, unit: "binary" })), (text) => {
      for (const { faults } of [parseSql(text), parseQuery(text)]) {
        for (const { at, found, expected } of faults) {
          expect(at >= 0 && at <= text.length && found !== "" && expected !== "").toBe(true)
        }
      }
      parsePath(text)
    }),
    { numRuns: 5000 },
  )
})

test("deep and long texts are refused or read, without a stack overflow", () => {
  for (const text of [
    "(".repeat(8000),
    "NOT ".repeat(4000),
    "-".repeat(16000),
    "!".repeat(16000),
    `a IN (${"1,".repeat(5000)}1)`,
  ]) {
    expect(parseSql(text).nodes + parseQuery(text).nodes).toBeGreaterThanOrEqual(0)
  }
  expect(faults({ sql: Array.from({ length: 1000 }, () => "a").join(" AND ") })[0]).toContain("more than 256 clauses")
})
