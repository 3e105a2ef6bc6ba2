import { expect, test } from "vitest"
import { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { compileFilters } from "./compile.ts"
import { limits } from "./limits.ts"
import { parseFilters } from "./parse.ts"

const event = Event.of({
  specversion: "1.0",
  id: "1",
  source: "/shop/eu",
  type: "order.created",
  subject: "Invoice-7",
  priority: 7,
  urgent: true,
})

function passes(...filters: Filter[]): boolean {
  expect(parseFilters(filters)).toEqual({ ok: true, filters })
  return compileFilters(filters)(event)
}

function faults(input: unknown): Record<string, string> {
  const parsed = parseFilters(input)
  return parsed.ok ? {} : Object.fromEntries(parsed.faults.map((fault) => [fault.field, fault.message]))
}

test("no filters: every event passes", () => {
  expect(passes()).toBe(true)
  expect(parseFilters(undefined)).toEqual({ ok: true, filters: [] })
})

test("exact, prefix and suffix need every attribute they list, and case matters", () => {
  expect(passes({ exact: { type: "order.created" } })).toBe(true)
  expect(passes({ exact: { type: "order.created", source: "/shop/us" } })).toBe(false)
  expect(passes({ exact: { type: "Order.created" } })).toBe(false)
  expect(passes({ prefix: { type: "order.", source: "/shop" } })).toBe(true)
  expect(passes({ prefix: { subject: "invoice" } })).toBe(false)
  expect(passes({ suffix: { subject: "-7", source: "eu" } })).toBe(true)
  expect(passes({ suffix: { subject: "Invoice-7 " } })).toBe(false)
})

test("a missing attribute fails, and attributes that are not text are compared by their canonical text", () => {
  expect(passes({ exact: { missing: "x" } })).toBe(false)
  expect(passes({ not: { exact: { missing: "x" } } })).toBe(true)
  expect(passes({ prefix: { constructor: "f" } })).toBe(false)
  expect(passes({ exact: { priority: "7", urgent: "true" } })).toBe(true)
  expect(passes({ exact: { priority: "07" } })).toBe(false)
})

test("all, any and not combine, and the filters of an array must all hold", () => {
  const order: Filter = { prefix: { type: "order." } }
  const other: Filter = { exact: { type: "other" } }
  expect(passes({ all: [order, other] })).toBe(false)
  expect(passes({ any: [other, order] })).toBe(true)
  expect(passes({ any: [other, other, order] })).toBe(true)
  expect(passes({ any: [other] })).toBe(false)
  expect(passes({ not: other })).toBe(true)
  expect(passes(order, { not: { any: [other, order] } })).toBe(false)
  expect(passes(order, order, order, { not: other })).toBe(true)
})

test("every fault is named at once, with its place", () => {
  expect(
    faults([
      { all: [{ exact: { type: "a" } }, { exact: { type: 5, Bad_Name: "x" } }] },
      { exakt: { type: "a" } },
      { exact: {}, prefix: { type: "" } },
      {},
      "type = 'a'",
      { any: [] },
      { all: {} },
      { not: [{ exact: { type: "a" } }] },
      { exact: { data: "x" } },
      { suffix: null },
    ]),
  ).toEqual({
    "filters[0].all[1].exact.type": "must be a string, not a number",
    "filters[0].all[1].exact.Bad_Name": expect.stringContaining("a-z and 0-9"),
    "filters[1].exakt": expect.stringMatching(/^unknown dialect; known are exact, prefix, suffix, all, any, not/),
    "filters[2]": expect.stringContaining("2 dialects (exact, prefix)"),
    "filters[2].exact": "must name at least one attribute",
    "filters[2].prefix.type": "must not be empty",
    "filters[3]": expect.stringContaining("names no dialect"),
    "filters[4]": "a filter is an object with one dialect, not a string",
    "filters[5].any": "must hold at least one filter",
    "filters[6].all": "must be an array of filters, not an object",
    "filters[7].not": "a filter is an object with one dialect, not an array",
    "filters[8].exact.data": expect.stringContaining("not an attribute"),
    "filters[9].suffix": expect.stringContaining("not null"),
  })
  expect(faults({ exact: { type: "a" } })).toEqual({ filters: "must be an array of filters, not an object" })
  expect(faults(JSON.parse('[{"exact":{"__proto__":"x"}}]'))).toHaveProperty(["filters[0].exact.__proto__"])
})

test("depth, clauses, filters and texts are limited", () => {
  const nested = (depth: number): unknown => (depth === 1 ? { exact: { type: "a" } } : { not: nested(depth - 1) })
  expect(faults([nested(limits.depthMax)])).toEqual({})
  expect(Object.values(faults([nested(limits.depthMax + 1)]))).toEqual(["filters are nested more than 16 deep"])
  const wide = (count: number) => [{ any: Array.from({ length: count }, () => ({ exact: { type: "a" } })) }]
  expect(faults(wide(limits.nodesMax - 1))).toEqual({})
  expect(Object.values(faults(wide(limits.nodesMax)))).toEqual(["more than 256 clauses in all; use fewer"])
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`a${i}`, "x"]))
  expect(Object.values(faults([{ exact: many }]))).toEqual(["more than 256 clauses in all; use fewer"])
  expect(faults(Array.from({ length: 65 }, () => ({ exact: { type: "a" } })))).toHaveProperty("filters")
  expect(faults([{ exact: { type: "x".repeat(4096) } }])).toEqual({})
  expect(faults([{ exact: { type: "x".repeat(4097) } }])).toHaveProperty(["filters[0].exact.type"])
})

test("filters that were never checked do not compile", () => {
  expect(() => compileFilters([{ exact: { type: "" } }])).toThrow("filters[0].exact.type")
})
