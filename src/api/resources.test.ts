import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, openTestApi, type TestApi } from "./api.fixture.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

const fields = (answer: Answer): string[] => answer.body.errors.map((each: { field: string }) => each.field).sort()
const webhook = (id: string, config: object = {}) => ({
  id,
  kind: "webhook",
  config: { url: "https://example.com/hook", ...config },
})

test("a topic is created with its defaults, read, and listed", async () => {
  const made = await api.call("POST", "/v1/topics", {
    id: "orders",
    labels: { team: "a" },
    retention: { ageMax: 86_400_000 },
  })
  expect(made.status).toBe(201)
  expect(made.headers.get("location")).toBe("/v1/topics/orders")
  expect(made.body).toMatchObject({
    id: "orders",
    tenant: "default",
    labels: { team: "a" },
    retention: { ageMax: "1d" },
    dedupeWindow: "1d",
    wrap: { source: "/topics/orders", type: "redcar.raw" },
  })
  expect(made.body.etag).toBe(made.headers.get("etag"))
  expect(made.body.createdAt).toMatch(/^\d{4}-.*Z$/)
  const read = await api.call("GET", "/v1/topics/orders")
  expect(read.body).toEqual({ ...made.body, stats: { events: 0, bytes: 0 } })
  expect(read.headers.get("etag")).toBe(made.body.etag)
  const listed = await api.call("GET", "/v1/topics")
  expect(listed.body.items).toContainEqual(made.body)
})

test("stats count what is stored", async () => {
  await api.append("counted", ["1", "2"])
  const { stats } = (await api.call("GET", "/v1/topics/counted")).body
  expect(stats.events).toBe(2)
  expect(stats.oldestAt).toMatch(/Z$/)
})

test("an id that is taken is 409, one of the wrong form 400", async () => {
  await api.call("POST", "/v1/topics", { id: "taken" })
  const again = await api.call("POST", "/v1/topics", { id: "taken" })
  expect([again.status, again.body.code]).toEqual([409, "already-exists"])
  expect(fields(await api.call("POST", "/v1/topics", { id: "No Spaces" }))).toEqual(["id"])
  expect(fields(await api.call("POST", "/v1/triggers", { id: "Über", topic: "orders", destination: "x" }))).toContain(
    "id",
  )
})

test("every wrong field is named at once, by its path", async () => {
  const answer = await api.call("POST", "/v1/triggers", {
    topic: "NOT A TOPIC",
    destination: "nowhere",
    description: 5,
    labels: { ok: 1, "not ok!": "x" },
    filters: [{ exact: { type: 5 } }, { nonsense: {} }],
    retry: { delays: ["5 parsecs"], jitter: 7 },
    start: { time: "yesterday" },
    nope: true,
  })
  expect(answer.status).toBe(400)
  expect(fields(answer)).toEqual([
    "description",
    "destination",
    "filters[0].exact.type",
    "filters[1].nonsense",
    "labels.ok",
    'labels["not ok!"]',
    "nope",
    "retry.delays[0]",
    "retry.jitter",
    "start.time",
    "topic",
  ])
  expect(answer.body.errors.find((each: { field: string }) => each.field === "nope").message).toMatch(
    /not known here.*topic/,
  )
})

test("a union says what it wants, once", async () => {
  const answer = await api.call("POST", "/v1/topics", {
    id: "u",
    dedupeWindow: true,
    retention: { ageMax: "soon", eventsMax: -1 },
  })
  expect(fields(answer)).toEqual(["dedupeWindow", "retention.ageMax", "retention.eventsMax"])
  expect(answer.body.errors[0].message).toMatch(/must be a duration such as/)
})

test("a retention that keeps nothing is refused", async () => {
  const answer = await api.call("POST", "/v1/topics", {
    id: "none",
    retention: { ageMax: "0s", eventsMax: 0, bytesMax: 0 },
  })
  expect(fields(answer)).toEqual(["retention.ageMax", "retention.bytesMax", "retention.eventsMax"])
})

test("required fields are named", async () => {
  expect(fields(await api.call("POST", "/v1/triggers", {}))).toEqual(["destination", "topic"])
  expect(fields(await api.call("POST", "/v1/destinations", {}))).toEqual(["config", "kind"])
  expect(fields(await api.call("POST", "/v1/topics", {}))).toEqual(["id"])
})

test("what the hub sets cannot be given at creation, and is ignored by PUT", async () => {
  const given = await api.call("POST", "/v1/topics", { id: "given", etag: "x", createdAt: "y" })
  expect(fields(given)).toEqual(["createdAt", "etag"])
  await api.call("POST", "/v1/topics", { id: "round" })
  const read = (await api.call("GET", "/v1/topics/round")).body
  const put = await api.call("PUT", "/v1/topics/round", { ...read, description: "again" })
  expect(put.status).toBe(200)
  expect(put.body).toMatchObject({ description: "again", createdAt: read.createdAt })
  expect(put.body.etag).not.toBe(read.etag)
})

test("PUT replaces, PATCH merges, and null removes", async () => {
  await api.call("POST", "/v1/topics", {
    id: "merge",
    description: "d",
    labels: { a: "1", b: "2" },
    retention: { eventsMax: 5 },
  })
  const patched = await api.call("PATCH", "/v1/topics/merge", { labels: { b: null, c: "3" }, description: null })
  expect(patched.body.labels).toEqual({ a: "1", c: "3" })
  expect(patched.body.description).toBeUndefined()
  expect(patched.body.retention).toEqual({ eventsMax: 5 })
  const put = await api.call("PUT", "/v1/topics/merge", {})
  expect([put.body.labels, put.body.retention]).toEqual([{}, {}])
  const type = { "content-type": "application/merge-patch+json" }
  expect((await api.call("PATCH", "/v1/topics/merge", { description: "x" }, type)).body.description).toBe("x")
  expect(fields(await api.call("PATCH", "/v1/topics/merge", { id: "other", etag: "e", nope: 1 }))).toEqual([
    "etag",
    "id",
    "nope",
  ])
})

test("If-Match holds for one revision only", async () => {
  const { etag } = (await api.call("POST", "/v1/topics", { id: "match" })).body
  const first = await api.call("PATCH", "/v1/topics/match", { description: "1" }, { "if-match": etag })
  expect(first.status).toBe(200)
  for (const [method, body] of [
    ["PATCH", {}],
    ["PUT", {}],
    ["DELETE", undefined],
  ] as const) {
    const stale = await api.call(method, "/v1/topics/match", body, { "if-match": etag })
    expect([method, stale.status, stale.body.code]).toEqual([method, 412, "precondition-failed"])
  }
  expect((await api.call("DELETE", "/v1/topics/match", undefined, { "if-match": first.body.etag })).status).toBe(204)
  expect((await api.call("GET", "/v1/topics/match")).status).toBe(404)
})

test("of changes at once with one etag, one wins", async () => {
  const { etag } = (await api.call("POST", "/v1/topics", { id: "race" })).body
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      api.call("PATCH", "/v1/topics/race", { description: String(n) }, { "if-match": etag }),
    ),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(412)])
})

test("changes at once without an etag all happen", async () => {
  await api.call("POST", "/v1/topics", { id: "merge-race" })
  await Promise.all(
    Array.from({ length: 8 }, (_, n) => api.call("PATCH", "/v1/topics/merge-race", { labels: { [`l${n}`]: "x" } })),
  )
  expect(Object.keys((await api.call("GET", "/v1/topics/merge-race")).body.labels)).toHaveLength(8)
})

test("validate_only checks everything and stores nothing", async () => {
  const tried = await api.call("POST", "/v1/destinations?validate_only=true", webhook("tried"))
  expect(tried.status).toBe(200)
  expect(tried.body).toMatchObject({ id: "tried", kind: "webhook", concurrency: 32 })
  expect(tried.body.etag).toBeUndefined()
  expect(tried.text).not.toContain("whsec_")
  expect((await api.call("GET", "/v1/destinations/tried")).status).toBe(404)

  await api.call("POST", "/v1/destinations", webhook("kept"))
  expect((await api.call("POST", "/v1/destinations?validate_only=true", webhook("kept"))).status).toBe(409)
  expect(
    (await api.call("POST", "/v1/triggers?validate_only=true", { topic: "unmade", destination: "kept" })).status,
  ).toBe(200)
  expect((await api.call("GET", "/v1/topics/unmade")).status).toBe(404)
  const before = (await api.call("GET", "/v1/destinations/kept")).body
  expect(
    (await api.call("PATCH", "/v1/destinations/kept?validate_only=true", { concurrency: 5 })).body.concurrency,
  ).toBe(5)
  expect((await api.call("PUT", "/v1/destinations/kept?validate_only=true", webhook("kept"))).status).toBe(200)
  expect((await api.call("DELETE", "/v1/destinations/kept?validate_only=true")).status).toBe(200)
  expect((await api.call("GET", "/v1/destinations/kept")).body).toEqual(before)
  expect((await api.call("POST", "/v1/topics?validate_only=perhaps", { id: "x" })).status).toBe(400)
})

test("lists come by page and by label", async () => {
  const own = await openTestApi()
  try {
    const ids = Array.from({ length: 7 }, (_, n) => `page-${n}`)
    for (const [n, id] of ids.entries())
      await own.call("POST", "/v1/topics", { id, labels: { odd: String(n % 2), all: "x" } })
    const walk = async (query: string): Promise<string[]> => {
      const { body } = await own.call("GET", `/v1/topics?${query}`)
      const found = body.items.map((item: { id: string }) => item.id)
      expect(found.length).toBeLessThanOrEqual(3)
      return body.nextPageToken
        ? [...found, ...(await walk(`${query.replace(/&pageToken=.*/, "")}&pageToken=${body.nextPageToken}`))]
        : found
    }
    expect(await walk("pageSize=3")).toEqual(ids)
    expect(await walk("pageSize=3&labels=odd=1,all=x")).toEqual(["page-1", "page-3", "page-5"])
    expect(await walk("pageSize=3&labels=odd=2")).toEqual([])
    const { nextPageToken } = (await own.call("GET", "/v1/topics?pageSize=3")).body
    const other = await own.call("GET", `/v1/topics?labels=odd=1&pageToken=${nextPageToken}`)
    expect([other.status, fields(other)]).toEqual([400, ["pageToken"]])
    expect((await own.call("GET", "/v1/topics?labels=odd")).status).toBe(400)
    expect((await own.call("GET", "/v1/topics?pageSize=1001")).status).toBe(400)
  } finally {
    await own.close()
  }
})

test("nothing of one tenant is there for another", async () => {
  const other = { authorization: "Bearer other" }
  await api.call("POST", "/v1/topics", { id: "mine" })
  await api.call("POST", "/v1/destinations", webhook("mine"))
  for (const path of ["/v1/topics/mine", "/v1/destinations/mine", "/v1/topics/mine/events", "/v1/topics/mine/stream"]) {
    expect([path, (await api.call("GET", path, undefined, other)).status]).toEqual([path, 404])
  }
  expect((await api.call("GET", "/v1/topics", undefined, other)).body.items).toEqual([])
  expect((await api.call("DELETE", "/v1/topics/mine", undefined, other)).status).toBe(404)
  const trigger = await api.call("POST", "/v1/triggers", { topic: "mine", destination: "mine" }, other)
  expect(fields(trigger)).toEqual(["destination"])
  const [cursor] = await api.append("mine", ["1"])
  expect((await api.call("GET", `/v1/events/${cursor}`)).status).toBe(200)
  expect((await api.call("GET", `/v1/events/${cursor}`, undefined, other)).status).toBe(404)
  expect((await api.call("GET", `/v1/events/${cursor}/deliveries`, undefined, other)).status).toBe(404)
})

test.each(["a/b", "ü", "..", "x".repeat(300), "%00", "a b"])("the id %j is just not there", async (id) => {
  for (const plural of ["topics", "triggers", "destinations", "dead-letters"]) {
    expect((await api.call("GET", `/v1/${plural}/${id === "%00" ? id : encodeURIComponent(id)}`)).status).toBe(404)
  }
})

test("a topic goes with its events, but not from under a trigger", async () => {
  const [cursor] = await api.append("gone", ["1", "2"])
  await api.call("POST", "/v1/destinations", webhook("for-gone"))
  await api.call("POST", "/v1/triggers", { id: "on-gone", topic: "gone:1", destination: "for-gone" })
  const used = await api.call("DELETE", "/v1/topics/gone")
  expect([used.status, used.body.code]).toEqual([409, "conflict"])
  expect(used.body.detail).toContain("on-gone")
  expect((await api.call("DELETE", "/v1/destinations/for-gone")).status).toBe(409)
  expect((await api.call("DELETE", "/v1/triggers/on-gone")).status).toBe(204)
  expect((await api.call("DELETE", "/v1/topics/gone")).status).toBe(204)
  expect((await api.call("DELETE", "/v1/destinations/for-gone")).status).toBe(204)
  expect((await api.call("GET", `/v1/events/${cursor}`)).status).toBe(404)
  await api.call("POST", "/v1/topics", { id: "gone" })
  expect((await api.call("GET", "/v1/topics/gone/events")).body).toEqual([])
})

test("the hub's own topics can be kept shorter, but neither made nor deleted", async () => {
  expect((await api.call("GET", "/v1/topics/redcar.attempts")).body).toMatchObject({
    id: "redcar.attempts",
    dedupeWindow: "0ms",
  })
  expect(
    (await api.call("PATCH", "/v1/topics/redcar.attempts", { retention: { ageMax: "7d" } })).body.retention,
  ).toEqual({ ageMax: "7d" })
  expect((await api.call("GET", "/v1/topics/redcar.attempts")).body.retention).toEqual({ ageMax: "7d" })
  expect((await api.call("POST", "/v1/topics", { id: "redcar.dead-letters" })).status).toBe(400)
  expect((await api.call("DELETE", "/v1/topics/redcar.attempts")).status).toBe(409)
})

test("PUT makes what is not there, and replaces what is", async () => {
  const made = await api.call("PUT", "/v1/topics/put", { description: "1" })
  expect([made.status, made.headers.get("location"), made.headers.get("etag")]).toEqual([
    201,
    "/v1/topics/put",
    made.body.etag,
  ])
  const replaced = await api.call("PUT", "/v1/topics/put", { id: "put", labels: { a: "b" } })
  expect([replaced.status, replaced.headers.get("location")]).toEqual([200, null])
  expect(replaced.body).toMatchObject({ id: "put", labels: { a: "b" }, createdAt: made.body.createdAt })
  expect(replaced.body).not.toHaveProperty("description")
  const wrong = await api.call("PUT", "/v1/topics/A%20b", {})
  expect([wrong.status, wrong.body.errors[0].field]).toEqual([400, "id"])
  const other = await api.call("PUT", "/v1/topics/put-2", { id: "put-3" })
  expect([other.status, other.body.errors[0].field]).toEqual([400, "id"])
  const tried = await api.call("PUT", "/v1/topics/put-2?validate_only=true", {})
  expect([tried.status, tried.headers.get("location")]).toEqual([200, null])
  expect((await api.call("GET", "/v1/topics/put-2")).status).toBe(404)
  const foreign = await api.call("PUT", "/v1/topics/put", {}, { authorization: "Bearer other" })
  expect([foreign.status, foreign.body.tenant]).toEqual([201, "other"])
})

test("PUT shows the secret of a destination that it makes, and no other time", async () => {
  const body = { kind: "webhook", config: { url: "https://example.com/" } }
  const made = await api.call("PUT", "/v1/destinations/put", body)
  expect([made.status, made.body.signingKeys[0].secret]).toEqual([201, expect.stringMatching(/^whsec_/)])
  const again = await api.call("PUT", "/v1/destinations/put", body)
  expect([again.status, again.body.signingKeys]).toEqual([
    200,
    [{ ...made.body.signingKeys[0], secret: undefined }].map(({ secret: _, ...key }) => key),
  ])
  const trigger = { topic: "put", destination: "put", start: "oldest" }
  expect((await api.call("PUT", "/v1/triggers/put", trigger)).status).toBe(201)
  expect((await api.call("PUT", "/v1/triggers/put", { topic: "put", destination: "put" })).status).toBe(200)
})

test("If-Match of a PUT makes nothing, and If-None-Match replaces nothing", async () => {
  const absent = await api.call("PUT", "/v1/topics/cond", {}, { "if-match": '"1"' })
  expect([absent.status, absent.body.code]).toEqual([412, "precondition-failed"])
  const made = await api.call("PUT", "/v1/topics/cond", {}, { "if-none-match": "*" })
  expect(made.status).toBe(201)
  const there = await api.call("PUT", "/v1/topics/cond", {}, { "if-none-match": "*" })
  expect([there.status, there.body.code]).toEqual([412, "precondition-failed"])
  const same = await api.call("PUT", "/v1/topics/cond", {}, { "if-none-match": made.body.etag })
  expect(same.status).toBe(412)
  expect((await api.call("PUT", "/v1/topics/cond", {}, { "if-none-match": '"0"' })).status).toBe(200)
  expect((await api.call("PUT", "/v1/topics/cond", {}, { "if-match": made.body.etag })).status).toBe(412)
})

test("of PUTs at once that make one thing, each is answered, and one has made it", async () => {
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => api.call("PUT", "/v1/topics/put-race", { description: String(n) })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([...Array(7).fill(200), 201])
})
