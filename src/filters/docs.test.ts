import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { type Attributes, Event } from "../core/event.ts"
import { evaluateInput, evaluateLine } from "./eval.ts"
import { explainFilters } from "./explain.ts"

const page = readFileSync(new URL("../../docs/filters.md", import.meta.url), "utf8")
const blocks = [...page.matchAll(/^```(\w+) (\w+)\n([\s\S]*?)^```$/gm)].map(([, language, role, text]) => {
  return { language: language!, role: role!, text: text! }
})
const event: unknown = JSON.parse(blocks.find(({ role }) => role === "event")!.text)
const examples = blocks.flatMap(({ language, role, text }) =>
  text
    .trim()
    .split("\n")
    .map((line) => ({ language, role, line })),
)

/** A filter as the page writes it. */
function filterOf(language: string, line: string): unknown {
  return language === "json" ? JSON.parse(line) : { [language]: line }
}

const verdicts = examples.filter(({ role }) => role === "passes" || role === "fails")

test.each(verdicts)("$language $role: $line", ({ language, role, line }) => {
  const result = evaluateInput({ filter: filterOf(language, line), event })
  expect(result.errors.filter(({ kind }) => kind === "parse")).toEqual([])
  expect(result.pass).toBe(role === "passes")
})

const evaluations = examples.filter(({ role }) => role === "evaluates")

test.each(evaluations)("evaluates: $line", ({ line }) => {
  const [, sql, value, kind] = /^(.*?) +-> (\S+)(?: (\w+))?$/.exec(line)!
  const result = evaluateInput({ filter: { sql }, event })
  expect(result.value).toEqual(JSON.parse(value!))
  expect(result.errors.map((error) => error.kind)).toEqual(kind === undefined ? [] : [kind])
})

const lines = examples.filter(({ role }) => role === "lines")

test.each(lines)("says of the line: $line", ({ line }) => {
  const [input, pass] = line.split(" -> ") as [string, string]
  expect(JSON.parse(evaluateLine(input))).toEqual({ pass: pass === "true", value: pass === "true", errors: [] })
})

const explanations = examples.filter(({ role }) => role === "explains")

test.each(explanations)("explains: $line", ({ line }) => {
  const [filter, sentence] = line.split(" -> ") as [string, string]
  const { data, ...attributes } = event as Attributes & { readonly data: unknown }
  const stored = Event.of(attributes, Buffer.from(JSON.stringify(data)), "json")
  expect(explainFilters([JSON.parse(filter)], stored).sentence).toBe(sentence)
})

test("the page has examples of every kind", () => {
  expect(verdicts.length).toBeGreaterThan(50)
  expect(evaluations.length).toBeGreaterThan(10)
  expect(explanations.length).toBeGreaterThan(5)
  expect(lines.length).toBeGreaterThan(5)
})
