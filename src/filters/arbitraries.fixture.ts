import fc from "fast-check"
import { type Attributes, Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { exactNumber, type Numeric } from "../formats/decimal.ts"
import type { Json } from "./view.ts"

/** Few values that are often equal, alike or nearly so: what tells a wrong matcher from a right one. */
const text = fc.constantFrom(
  "a",
  "b",
  "ab",
  "abc",
  "A",
  "Ab",
  "a/b",
  "a//b",
  "a/b/c",
  "1",
  "01",
  "+1",
  "true",
  "TRUE",
  "7",
  "😀b",
)
const name = fc.constantFrom("type", "source", "subject", "n", "flag", "x1", "constructor")
const member = fc.constantFrom("x", "y", "tags", "constructor", "a b")
const number = fc.constantFrom(0, 1, 2, 7, 9.5, -1, 9007199254740992, 9007199254740994)
/** Numbers of which most are no double's, and which round to each other. */
const numberText = fc.constantFrom(
  "9007199254740993",
  "9007199254740993.0",
  "9007199254740992.5",
  "9007199254740991",
  "9007199254740992",
  "6.99999999999999999999",
  "7.00000000000000000001",
  "1.5e400",
  "-1.5e400",
  "1.0e-400",
)
const numeric: fc.Arbitrary<Numeric> = fc.oneof(number, numberText.map(exactNumber))
const integer = fc.constantFrom(0, 1, 2, 7, -1)
const scalar: fc.Arbitrary<string | number | boolean | null> = fc.oneof(text, number, fc.boolean(), fc.constant(null))

function record<T>(key: fc.Arbitrary<string>, value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> {
  return fc.dictionary(key, value, { minKeys: 1, maxKeys: 2, noNullPrototype: true })
}

function quoted(value: string): string {
  return `'${value}'`
}

/** In SQL, whole numbers beyond 32 bits have a point. */
function sqlNumber(value: Numeric): string {
  const text = String(value)
  return /^-?[0-9]{10}/.test(text) && !text.includes(".") ? `${text}.0` : text.replace(/^(-?[0-9]+)(?=e)/, "$1.0")
}

const dataPath = fc
  .array(fc.oneof(member, fc.constantFrom(0, 1)), { minLength: 1, maxLength: 3 })
  .map((steps) => `data${steps.map((step) => (typeof step === "number" ? `[${step}]` : `['${step}']`)).join("")}`)

const likePattern = fc
  .array(fc.constantFrom("a", "b", "%", "_", "\\%", "c", "/"), { maxLength: 5 })
  .map((all) => all.join(""))

/** CloudEvents SQL, data included: every construct, of every type. */
export const sqlText: fc.Arbitrary<string> = fc.letrec<{ sql: string }>((tie) => ({
  sql: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    name,
    dataPath,
    text.map(quoted),
    integer.map(String),
    integer.map((value) => `${value}.5`),
    numeric.map(sqlNumber),
    fc.constantFrom("TRUE", "false", "2147483647", "-2147483648"),
    fc.oneof(name, dataPath).map((read) => `EXISTS ${read}`),
    fc
      .tuple(
        fc.oneof(name, dataPath),
        fc.constantFrom("=", "!=", "<", ">="),
        fc.oneof(text.map(quoted), numeric.map(sqlNumber), numberText.map(quoted), fc.constant("null")),
      )
      .map((all) => all.join(" ")),
    fc
      .tuple(
        tie("sql"),
        fc.constantFrom("AND", "OR", "XOR", "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"),
        tie("sql"),
      )
      .map(([a, op, b]) => `(${a}) ${op} (${b})`),
    fc.tuple(tie("sql"), fc.constantFrom("AND", "OR", "AND", "OR", "="), tie("sql")).map((all) => all.join(" ")),
    fc.tuple(fc.constantFrom("NOT", "-"), tie("sql")).map(([op, of]) => `${op} (${of})`),
    fc
      .tuple(tie("sql"), fc.constantFrom("LIKE", "NOT LIKE"), likePattern)
      .map(([of, op, pattern]) => `(${of}) ${op} ${quoted(pattern)}`),
    fc.tuple(name, likePattern).map(([of, pattern]) => `${of} LIKE ${quoted(pattern)}`),
    fc
      .tuple(tie("sql"), fc.constantFrom("IN", "NOT IN"), fc.array(tie("sql"), { minLength: 1, maxLength: 3 }))
      .map(([of, op, all]) => `(${of}) ${op} (${all.join(", ")})`),
    fc
      .tuple(name, fc.array(fc.oneof(text.map(quoted), integer.map(String)), { minLength: 1, maxLength: 3 }))
      .map(([of, all]) => `${of} IN (${all.join(", ")})`),
    fc.tuple(tie("sql"), fc.constantFrom("IS NULL", "IS NOT NULL")).map(([of, op]) => `(${of}) ${op}`),
    fc
      .tuple(fc.constantFrom("LENGTH", "UPPER", "lower", "TRIM", "ABS", "INT", "BOOL", "STRING", "NOSUCH"), tie("sql"))
      .map(([call, of]) => `${call}(${of})`),
    fc
      .tuple(fc.constantFrom("LEFT", "RIGHT", "SUBSTRING", "CONCAT", "CONCAT_WS"), tie("sql"), tie("sql"))
      .map(([call, a, b]) => `${call}(${a}, ${b})`),
  ),
})).sql

const comparison = fc
  .tuple(
    fc.oneof(name, dataPath, fc.constantFrom("user_key", "n::NUMBER", "data.x::TEXT", "data.y::BOOLEAN")),
    fc.constantFrom("==", "!=", "<", "<=", ">", ">="),
    fc.oneof(text.map(quoted), number.map(String), numberText, numberText.map(quoted)),
  )
  .map(([field, op, value]) =>
    /::/.test(field) ? `${field.split("::")[0]} ${op} ${value}` : `${field} ${op} ${value}`,
  )

/** Queries of every construct. */
export const queryText: fc.Arbitrary<string> = fc.letrec<{ query: string }>((tie) => ({
  query: fc.oneof(
    { maxDepth: 3 },
    comparison,
    fc
      .tuple(
        fc.oneof(name, dataPath),
        fc.constantFrom("==", "!=", "contains", "not contains"),
        fc.oneof(
          scalar.map((value) => (typeof value === "string" ? quoted(value) : String(value))),
          numberText,
        ),
      )
      .map((all) => all.join(" ")),
    fc
      .tuple(
        fc.constantFrom("data.x", "data.tags", "n"),
        fc.constantFrom("NUMBER", "TEXT", "BOOLEAN"),
        fc.constantFrom("==", "!="),
        fc.constantFrom("1", "'1'::NUMBER", "9007199254740993", "'9007199254740993'::NUMBER"),
      )
      .map(([field, type, op, value]) =>
        type === "BOOLEAN" ? `${field}::BOOLEAN ${op} true` : `${field}::${type} ${op} ${value}`,
      ),
    fc
      .tuple(fc.constantFrom("time", "data.x"), fc.constantFrom("<", ">=", "=="))
      .map(([field, op]) => `${field} ${op} '2026-01-01'::DATETIME`),
    fc
      .tuple(
        fc.oneof(name, dataPath),
        fc.constantFrom("in", "not in"),
        fc.array(text.map(quoted), { minLength: 1, maxLength: 3 }),
      )
      .map(([field, op, all]) => `${field} ${op} [${all.join(", ")}]`),
    fc.oneof(name, dataPath),
    fc.oneof(name, dataPath).map((field) => `exists ${field}`),
    fc.tuple(tie("query"), fc.constantFrom("and", "or", "&&", "||"), tie("query")).map((all) => all.join(" ")),
    tie("query").map((query) => `not (${query})`),
    tie("query").map((query) => `(${query})`),
  ),
})).query

const affix = fc.oneof(
  text,
  text.map((value) => ({ "equals-ignore-case": value })),
)
const wildcard = fc
  .array(fc.constantFrom("a", "b", "/", "*"), { minLength: 1, maxLength: 5 })
  .map((all) => all.join("").replace(/\*+/g, "*"))
const range = fc.oneof(
  fc.tuple(fc.constantFrom("=", "<", "<=", ">", ">="), number).map((all): (string | number)[] => all),
  fc
    .tuple(
      fc.constantFrom(">", ">="),
      fc.constantFrom(-1, 0, 1),
      fc.constantFrom("<", "<="),
      fc.constantFrom(2, 7, 9.5),
    )
    .map((all): (string | number)[] => all),
)
const matcher = fc.oneof(
  { arbitrary: scalar, weight: 3 },
  affix.map((prefix) => ({ prefix })),
  affix.map((suffix) => ({ suffix })),
  text.map((value) => ({ "equals-ignore-case": value })),
  wildcard.map((value) => ({ wildcard: value })),
  range.map((numeric) => ({ numeric })),
  fc.boolean().map((exists) => ({ exists })),
  fc.constant({ cidr: "10.0.0.0/8" }),
  fc
    .oneof<fc.Arbitrary<unknown>[]>(
      fc.array(text, { minLength: 1, maxLength: 2 }),
      fc.array(number, { minLength: 1, maxLength: 2 }),
      text.map((prefix) => ({ prefix })),
      fc.array(wildcard, { minLength: 1, maxLength: 2 }).map((all) => ({ wildcard: all })),
    )
    .map((value) => ({ "anything-but": value })),
)
const matchers = fc.array(matcher, { minLength: 1, maxLength: 2 })
const { object } = fc.letrec<{ object: Record<string, unknown> }>((tie) => ({
  object: fc.oneof(
    { maxDepth: 3 },
    record(member, matchers),
    record(member, fc.oneof<fc.Arbitrary<unknown>[]>(matchers, tie("object"))),
    fc
      .tuple(record(member, matchers), fc.array(tie("object"), { minLength: 2, maxLength: 2 }))
      .map(([all, or]) => ({ ...all, $or: or })),
  ),
}))
/** EventBridge patterns of every construct. */
export const pattern: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  record(name, matchers),
  object.map((data) => ({ data })),
  matchers.map((data) => ({ data })),
  fc.tuple(record(name, matchers), object).map(([all, data]) => ({ ...all, data })),
  fc.tuple(record(name, matchers), object).map(([all, data]) => ({ $or: [all, { data }] })),
)

/** Path patterns of every construct. */
export const pathText: fc.Arbitrary<string> = fc
  .array(fc.constantFrom("a", "b", "*", "**", "a*", "*b", "{v}", "{w=**}", "{z=a/*}", ""), {
    minLength: 1,
    maxLength: 4,
  })
  .map((all) =>
    [...new Set(all.filter((part) => part.startsWith("{"))), ...all.filter((part) => !part.startsWith("{"))].join("/"),
  )
  .filter((value) => value !== "")

/** Filters of every dialect; all of them check. */
export const filter: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.record({ exact: record(name, text) }),
    fc.record({ prefix: record(name, text) }),
    fc.record({ suffix: record(name, text) }),
    fc.record({ path: record(name, pathText) }),
    fc.record({ sql: sqlText }),
    fc.record({ pattern }),
    fc.record({ query: queryText }),
    fc.record({ all: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie("filter") }),
  ),
})).filter

const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    scalar,
    numberText.map(exactNumber),
    fc.constantFrom("10.1.2.3", "2026-02-01T00:00:00Z", "9007199254740993", "9007199254740992"),
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(member, tie("json"), { maxKeys: 3, noNullPrototype: true }),
  ),
}))

/** Events with some of the attributes and data that the filters above ask for. */
export const event: fc.Arbitrary<Event> = fc
  .record({
    attributes: fc.record(
      {
        type: text,
        source: text,
        subject: text,
        n: fc.oneof(integer, text, fc.constantFrom("9007199254740993", "9007199254740992")),
        flag: fc.boolean(),
        x1: fc.oneof(text, fc.boolean()),
        time: fc.constantFrom("2025-12-31T23:59:59Z", "2026-01-01T00:00:00+00:00"),
      },
      { requiredKeys: ["type", "source"] },
    ),
    data: fc.option(json, { nil: undefined }),
  })
  .map(({ attributes, data }) => {
    const all = { specversion: "1.0", id: "1", ...attributes } as Attributes
    if (data === undefined) return Event.of(all)
    return Event.of(all, new TextEncoder().encode(JSON.stringify(data)), "json")
  })
