import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { filtersOf } from "./filter-flags.ts"
import { runCli } from "./terminal.fixture.ts"

const bin = fileURLToPath(new URL("../../bin/redcar.js", import.meta.url))
const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid", data: { total: 120.5 } }
const line = (filter: object, of: object = event) => JSON.stringify({ filter, event: of })

function start(): ChildProcess {
  // No hub is at this address, and none is asked.
  return spawn(process.execPath, [bin, "filter", "eval"], {
    env: { PATH: process.env.PATH, REDCAR_URL: "http://127.0.0.1:1" },
    stdio: ["pipe", "pipe", "inherit"],
  })
}

test("as a process: each line is answered in its place, with the kinds of what went wrong, and no hub runs", async () => {
  const child = start()
  const lines = [
    line({ sql: "type = 'order.paid' AND data.total > 100" }),
    line({ sql: "1 / 0" }),
    line({ sql: "type + 1" }),
    line({ sql: "nosuch = 'x'" }),
    line({ sql: "NOSUCH(1)" }),
    line({ sql: "SUBSTRING('abc', 9)" }),
    line({ sql: "type =\n =" }),
    line({ exact: { type: "order.paid" } }),
    line({ exact: { type: "order.paid" }, prefix: { type: "o" } }),
    line({ pattern: { data: { total: [{ numeric: [">", 100] }] } } }),
    line({ path: { source: "/*" } }),
    line({ query: "data.total < 100" }),
    "",
    "not JSON",
    line({ sql: "1 + 1" }),
  ]
  child.stdin!.end(`${lines.join("\n")}\n`)
  let out = ""
  for await (const part of child.stdout!) out += part
  const answers = out
    .trimEnd()
    .split("\n")
    .map((each) => JSON.parse(each))
  expect(answers.map(({ pass }) => pass)).toEqual([
    ...[true, false, false, false, false, false, false, true, false, true, true, false, false, false, false],
  ])
  const kinds = answers.map(({ errors }) => errors.map((each: { kind: string }) => each.kind))
  expect(kinds).toEqual([
    [],
    ["math"],
    ["cast"],
    ["missingAttribute"],
    ["missingFunction"],
    ["functionEvaluation"],
    ["parse"],
    [],
    ["parse"],
    [],
    [],
    [],
    ["parse"],
    ["parse"],
    [],
  ])
  expect(answers[1]).toEqual({
    pass: false,
    value: 0,
    errors: [{ kind: "math", message: expect.any(String), line: 1, column: 3 }],
  })
  expect(answers[6].errors[0]).toMatchObject({ line: 2, column: 2 })
  expect(answers.at(-1)).toEqual({ pass: false, value: 2, errors: [] })
})

test("as a process: an answer comes before the next line is there", async () => {
  const child = start()
  try {
    child.stdin!.write(`${line({ exact: { type: "order.paid" } })}\n`)
    const [first] = (await once(child.stdout!, "data")) as [Buffer]
    expect(first.toString()).toBe('{"pass":true,"value":true,"errors":[]}\n')
    child.stdin!.end(line({ exact: { type: "x" } }))
    const [second] = (await once(child.stdout!, "data")) as [Buffer]
    expect(second.toString()).toBe('{"pass":false,"value":false,"errors":[]}\n')
    expect(await once(child, "exit")).toEqual([0, null])
  } finally {
    child.kill()
  }
})

test("a file may be named", async () => {
  const directory = mkdtempSync(join(tmpdir(), "redcar-cli-"))
  try {
    const path = join(directory, "lines.ndjson")
    writeFileSync(path, `${line({ prefix: { type: "order." } })}\n`)
    expect((await runCli(["filter", "eval", path])).out).toBe('{"pass":true,"value":true,"errors":[]}\n')
    const missing = await runCli(["filter", "eval", join(directory, "none")])
    expect([missing.code, missing.err]).toEqual([2, expect.stringContaining("cannot be read (ENOENT)")])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test("there is a flag for every dialect, and all hold together", () => {
  const options = {
    exact: { type: "a", source: "b" },
    prefix: { subject: "p" },
    suffix: { subject: "s" },
    path: { subject: "/*" },
    sql: ["id = '1'", "id = '2'"],
    query: ["id == '1'"],
    pattern: { type: ["a"] },
    filter: { not: { exact: { id: "1" } } },
    filters: [{ exact: { id: "2" } }, { exact: { id: "3" } }],
  }
  expect(filtersOf(options)).toEqual([
    { exact: { type: "a", source: "b" } },
    { prefix: { subject: "p" } },
    { suffix: { subject: "s" } },
    { path: { subject: "/*" } },
    { sql: "id = '1'" },
    { sql: "id = '2'" },
    { query: "id == '1'" },
    { pattern: { type: ["a"] } },
    { not: { exact: { id: "1" } } },
    { exact: { id: "2" } },
    { exact: { id: "3" } },
  ])
  expect(filtersOf({})).toBeUndefined()
})
