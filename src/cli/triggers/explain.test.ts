import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters as plain } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi, testEvent } from "../../api/api.fixture.ts"
import { Event } from "../../core/event.ts"
import { exitCodes } from "../failures.ts"
import { type RunOptions, runCli } from "../terminal.fixture.ts"

let api: TestApi
let cursors: readonly string[]
let directory: string
let file: string
const event = { specversion: "1.0", id: "x", source: "/test", type: "test.1", data: { a: 1 } }

beforeAll(async () => {
  api = await openTestApi()
  directory = mkdtempSync(join(tmpdir(), "redcar-cli-"))
  file = join(directory, "event.json")
  writeFileSync(file, JSON.stringify(event))
  await run(["destination", "create", "shop", "--kind", "webhook", "--to", "https://example.com/"])
  cursors = await api.append("orders", ["1", "2", "3"])
})
afterAll(async () => {
  rmSync(directory, { recursive: true })
  await api.close()
})

function run(words: readonly string[], options: RunOptions = {}) {
  return runCli([...words, "--url", api.url, "--key", "admin"], options)
}

test("triggers are made with filters of every dialect, and warned of", async () => {
  const flags = ["--sql", "type = 'test.1' AND data.a > 0", "--path", "source=/*", "--query", "data.a == 1"]
  const pattern = ["--pattern", '{"type": ["test.1", "test.2"]}']
  const words = ["trigger", "create", "ones", "--topic", "orders", "--destination", "shop", "--start", "oldest"]
  const made = await run([...words, ...flags, ...pattern, "--json"])
  expect([made.code, JSON.parse(made.out).filters]).toEqual([
    0,
    [
      { path: { source: "/*" } },
      { sql: "type = 'test.1' AND data.a > 0" },
      { query: "data.a == 1" },
      { pattern: { type: ["test.1", "test.2"] } },
    ],
  ])
  const odd = await run(["trigger", "create", "odd", "--topic", "orders", "--destination", "shop", "--exact", "tpye=x"])
  expect(odd).toMatchObject({ code: 0, err: expect.stringMatching(/^warning: filters\[0\] .* was type meant\?\n$/) })
  expect((await run(["trigger", "update", "odd", "--filters", "[]"])).err).toBe("")
  expect((await run(["trigger", "delete", "odd", "--yes"])).code).toBe(0)
})

test("explain draws the tree, marks what decided, and has no colours where nobody sees them", async () => {
  const { code, out } = await run(["trigger", "explain", "ones", "--cursor", cursors[1]!])
  expect([code, out]).toEqual([
    0,
    `✗ rejects  The event does not pass: type = 'test.1' is false, for type is "test.2".
  test.2 2 of /test on orders at ${cursors[1]}

✗  all of 4 clauses
├─ ✓  source matches the path /*  is "/test"
├─ ✗  type = 'test.1' AND data.a > 0
│  ├─ ✗  type = 'test.1'  ← decided
│  │  └─ ·  type  = "test.2"
│  └─ ·  data.a > 0  not evaluated
│     └─ ·  data.a  not evaluated
├─ ✓  data.a is 1  is 1
└─ ✓  any of 2 clauses
   ├─ ✗  type is "test.1"  is "test.2"
   └─ ✓  type is "test.2"  is "test.2"
`,
  ])
  const seen = await run(["trigger", "explain", "ones", "--cursor", cursors[1]!], { columns: 100 })
  expect(seen.out).toContain("\x1b[31m✗")
  expect(plain(seen.out)).toBe(out)
})

test("explain takes an event from a file or standard input, and a trigger out of flags", async () => {
  const filed = await run(["trigger", "explain", "ones", "--event", file])
  expect(filed.out).toMatch(/^✓ fires {2}The event passes/)
  const unsaved = ["trigger", "explain", "--sql", "data.nosuch > 1", "--event", "-", "--json"]
  const piped = await run(unsaved, { stdin: JSON.stringify(event) })
  expect(JSON.parse(piped.out)).toMatchObject({ verdict: "rejects", errors: [{ kind: "missingAttribute" }] })
  const told = await run(["trigger", "explain", "--exact", "tpye=x", "--event", file])
  expect(told.err).toMatch(/^warning: /)
})

test("what is asked in a wrong way is refused before anything is sent", async () => {
  for (const [words, message] of [
    [["explain", "ones"], /which event\?/],
    [["explain", "ones", "--cursor", "1", "--event", file], /which event\?/],
    [["explain", "ones", "--cursor", "1", "--exact", "type=a"], /a trigger and filters at once/],
    [["explain", "ones", "--event", "-"], /is not JSON/],
    [["match"], /which event\?/],
    [["dry-run"], /which trigger\?/],
    [["dry-run", "ones", "--topic", "orders"], /a trigger and a topic at once/],
  ] as const) {
    const { code, err } = await run(["trigger", ...words], { stdin: "{" })
    expect([code, err]).toEqual([exitCodes.usage, expect.stringMatching(message)])
  }
  const missing = await run(["trigger", "explain", "nosuch", "--cursor", cursors[0]!])
  expect(missing.code).toBe(exitCodes.notFound)
})

test("match lists what an event fires, and with --explain why not the rest", async () => {
  expect((await run(["trigger", "match", "--cursor", cursors[0]!])).out).toMatch(/^TRIGGER.*\nones +shop +fires/)
  const none = await run(["trigger", "match", "--cursor", cursors[2]!])
  expect(none.out).toBe("No trigger. Why not? redcar trigger match --explain\n")
  const why = await run(["trigger", "match", "--cursor", cursors[2]!, "--explain", "--json"])
  expect(JSON.parse(why.out)).toMatchObject([{ id: "ones", verdict: "rejects" }])
  const sent = await run(["trigger", "match", "--topic", "orders", "--event", file])
  expect(sent.out).toMatch(/ones/)
})

test("dry-run reports what would have fired, and what decided about the rest", async () => {
  const { code, out } = await run(["trigger", "dry-run", "ones"])
  expect(code).toBe(0)
  expect(out).toMatch(
    /^1 of 3 events would fire it \(33\.3 %\)\nstored .* to .*\n1 a minute on average, 1 in the busiest/,
  )
  expect(out).toMatch(new RegExp(`MATCHED .*\n${cursors[0]} +test\\.1`))
  expect(out).toMatch(/NOT MATCHED {2}BECAUSE THIS DID NOT HOLD\n +2 {2}type = 'test\.1'/)
  const words = ["trigger", "dry-run", "--topic", "orders", "--query", "data.a == 1", "--from", "1h", "--json"]
  expect(JSON.parse((await run(words)).out)).toMatchObject({ kind: "result", events: 3, matched: 3 })
  const part = await run(["trigger", "dry-run", "ones", "--events-max", "2"])
  expect(part.out).toContain(`not all was read: go on with --from ${cursors[1]}`)
})

test("dry-run has a bar, and Ctrl-C ends it on both sides", async () => {
  const many = Array.from({ length: 60_000 }, (_, n) => testEvent(`m${n}`))
  await api.call("POST", "/v1/topics", { id: "many" })
  await api.engine.log.append({ tenant: "default", topic: "many" }, many)
  const stop = new AbortController()
  const words = ["trigger", "dry-run", "--topic", "many", "--sql", "UPPER(type) = 'X' OR data.a > 5"]
  const { code, out, err } = await run(words, { columns: 100, interrupt: stop.signal, onErr: () => stop.abort() })
  expect([code, out]).toEqual([exitCodes.failed, ""])
  expect(plain(err)).toMatch(/░.* 0%.*events, 0 matched/)
  expect(plain(err)).toMatch(/error: stopped: 0 events read, 0 matched so far/)
})

test("journey tells of the event, its triggers and what it caused", async () => {
  const cause = { ...event, id: "cause", correlationid: "c" }
  const address = { tenant: "default", topic: "orders" }
  const { data: _, ...attributes } = cause
  const [root] = await api.engine.log.append(address, [Event.of(attributes)])
  const [child] = await api.engine.log.append(address, [Event.of({ ...attributes, id: "child", causationid: "cause" })])
  const down = await run(["event", "journey", root!.cursor])
  expect(down.out).toMatch(/^test\.1 cause of \/test\n {2}stored .* ago\) on orders at /)
  expect(down.out).toMatch(/… ones → shop\n {6}.*The trigger has not come to the event yet\.|✗ ones → shop/)
  expect(down.out).toContain(`└─ test.1 child of /test on orders at ${child!.cursor}`)
  const up = await run(["event", "journey", child!.cursor])
  expect(up.out).toContain(`caused by test.1 cause of /test on orders at ${root!.cursor}`)
  expect(JSON.parse((await run(["event", "journey", root!.cursor, "--json"])).out)).toHaveProperty("searched")
  expect((await run(["event", "journey", "nonsense"])).code).toBe(exitCodes.notFound)
})
