import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { filtersOf } from "../filter-flags.ts"
import { runCli } from "../terminal.fixture.ts"

const bin = fileURLToPath(new URL("../../../bin/redcar.js", import.meta.url))
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

/** What the command answers to a file. */
async function evaluated(text: string) {
  const directory = mkdtempSync(join(tmpdir(), "redcar-cli-"))
  try {
    const path = join(directory, "lines.ndjson")
    writeFileSync(path, text)
    const { code, out, err } = await runCli(["filter", "eval", path])
    return {
      code,
      err,
      answers: out
        .split("\n")
        .filter(Boolean)
        .map((each) => JSON.parse(each)),
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test("data that nests too deep is an error of its line, and all others are answered", async () => {
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
  const filters = [
    '{"sql":"data.a.b = 1"}',
    '{"sql":"data[0]"}',
    '{"pattern":{"data":{"a":{"b":[1],"c":[1]}}}}',
    '{"query":"data.a == 1"}',
  ]
  const lines = [128, 129, 10_000, 100_000].flatMap((levels) =>
    filters.map((filter) => `{"filter":${filter},"event":{"type":"t","data":${deep(levels)}}}`),
  )
  const { code, answers } = await evaluated(`${lines.join("\n")}\n`)
  expect([code, answers.length]).toEqual([0, lines.length])
  expect(answers.slice(0, 4).map(({ errors }) => errors.map((each: { kind: string }) => each.kind))).toEqual([
    ["missingAttribute"],
    [],
    [],
    [],
  ])
  for (const { pass, errors } of answers.slice(4)) {
    expect([pass, errors]).toEqual([
      false,
      [{ kind: "parse", message: "event.data is nested deeper than 128 levels", line: 1, column: 1 }],
    ])
  }
})

test("a line that is too large ends it, once what came before it is answered", async () => {
  const first = `${line({ exact: { type: "order.paid" } })}\n`.repeat(3)
  const { code, err, answers } = await evaluated(`${first}{"filter":${" ".repeat(17 * 2 ** 20)}`)
  expect([code, err]).toEqual([1, expect.stringContaining("larger than 16 MiB")])
  expect(answers.map(({ pass }) => pass)).toEqual([true, true, true])
})

test("data means what it does where events are published", async () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64")
  const { answers } = await evaluated(
    [
      { datacontenttype: "application/json", data_base64: base64('{"a":1}') },
      { datacontenttype: "application/vnd.x+json; charset=utf-8", data_base64: base64('{"a":1}') },
      { data_base64: base64('{"a":1}') },
      { datacontenttype: "text/plain", data_base64: base64('{"a":1}') },
      { datacontenttype: "application/json", data_base64: base64('{"a":1') },
      { datacontenttype: "application/json", data_base64: "a" },
      { datacontenttype: "application/json", data_base64: base64(`${"[".repeat(129)}${"]".repeat(129)}`) },
      { data_base64: base64("{}"), data: { a: 1 } },
      { datacontenttype: "text/plain", data: { a: 1 } },
      { datacontenttype: "application/json", data: { a: 1 } },
      { data_base64: null, data: { a: 1 } },
    ]
      .map((data) => line({ query: "data.a == 1" }, { type: "t", ...data }))
      .join("\n"),
  )
  expect(answers.map(({ pass }) => pass)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
    false,
    false,
    true,
    true,
  ])
  expect(answers.flatMap(({ errors }) => errors.map((each: { message: string }) => each.message))).toEqual([
    "event.data_base64 must be a string in base64, padded",
    expect.stringContaining("event.data_base64 is nested deeper than 128 levels"),
    "event.data_base64 must not stand beside data",
    "event.data must be a string, for datacontenttype is no JSON type",
  ])
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

test.each(["exact", "prefix", "suffix", "path"])(
  "one attribute with two values of --%s is refused, and not taken for the last one",
  async (flag) => {
    const given = [`--${flag}`, "type=a", "--exact", "source=/shop", `--${flag}`, "type=b"]
    const { code, err } = await runCli(["trigger", "create", "--topic", "orders", "--destination", "shop", ...given])
    expect(code).toBe(2)
    expect(err).toContain("type is given twice, as a and as b.")
    expect(err).toContain("--sql")
  },
)
