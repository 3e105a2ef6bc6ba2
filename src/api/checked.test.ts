import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, openTestApi, type TestApi } from "./api.fixture.ts"
import { bodyDepthMax } from "./requests.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/topics", { id: "orders" })
  await api.call("POST", "/v1/destinations", webhook("warehouse"))
})
afterAll(() => api.close())

function webhook(id: string): Record<string, unknown> {
  return { id, kind: "webhook", config: { url: "http://127.0.0.1:9/hook" } }
}

function strangers(count: number): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`stranger${n}`, n]))
}

function fieldsOf({ body }: Answer): readonly string[] {
  return body.errors.map((error: { field: string }) => error.field)
}

const counts = [99, 100, 101, 10_000]

test.each(counts)(
  "beside %i unknown members, what is wrong with known ones is named, and nothing is stored",
  async (n) => {
    const config = { url: 5, timeoutMs: "x", ...strangers(n) }
    const wrong = { ...webhook("wrong"), concurrency: "x", ratePerSecond: -5, labels: 5, config }
    const answer = await api.call("POST", "/v1/destinations", { ...wrong, ...strangers(n) })
    expect(answer.status).toBe(400)
    const fields = fieldsOf(answer)
    expect(fields).toEqual(
      expect.arrayContaining(["concurrency", "ratePerSecond", "labels", "config.url", "config.timeoutMs", "stranger0"]),
    )
    expect(fields.length).toBeLessThanOrEqual(100)
    expect((await api.call("GET", "/v1/destinations/wrong")).status).toBe(404)
  },
)

test.each(counts)("%i unknown members are refused where nothing else is wrong, and counted", async (n) => {
  const answer = await api.call("POST", "/v1/topics", { id: "strange", ...strangers(n) })
  expect(answer.status).toBe(400)
  expect(answer.body.detail).toContain(`and ${n - 1} more`)
  expect(fieldsOf(answer)).toHaveLength(Math.min(n, 100))
  expect((await api.call("GET", "/v1/topics/strange")).status).toBe(404)
})

test.each(counts)("an id that is none is refused beside %i unknown members", async (n) => {
  const answer = await api.call("POST", "/v1/topics", { ...strangers(n), id: "../../x" })
  expect([answer.status, fieldsOf(answer).includes("id")]).toEqual([400, true])
})

test.each(counts)("a config whose only fault is %i unknown members is refused", async (n) => {
  const config = { url: "http://127.0.0.1:9/hook", ...strangers(n) }
  const answer = await api.call("POST", "/v1/destinations", { ...webhook("strange"), config })
  expect([answer.status, fieldsOf(answer)[0]]).toEqual([400, "config.stranger0"])
})

test.each(counts)("labels with %i wrong names are refused", async (n) => {
  const labels = Object.fromEntries(Array.from({ length: n }, (_, at) => [`-${at}`, "x"]))
  const answer = await api.call("POST", "/v1/topics", { id: "labelled", labels })
  expect([answer.status, fieldsOf(answer)[0]]).toEqual([400, 'labels["-0"]'])
})

test.each(counts)("a topic that is a number is a fault beside %i unknown members, also of a trigger", async (n) => {
  const trigger = { id: "wrong", destination: "warehouse", topic: 5, start: { cursor: 5, ...strangers(n) } }
  const created = await api.call("POST", "/v1/triggers", { ...trigger, ...strangers(n) })
  expect([created.status, fieldsOf(created)]).toEqual([400, expect.arrayContaining(["topic", "start"])])
  const tried = await api.call("POST", "/v1/triggers:explain", { ...trigger, cursor: 5, ...strangers(n) })
  expect([tried.status, fieldsOf(tried)]).toEqual([400, expect.arrayContaining(["topic", "start", "cursor"])])
})

test.each(counts)("a redrive with a misspelt filter and %i others is none", async (n) => {
  const answer = await api.call("POST", "/v1/dead-letters/redrive", { ...strangers(n), triger: "ship" })
  expect(answer.status).toBe(400)
})

test("a hundred faults of the filters hide no other", async () => {
  const filters = Array.from({ length: 64 }, () => ({ wrong: 1, worse: 2 }))
  const asked = { topic: "not a topic", filters, from: "newest", sampleMax: -1 }
  const answer = await api.call("POST", "/v1/triggers:dry-run", asked)
  expect([answer.status, fieldsOf(answer)]).toEqual([400, expect.arrayContaining(["topic", "sampleMax"])])
  const created = await api.call("POST", "/v1/triggers", { ...asked, destination: "nowhere", retry: 7 })
  expect([created.status, fieldsOf(created)]).toEqual([
    400,
    expect.arrayContaining(["topic", "destination", "retry", "from", "sampleMax"]),
  ])
})

test("unknown and repeated parameters hide no wrong one", async () => {
  const many = Array.from({ length: 500 }, (_, n) => `x${n}=1&x${n}=2`).join("&")
  const answer = await api.call("GET", `/v1/topics?${many}&pageSize=no`)
  expect([answer.status, fieldsOf(answer)]).toEqual([400, expect.arrayContaining(["pageSize", "x0"])])
})

test("a parameter that a route does not have is refused, __proto__ too", async () => {
  for (const path of ["/v1/topics/orders", "/v1/topics", "/v1/status"]) {
    for (const name of ["nothing", "__proto__", "constructor"]) {
      const answer = await api.call("GET", `${path}?${name}=1`)
      expect([path, answer.status, fieldsOf(answer)]).toEqual([path, 400, [name]])
    }
  }
})

test.each(["", "\n", "  "])("a change without a body (%j) is refused and changes nothing", async (body) => {
  const described = { id: "kept", labels: { team: "a" }, retention: { ageMax: "30d" } }
  await api.call("POST", "/v1/topics", described)
  for (const [method, path] of [
    ["PUT", "/v1/topics/kept"],
    ["PATCH", "/v1/topics/kept"],
    ["POST", "/v1/topics"],
    ["POST", "/v1/triggers:match"],
    ["POST", "/v1/filters:check"],
  ] as const) {
    const answer = await api.call(method, path, body)
    expect([method, path, answer.status, fieldsOf(answer)]).toEqual([method, path, 400, [""]])
  }
  expect((await api.call("GET", "/v1/topics/kept")).body).toMatchObject(described)
})

test("an absent body stands for an empty one where it may be left out", async () => {
  expect((await api.call("POST", "/v1/dead-letters/redrive")).body).toEqual({ matched: 0, redriven: 0 })
})

test("a body is refused where there is none to send", async () => {
  const answer = await api.call("POST", "/v1/destinations/warehouse/test", { event: 1 })
  expect([answer.status, fieldsOf(answer)]).toEqual([400, ["event"]])
})

test("__proto__ is a member that is not known, whatever it holds", async () => {
  for (const value of ["1", "null", '{"id":"x"}']) {
    const answer = await api.call("POST", "/v1/topics", `{"id":"proto","__proto__":${value}}`)
    expect([answer.status, fieldsOf(answer)]).toEqual([400, ["__proto__"]])
  }
  const nested = await api.call("POST", "/v1/topics", '{"id":"proto","retention":{"__proto__":{"eventsMax":1}}}')
  expect([nested.status, fieldsOf(nested)]).toEqual([400, ["retention.__proto__"]])
  const patched = await api.call("PATCH", "/v1/topics/orders", '{"__proto__":{"id":"x"}}')
  expect([patched.status, fieldsOf(patched)]).toEqual([400, ["__proto__"]])
})

test("what nests too deep is named", async () => {
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
  for (const levels of [bodyDepthMax, 100_000]) {
    const answer = await api.call("POST", "/v1/topics", `{"id":"deep","labels":${deep(levels)}}`)
    expect([answer.status, answer.body.errors]).toEqual([
      400,
      [{ field: "labels", message: `is nested more than ${bodyDepthMax} levels deep` }],
    ])
  }
  const data = deep(128 - 1)
  const event = `{"specversion":"1.0","id":"1","source":"/a","type":"t","data":${data}}`
  expect((await api.call("POST", "/v1/triggers:match", `{"topic":"orders","event":${event}}`)).status).toBe(200)
})

test("what is lost far in costs no more than the body is long, and is named in few words", async () => {
  const lost = `${"[".repeat(20_000)}${"1e400,".repeat(20_000)}1${"]".repeat(20_000)}`
  const before = process.cpuUsage().user
  for (const [path, body, field] of [
    ["/v1/topics", `{"labels":${lost}}`, "labels"],
    ["/v1/topics", `{"labels":${lost},"labels":{}}`, `labels${"[0]".repeat(166)}`],
    ["/v1/filters:check", `{"filters":${lost},"filters":[]}`, `filters${"[0]".repeat(166)}`],
  ] as const) {
    const { text, body: answer } = await api.call("POST", path, body)
    expect((answer.errors ?? answer.faults)[0].field.slice(0, 500)).toBe(field.slice(0, 500))
    expect(text.length).toBeLessThan(100_000)
  }
  // Microseconds; building each path would take a hundred times as many.
  expect(process.cpuUsage().user - before).toBeLessThan(5_000_000)
})

test("bytes that are not UTF-8 are refused with their place in every body, and nothing of them is saved", async () => {
  const odd = (text: string) => Buffer.from(text.replace("?", "\xff"), "latin1")
  const trigger = { topic: "orders", destination: "warehouse" }
  for (const [method, path, body] of [
    ["POST", "/v1/topics", { id: "odd", description: "?" }],
    ["PUT", "/v1/topics/odd", { description: "?" }],
    ["PATCH", "/v1/topics/orders", { description: "?" }],
    ["PUT", "/v1/triggers/odd", { ...trigger, filters: [{ exact: { type: "?" } }] }],
    ["PUT", "/v1/triggers/odd", { ...trigger, description: "?" }],
    ["PUT", "/v1/destinations/odd", { kind: "webhook", config: { url: "http://127.0.0.1:9/?" } }],
    ["POST", "/v1/filters:check", { filters: [{ exact: { type: "?" } }] }],
    ["POST", "/v1/topics", { "?": 1 }],
  ] as const) {
    const text = JSON.stringify(body)
    const answer = await api.call(method, path, odd(text))
    expect([path, answer.status, answer.body.detail]).toEqual([
      path,
      400,
      `the body is not UTF-8 at byte ${text.indexOf("?")}`,
    ])
  }
  for (const path of ["/v1/topics/odd", "/v1/triggers/odd", "/v1/destinations/odd"]) {
    expect((await api.call("GET", path)).status).toBe(404)
  }
  expect((await api.call("POST", "/v1/topics", Buffer.from('\ufeff{"id":"marked","description":"é😀"}'))).status).toBe(
    201,
  )
})

test("a name of a mebibyte is not repeated whole", async () => {
  const answer = await api.call("POST", "/v1/topics", { id: "huge", ["x".repeat(1_000_000)]: 1 })
  expect(answer.status).toBe(400)
  expect(answer.text.length).toBeLessThan(5_000)
})

test("an Idempotency-Key is refused where it would not be kept, and ignored where repeating does nothing twice", async () => {
  const key = { "idempotency-key": "k" }
  for (const path of ["/v1/topics", "/v1/destinations/warehouse/test", "/v1/dead-letters/redrive"]) {
    const answer = await api.call("POST", path, { id: "keyed" }, key)
    expect([path, answer.status, fieldsOf(answer)]).toEqual([path, 400, ["idempotency-key"]])
  }
  expect((await api.call("GET", "/v1/topics/keyed")).status).toBe(404)
  expect((await api.call("GET", "/v1/topics/orders", undefined, key)).status).toBe(200)
  expect((await api.call("PATCH", "/v1/topics/orders", {}, key)).status).toBe(200)
})
