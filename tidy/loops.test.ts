import { parseSync } from "oxc-parser"
import { expect, test } from "vitest"
import { endlessLoops } from "./loops.ts"
import type { Node } from "./source.ts"

const findings = (body: string, path = "src/some/file.ts") => {
  const text = `export async function run(a) {\n${body}\n}\n`
  const program = parseSync("file.ts", text).program as unknown as Node
  return endlessLoops([{ path, text, program, imports: [], isTest: false }]).map(({ where }) => where)
}

test.each([
  "for (;;) a()",
  "while (true) a()",
  "do { a() } while (true)",
  "for (let i = 0; ; i++) a()",
  "while (!a.done) await a.more()",
  "while (!(await a())) {}",
  "for (let next = await a(); next !== undefined; next = await a()) {}",
  "do { for await (const b of a) b() } while (a.again)",
  "while (a.length > 1 || a.more) await a()",
  "// Ends:\nfor (;;) a()",
  "// Ends: the one before.\na()\nfor (;;) a()",
])("names no end: %s", (body) => {
  expect(findings(body)).toHaveLength(1)
  expect(findings(body, "examples/some.ts")).toEqual([])
})

test.each([
  "for (let i = 0; i < 8; i++) await a()",
  "while (a.more && tries++ < 8) await a()",
  "while (!a.signal.aborted) await a()",
  "while (!a?.aborted && a.more) await a()",
  "while (a.more) a.step()",
  "while (a.more) a.then(async () => await a())",
  "for await (const b of a) await b()",
  "// Ends: a says when.\nfor (;;) await a()",
  "// Ends: a says when, and it takes\n// a while to say so.\nfor (;;) await a()",
])("ends, and says by what: %s", (body) => {
  expect(findings(body)).toEqual([])
})

test("says where", () => {
  expect(findings("a()\nfor (;;) a()")).toEqual(["src/some/file.ts:3"])
})
