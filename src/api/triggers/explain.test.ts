import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly string[]
const event = { specversion: "1.0", id: "x", source: "/test", type: "test.1", data: { a: 1 } }

beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: "https://example.com/" } })
  cursors = await api.append("orders:7", ["1", "2"])
  const made = [
    { id: "first", filters: [{ exact: { type: "test.1" } }], start: "oldest" },
    { id: "late", start: "now" },
    { id: "keyed", topic: "orders:8", start: "oldest" },
    { id: "rests", start: "oldest", paused: true },
    { id: "elsewhere", topic: "invoices", start: "oldest" },
    { id: "sql", filters: [{ sql: "type = 'test.1' AND nosuch = 'x'" }], start: "oldest" },
  ]
  for (const body of made) {
    const answer = await api.call("POST", "/v1/triggers", { topic: "orders", destination: "shop", ...body })
    expect(answer.status).toBe(201)
  }
})
afterAll(() => api.close())

const explain = (id: string, body: object) => api.call("POST", `/v1/triggers/${id}/explain`, body)
const fields = (answer: Answer): string[] => answer.body.errors.map((each: { field: string }) => each.field).sort()
const reasons = (answer: Answer): string[] => answer.body.reasons.map((each: { kind: string }) => each.kind)

test("a trigger and a stored event: the verdict, the sentence, the tree with every clause's value", async () => {
  const fires = await explain("first", { cursor: cursors[0] })
  expect(fires.status).toBe(200)
  expect(fires.body).toMatchObject({
    trigger: "first",
    event: { id: "1", source: "/test", type: "test.1", topic: "orders:7", cursor: cursors[0] },
    verdict: "fires",
    pass: true,
    sentence: 'The event passes: type is "test.1" is true, for it is "test.1".',
    clause: 'type is "test.1"',
    tree: { clause: 'type is "test.1"', value: true, actual: "test.1", decided: true },
    reasons: [],
    errors: [],
  })
  const rejects = await explain("first", { cursor: cursors[1] })
  expect(rejects.body).toMatchObject({
    verdict: "rejects",
    pass: false,
    sentence: 'The event does not pass: type is "test.1" is false, for it is "test.2".',
  })
})

test("errors of SQL are told with their clause", async () => {
  const { body } = await explain("sql", { cursor: cursors[0] })
  expect(body.verdict).toBe("rejects")
  expect(body.errors).toEqual([{ kind: "missingAttribute", clause: "nosuch", message: "the event has no nosuch" }])
  expect(body.tree.of).toHaveLength(2)
})

test("what else keeps an event from a trigger decides before its filters", async () => {
  const late = await explain("late", { cursor: cursors[0] })
  expect([late.body.verdict, late.body.pass, reasons(late)]).toEqual(["rejects", true, ["start"]])
  expect(late.body.sentence).toBe("The event was stored before the trigger's start.")
  const keyed = await explain("keyed", { cursor: cursors[0] })
  expect([keyed.body.verdict, reasons(keyed)]).toEqual(["rejects", ["key"]])
  expect(keyed.body.sentence).toBe("The event's key is 7, the trigger is on key 8 alone.")
  const elsewhere = await explain("elsewhere", { cursor: cursors[0] })
  expect([elsewhere.body.verdict, reasons(elsewhere)]).toEqual(["rejects", ["topic"]])
  const rests = await explain("rests", { cursor: cursors[0] })
  expect([rests.body.verdict, rests.body.pass, reasons(rests)]).toEqual(["waits", true, ["paused"]])
  expect(rests.body.sentence).toMatch(/paused since .* \(paused by request\); it fires when it is resumed\.$/)
})

test("an event in the body is on the trigger's topic, or on the one that is said", async () => {
  const own = await explain("keyed", { event })
  expect([own.body.verdict, own.body.event.topic]).toEqual(["fires", "orders:8"])
  const other = await explain("keyed", { event, topic: "orders:9" })
  expect([other.body.verdict, reasons(other)]).toEqual(["rejects", ["key"]])
})

test("a trigger that is not saved", async () => {
  const unsaved = { topic: "orders", filters: [{ query: "data.a > 5" }], destination: "nobody", retry: "none" }
  const answer = await api.call("POST", "/v1/triggers:explain", { ...unsaved, cursor: cursors[0] })
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({ verdict: "rejects", sentence: expect.stringContaining("data.a is > 5 is false") })
  expect(answer.body).not.toHaveProperty("trigger")
  const alone = await api.call("POST", "/v1/triggers:explain", { filters: [{ exact: { tpye: "x" } }], event })
  expect(alone.body).toMatchObject({
    verdict: "rejects",
    warnings: [{ field: "filters[0]", message: expect.stringContaining("was type meant?") }],
  })
  const after = { ...unsaved, filters: [], start: { cursor: cursors[0] } }
  expect(reasons(await api.call("POST", "/v1/triggers:explain", { ...after, cursor: cursors[0] }))).toEqual(["start"])
  expect((await api.call("POST", "/v1/triggers:explain", { ...after, cursor: cursors[1] })).body.verdict).toBe("fires")
})

test("every fault names its field", async () => {
  expect(fields(await explain("first", {}))).toEqual([""])
  expect(fields(await explain("first", { cursor: cursors[0], event }))).toEqual(["cursor", "event"])
  expect(fields(await explain("first", { event: { ...event, id: "", type: 1 } }))).toEqual(["event.id", "event.type"])
  expect(fields(await explain("first", { event: [], topic: "NO" }))).toEqual(["event", "topic"])
  expect(fields(await explain("first", { cursor: 1, x: 1 }))).toEqual(["cursor", "x"])
  const unsaved = { filters: [{ sql: "type =" }, { exact: {} }], start: { cursor: "?" }, nosuch: 1, event }
  expect(fields(await api.call("POST", "/v1/triggers:explain", unsaved))).toEqual([
    "filters[0].sql",
    "filters[1].exact",
    "nosuch",
  ])
  const start = { start: { cursor: "?" }, cursor: cursors[0] }
  expect(fields(await api.call("POST", "/v1/triggers:explain", start))).toEqual(["start.cursor"])
})

test("what is another tenant's is not there", async () => {
  const other = { authorization: "Bearer other" }
  expect((await api.call("POST", "/v1/triggers/first/explain", { event }, other)).status).toBe(404)
  expect((await api.call("POST", "/v1/triggers:explain", { cursor: cursors[0] }, other)).status).toBe(404)
  expect((await api.call("POST", "/v1/triggers:match", { cursor: cursors[0] }, other)).status).toBe(404)
  const match = await api.call("POST", "/v1/triggers:match", { event, topic: "orders:7" }, other)
  expect(match.body.items).toEqual([])
})

const ids = (answer: Answer): string[] => answer.body.items.map((each: { id: string }) => each.id)

test("match: which triggers an event fires, and with explain why not the others of its topic", async () => {
  const fired = await api.call("POST", "/v1/triggers:match", { cursor: cursors[0] })
  expect(ids(fired)).toEqual(["first", "rests"])
  expect(fired.body.items[1]).toMatchObject({ destination: "shop", verdict: "waits" })
  const published = await api.call("POST", "/v1/triggers:match", { event, topic: "orders:8" })
  expect(ids(published)).toEqual(["first", "keyed", "late", "rests"])
  const explained = await api.call("POST", "/v1/triggers:match", { cursor: cursors[0], explain: true })
  expect(ids(explained)).toEqual(["first", "keyed", "late", "rests", "sql"])
  expect(explained.body.items[4]).toMatchObject({
    verdict: "rejects",
    sentence: "The event does not pass: in nosuch, the event has no nosuch.",
    clause: "nosuch",
  })
  expect(fields(await api.call("POST", "/v1/triggers:match", { event }))).toEqual(["topic"])
})

test("match comes in pages", async () => {
  const body = { cursor: cursors[0], explain: true, pageSize: 2 }
  const all: string[] = []
  for (let pageToken: string | undefined; ; ) {
    const page = await api.call("POST", "/v1/triggers:match", { ...body, ...(pageToken && { pageToken }) })
    all.push(...ids(page))
    pageToken = page.body.nextPageToken
    if (pageToken === undefined) break
  }
  expect(all).toEqual(["first", "keyed", "late", "rests", "sql"])
  const stray = await api.call("POST", "/v1/triggers:match", { ...body, pageToken: "x" })
  expect(fields(stray)).toEqual(["pageToken"])
})

test("a path with a verb is a route like others", async () => {
  const wrong = await api.call("GET", "/v1/triggers:match")
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"])
})

test("warnings are in what create and update answer, and can be sent back no more than other answers", async () => {
  const filters = [{ exact: { subjet: "x" } }]
  const body = { id: "warned", topic: "orders", destination: "shop", filters }
  const checked = await api.call("POST", "/v1/triggers?validate_only=true", body)
  expect(checked.body.warnings).toEqual([
    { field: "filters[0]", message: expect.stringContaining("was subject meant") },
  ])
  const made = await api.call("POST", "/v1/triggers", body)
  expect(made.body.warnings).toHaveLength(1)
  expect((await api.call("PUT", "/v1/triggers/warned", made.body)).status).toBe(200)
  const mended = await api.call("PATCH", "/v1/triggers/warned", { filters: [] })
  expect(mended.body).not.toHaveProperty("warnings")
})

test("an editor gets its data, and checks filters with the place of each fault", async () => {
  const { body } = await api.call("GET", "/v1/filters/editor")
  expect(body.dialects).toContain("sql")
  expect(body.sql.functions[0]).toHaveProperty("signature")
  const wrong = await api.call("POST", "/v1/filters:check", { filters: [{ sql: "type = 'a' AND\n )" }] })
  expect(wrong.body).toMatchObject({ valid: false, faults: [{ field: "filters[0].sql", line: 2, column: 2 }] })
  const right = await api.call("POST", "/v1/filters:check", { filters: [{ sql: "type = 'a'" }] })
  expect(right.body).toEqual({ valid: true, faults: [] })
})

test("long values are cut", async () => {
  const long = { ...event, data: { text: "y".repeat(50_000) } }
  const filters = Array.from({ length: 60 }, () => ({ query: "data.text == 'x'" }))
  const answer = await api.call("POST", "/v1/triggers:explain", { filters, event: long })
  expect(answer.body.tree.of[0].actual).toMatch(/^y{1000}…$/)
})

test("an event whose data nests too deep is refused, and one at the limit is judged", async () => {
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
  const bodies = (levels: number) => {
    const event = `{"specversion":"1.0","id":"1","source":"/a","type":"t","data":${deep(levels)}}`
    return [
      ["/v1/triggers:explain", `{"filters":[{"pattern":{"data":{"a":[1],"b":[{"exists":false}]}}}],"event":${event}}`],
      ["/v1/triggers:explain", `{"filters":[{"sql":"data[0] = 1"}],"event":${event}}`],
      ["/v1/triggers:match", `{"topic":"orders","event":${event}}`],
    ] as const
  }
  for (const [path, body] of bodies(128)) expect((await api.call("POST", path, body)).status).toBe(200)
  for (const levels of [129, 10_000]) {
    for (const [path, body] of bodies(levels)) {
      const answer = await api.call("POST", path, body)
      expect([answer.status, fields(answer)]).toEqual([400, ["event"]])
      expect(answer.text).toMatch(/nested (deeper|more) than \d+ levels/)
    }
  }
})
