import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Json, parseWithLosses } from "./formats/exact-json.ts"
import { type RestartableHub, startHubOn } from "./restart.fixture.ts"

const data = mkdtempSync(join(tmpdir(), "redcar-written-"))
let hub: RestartableHub
beforeAll(async () => {
  hub = await startHubOn(data)
  await hub.call("POST", "/v1/topics", { id: "orders" })
})
afterAll(async () => {
  await hub.stop()
  rmSync(data, { recursive: true })
})

/** Sends a text as it is; the body of the answer as a text. */
async function ask(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  const { authorization } = hub
  const headers = { authorization, ...(body !== undefined && { "content-type": "application/json" }) }
  const answer = await fetch(hub.address + path, { method, headers, ...(body !== undefined && { body }) })
  return { status: answer.status, text: await answer.text() }
}

const numberText = fc.constantFrom(
  ...["0", "-0", "1", "1.50", "1e3", "9007199254740992", "9007199254740993", "1e400", "-1e400", "1e-400", "0.1"],
  ...["0.10000000000000000555", "123456789012345678901234567890", "5e-324", "1e23"],
)
const oddText = fc.constantFrom(
  ...['"a"', '"\\ud800"', '"\\u2028"', '"\u2028"', '"é"', '"e\u0301"', '"\\u0041"', '"\\\\"', '"1e400"', '"__proto__"'],
)
const name = fc.constantFrom(
  ...['"a"', '"b"', '"__proto__"', '"constructor"', '"\\u0041"', '"\\\\"', '"\\n"', '"e\u0301"', '"é"', '"\\ud800"'],
)
const value = fc.oneof(numberText, numberText, oddText)

function objectOf(names: fc.Arbitrary<string>, values: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(names, values), { minLength: 1, maxLength: 3 })
    .map((all) => `{${all.map(([name, value]) => `${name}:${value}`).join(",")}}`)
}

const matchers = fc.oneof(
  fc.array(value, { minLength: 1, maxLength: 3 }).map((all) => `[${all.join(",")}]`),
  numberText.map((text) => `[{"numeric":[">",${text}]}]`),
  numberText.map((text) => `[{"anything-but":[${text}]}]`),
  fc.integer({ min: 1, max: 200 }).map((depth) => `${'{"x":'.repeat(depth)}[1]${"}".repeat(depth)}`),
)
const filters = fc.oneof(
  objectOf(name, matchers).map((data) => `[{"pattern":{"data":${data}}}]`),
  objectOf(fc.constantFrom('"type"', '"source"'), oddText).map((exact) => `[{"exact":${exact}}]`),
  fc.tuple(name, numberText).map(([, number]) => `[{"query":"data.a == ${number.replace(/^(-?\d+)e/, "$1.0e")}"}]`),
)
const labels = objectOf(fc.constantFrom('"team"', '"a"', '"__proto__"'), value)

interface Written {
  readonly path: string
  readonly members: string
}

let count = 0
const written: fc.Arbitrary<Written> = fc.oneof(
  fc.tuple(filters, labels, fc.boolean()).map(([filters, labels, labelled]) => ({
    path: "/v1/triggers",
    members: `"topic":"orders","destination":"d","filters":${filters}${labelled ? `,"labels":${labels}` : ""}`,
  })),
  fc.tuple(labels, oddText).map(([labels, description]) => ({
    path: "/v1/topics",
    members: `"labels":${labels},"description":${description}`,
  })),
  fc.tuple(objectOf(name, value), numberText).map(([headers, timeout]) => ({
    path: "/v1/destinations",
    members: `"kind":"webhook","config":{"url":"http://127.0.0.1:1/","headers":${headers},"timeoutMs":${timeout}}`,
  })),
)

/** The same text for the same value, whatever the order of members. */
function canonical(value: Json | undefined): string {
  if (typeof value !== "object" || value === null || "toJSON" in value) return JSON.stringify(value) ?? ""
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  const members = Object.entries(value as Readonly<Record<string, Json>>).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join()}}`
}

/** Whether all that was put is there. */
function expectKept(put: string, got: string): void {
  const [{ value, losses }, { value: shown }] = [parseWithLosses(put), parseWithLosses(got)]
  expect(losses, put).toEqual([])
  for (const [name, each] of Object.entries(value as Readonly<Record<string, Json>>)) {
    if (name === "config") continue
    expect(canonical((shown as Readonly<Record<string, Json>>)[name]), put).toBe(canonical(each))
  }
}

test("what is read equals what was put, after a restart too, or putting it was refused and says where", async () => {
  await ask("POST", "/v1/destinations", '{"id":"d","kind":"webhook","config":{"url":"http://127.0.0.1:1/"}}')
  const kept: { readonly url: string; readonly put: string; readonly got: string }[] = []
  let refused = 0
  await fc.assert(
    fc.asyncProperty(written, async ({ path, members }) => {
      const id = `r${count++}`
      const body = `{"id":"${id}",${members}}`
      const url = `${path}/${id}`
      const { status, text } = await ask("POST", path, body)
      if (status === 400) {
        refused++
        expect(JSON.parse(text).errors.length, body).toBeGreaterThan(0)
        expect((await ask("GET", url)).status).toBe(404)
        return
      }
      expect(status, text).toBe(201)
      const { text: got } = await ask("GET", url)
      expectKept(body, got)
      kept.push({ url, put: body, got })
    }),
    { numRuns: 300, endOnFailure: true },
  )
  expect([refused > 20, kept.length > 20]).toEqual([true, true])
  await hub.stop()
  hub = await startHubOn(data)
  for (const { url, put, got } of kept) {
    const { text } = await ask("GET", url)
    expectKept(put, text)
    expect(JSON.parse(text).etag).toBe(JSON.parse(got).etag)
  }
})

test("a number that would be another one is named, with what to do", async () => {
  const filters = '[{"all":[{"pattern":{"data":{"account":[1,9007199254740993]}}}]}]'
  const body = `{"id":"lossy","topic":"orders","destination":"d","filters":${filters},"filters":${filters}}`
  const { status, text } = await ask("POST", "/v1/triggers", body)
  expect(status).toBe(400)
  const message = expect.stringContaining("9007199254740993 would be saved as 9007199254740992")
  expect(JSON.parse(text).errors).toEqual([
    { field: "filters[0].all[0].pattern.data.account[1]", message },
    { field: "filters", message: "is there more than once" },
  ])
})

test("what to do instead of a number that is refused fits its field, and works", async () => {
  const told = async (path: string, body: string) => JSON.parse((await ask("POST", path, body)).text).errors[0].message
  const config = (timeout: string) =>
    `{"id":"t","kind":"webhook","config":{"url":"http://127.0.0.1:1/","timeoutMs":${timeout}}}`
  expect(await told("/v1/destinations", config("2000.0000000000000001"))).toBe(
    "2000.0000000000000001 would be saved as 2000: write that, or fewer digits",
  )
  expect(await told("/v1/destinations", config("1e400"))).toBe(
    "1e400 would be saved as null: write a number that is nearer to 0",
  )
  for (const number of ["1e400", "-1e400", "1E-400", "1.5e+400", "9007199254740993", "0.10000000000000000555"]) {
    const pattern = `{"id":"t","topic":"orders","destination":"d","filters":[{"pattern":{"data":{"total":[${number}]}}}]}`
    const message = await told("/v1/triggers", pattern)
    const [, query] = /^\S+ would be saved as \S+: compare it in a query, such as (.*), which takes all digits$/.exec(
      message,
    )!
    expect(query).toBe(`data.total == ${number}`)
    const event = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"total":${number}}}`
    const { text } = await ask("POST", "/v1/triggers:explain", `{"filters":[{"query":"${query}"}],"event":${event}}`)
    expect(JSON.parse(text).verdict, text).toBe("fires")
  }
})

test("a check of filters answers what would be lost of them, and takes what a query compares exactly", async () => {
  const check = async (filters: string) =>
    JSON.parse((await ask("POST", "/v1/filters:check", `{"filters":${filters}}`)).text)
  expect(await check('[{"pattern":{"data":{"a":[1e400],"a":[1]}}},{"exact":{"type":7.5}}]')).toEqual({
    valid: false,
    faults: [
      { field: "filters[0].pattern.data.a[0]", message: expect.stringContaining("1e400 would be saved as null") },
      { field: "filters[0].pattern.data.a", message: "is there more than once" },
      { field: "filters[1].exact.type", message: "must be a string, not a number" },
    ],
  })
  expect(await check('[{"query":"data.a == 9007199254740993"},{"sql":"data.a < 1.0e400"}]')).toEqual({
    valid: true,
    faults: [],
  })
})

test("an event in a question is taken as it is written", async () => {
  const question = (account: string) =>
    `{"filters":[{"query":"data.account == 9007199254740993"}],"event":{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"account":1,"account":${account}}}}`
  for (const [account, verdict] of [
    ["9007199254740993", "fires"],
    ["9007199254740992", "rejects"],
  ] as const) {
    const { text } = await ask("POST", "/v1/triggers:explain", question(account))
    expect(JSON.parse(text)).toMatchObject({ verdict, sentence: expect.stringContaining(account) })
  }
})
