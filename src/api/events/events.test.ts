import { request } from "node:http"
import { afterAll, beforeAll, expect, test } from "vitest"
import { attemptsTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { Event } from "../../core/event.ts"
import { type Answer, openTestApi, type TestApi, testEvent } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly Cursor[]
const path = "/v1/topics/orders/events"
const ndjson = { accept: "application/x-ndjson" }

beforeAll(async () => {
  api = await openTestApi()
  cursors = await api.append("orders", ["1", "2", "3"])
  cursors = [...cursors, ...(await api.append("orders:7", ["4", "5"]))]
})
afterAll(() => api.close())

const ids = (answer: Answer): string[] => answer.body.map((event: { id: string }) => event.id)
const lines = (text: string): { id: string; redcarcursor: string }[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
const fields = (answer: Answer): string[] => answer.body.errors.map((each: { field: string }) => each.field).sort()

test("events are a batch of CloudEvents with cursor and time", async () => {
  const answer = await api.call("GET", path)
  expect(answer.headers.get("content-type")).toBe("application/cloudevents-batch+json")
  expect(answer.body[0]).toEqual({
    specversion: "1.0",
    id: "1",
    source: "/test",
    type: "test.1",
    datacontenttype: "application/json",
    data: { a: 1 },
    redcarcursor: cursors[0],
    redcartime: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
  })
  expect(ids(answer)).toEqual(["1", "2", "3", "4", "5"])
  expect(answer.headers.get("link")).toBeNull()
})

test("NDJSON by Accept or by format", async () => {
  for (const answer of [
    await api.call("GET", path, undefined, ndjson),
    await api.call("GET", `${path}?format=ndjson`),
  ]) {
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson")
    expect(lines(answer.text).map(({ id }) => id)).toEqual(["1", "2", "3", "4", "5"])
  }
  expect(ids(await api.call("GET", `${path}?format=json`, undefined, ndjson))).toHaveLength(5)
})

test("pages follow each other by cursor and by link, to the end", async () => {
  const found: string[] = []
  let next: string | null = `${path}?limit=2`
  let last: Answer | undefined
  while (next !== null) {
    last = await api.call("GET", next)
    found.push(...ids(last))
    next = /<(.*)>; rel="next"/.exec(last.headers.get("link") ?? "")?.[1] ?? null
  }
  expect(found).toEqual(["1", "2", "3", "4", "5"])
  const end = last!.headers.get("redcar-next-cursor")!
  expect(ids(await api.call("GET", `${path}?from=${end}`))).toEqual([])
  const other = await api.append("elsewhere", ["x"])
  expect(other).toHaveLength(1)
  const later = await api.append("orders", ["6"])
  expect(ids(await api.call("GET", `${path}?from=${end}`))).toEqual(["6"])
  expect((await api.call("GET", `${path}?from=${later[0]}`)).headers.get("redcar-next-cursor")).not.toBeNull()
})

test("from is the oldest, the newest, a cursor or a time", async () => {
  expect(ids(await api.call("GET", `${path}?from=${cursors[1]}&limit=2`))).toEqual(["3", "4"])
  expect(ids(await api.call("GET", `${path}?from=oldest&limit=1`))).toEqual(["1"])
  const newest = await api.call("GET", `${path}?from=newest`)
  expect(ids(newest)).toEqual([])
  expect(newest.headers.get("redcar-next-cursor")).toBe(await api.engine.log.head())
  expect(ids(await api.call("GET", `${path}?from=2020-01-01T00:00:00Z&limit=1`))).toEqual(["1"])
  expect(ids(await api.call("GET", `${path}?from=2999-01-01T00:00:00Z`))).toEqual([])
})

test("a key reads its own events only", async () => {
  expect(ids(await api.call("GET", "/v1/topics/orders:7/events"))).toEqual(["4", "5"])
  expect(ids(await api.call("GET", "/v1/topics/orders:8/events"))).toEqual([])
})

test("a key with a slash is read percent-encoded", async () => {
  await api.append("paths:a/b", ["deep"])
  expect(ids(await api.call("GET", `/v1/topics/${encodeURIComponent("paths:a/b")}/events`))).toEqual(["deep"])
})

test("filters pass what they say, and the cursor goes on past the rest", async () => {
  const filters = encodeURIComponent(
    JSON.stringify([{ any: [{ exact: { type: "test.2" } }, { suffix: { id: "5" } }] }]),
  )
  expect(ids(await api.call("GET", `${path}?filters=${filters}`))).toEqual(["2", "5"])
  const first = await api.call("GET", `${path}?filters=${filters}&limit=1`)
  expect([ids(first), first.headers.get("redcar-next-cursor")]).toEqual([["2"], cursors[1]])
  const all = await api.call("GET", `${path}?limit=all&filters=${filters}`)
  expect(lines(all.text).map(({ id }) => id)).toEqual(["2", "5"])
})

test.each([
  ["limit=0", ["limit"]],
  ["limit=10001", ["limit"]],
  ["limit=some&from=nowhere", ["from", "limit"]],
  ["limit=all&format=json", ["format"]],
  ["format=xml", ["format"]],
  ["filters=nonsense", ["filters"]],
  ["filters=[{%22exact%22:{%22type%22:5}}]&form=oldest", ["filters[0].exact.type", "form"]],
])("%s is refused by name", async (query, expected) => {
  const answer = await api.call("GET", `${path}?${query}`)
  expect([answer.status, fields(answer)]).toEqual([400, expected])
})

test("an unknown topic is 404, the hub's own topics are there", async () => {
  expect((await api.call("GET", "/v1/topics/unknown/events")).status).toBe(404)
  expect((await api.call("GET", "/v1/topics/NO%20TOPIC/events")).status).toBe(404)
  expect((await api.call("GET", "/v1/topics/redcar.attempts/events")).body).toEqual([])
})

test("one event by source and id, and by cursor", async () => {
  const found = await api.call("GET", `${path}/4?source=/test`)
  expect(found.headers.get("content-type")).toBe("application/cloudevents+json")
  expect(found.headers.get("redcar-topic")).toBe("orders:7")
  expect(found.body).toMatchObject({ id: "4", redcarcursor: cursors[3] })
  expect((await api.call("GET", "/v1/topics/orders:7/events/4?source=/test")).status).toBe(200)
  expect((await api.call("GET", "/v1/topics/orders:7/events/1?source=/test")).status).toBe(404)
  expect((await api.call("GET", `${path}/4?source=/other`)).status).toBe(404)
  expect(fields(await api.call("GET", `${path}/4`))).toEqual(["source"])
  expect((await api.call("GET", `/v1/events/${cursors[3]}`)).body).toEqual(found.body)
  for (const unknown of ["nonsense", "zzzzz000000", "00000000001"]) {
    expect((await api.call("GET", `/v1/events/${unknown}`)).status).toBe(404)
  }
})

test("an event's id may hold anything", async () => {
  const id = 'ä/?#"% \u{1f600}'.repeat(20)
  await api.append("orders", [id])
  expect((await api.call("GET", `${path}/${encodeURIComponent(id)}?source=/test`)).body.id).toBe(id)
})

test("what was written on several lines is one line, with its values unchanged", async () => {
  await api.append("pretty", ["p"], Buffer.from('{\n  "a": "x\\ny",\r\n  "big": 12345678901234567890\n}'))
  const { text } = await api.call("GET", "/v1/topics/pretty/events", undefined, ndjson)
  expect(text.split("\n")).toHaveLength(2)
  expect(text).toContain("12345678901234567890")
  expect(lines(text)[0]).toMatchObject({ data: { a: "x\ny" } })
})

test("an export is every event up to the present end", async () => {
  const address = { tenant: "default", topic: "bulk" }
  await api.call("POST", "/v1/topics", { id: "bulk" })
  for (let i = 0; i < 10; i++) {
    await api.engine.log.append(
      address,
      Array.from({ length: 1_000 }, (_, n) => testEvent(String(i * 1_000 + n))),
    )
  }
  const answer = await api.call("GET", "/v1/topics/bulk/events?limit=all")
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson")
  const found = lines(answer.text)
  expect(found.map(({ id }) => id)).toEqual(Array.from({ length: 10_000 }, (_, n) => String(n)))
  const rest = await api.call("GET", `/v1/topics/bulk/events?limit=all&from=${found.at(-2)!.redcarcursor}`)
  expect(lines(rest.text).map(({ id }) => id)).toEqual(["9999"])
  const page = await api.call("GET", "/v1/topics/bulk/events?limit=10000")
  expect(page.body).toHaveLength(10_000)
})

test("a page ends before it grows too large", async () => {
  const address = { tenant: "default", topic: "large" }
  await api.call("POST", "/v1/topics", { id: "large" })
  const data = Buffer.from(JSON.stringify("x".repeat(400_000)))
  for (let i = 0; i < 50; i++) await api.engine.log.append(address, [testEvent(String(i), data)])
  const ids: string[] = []
  for (let url: string | undefined = "/v1/topics/large/events?limit=10000"; url !== undefined; ) {
    const page = await api.call("GET", url)
    expect(page.text.length).toBeLessThan(5_000_000)
    for (const { id } of page.body) ids.push(id)
    url = /<(.*)>/.exec(page.headers.get("link") ?? "")?.[1]
    if (url !== undefined) expect(page.body.length).toBeGreaterThan(5)
  }
  expect(ids).toEqual(Array.from({ length: 50 }, (_, i) => String(i)))
})

test("a client that goes away in the middle of an export hurts nobody", async () => {
  await new Promise<void>((resolve, reject) => {
    const options = { headers: { authorization: "Bearer admin" } }
    const gone = request(`${api.url}/v1/topics/large/events?limit=all`, options, (response) => {
      response.once("data", () => {
        gone.destroy()
        resolve()
      })
    })
    gone.on("error", reject).end()
  })
  expect((await api.call("GET", "/healthz")).status).toBe(200)
  expect((await api.call("GET", "/v1/topics/bulk/events?limit=1")).body).toHaveLength(1)
})

test("data of every kind is read as the format says", async () => {
  const base = { specversion: "1.0", source: "/test", type: "t" }
  const address = { tenant: "default", topic: "kinds" }
  await api.call("POST", "/v1/topics", { id: "kinds" })
  await api.engine.log.append(address, [
    Event.of({ ...base, id: "none" }),
    Event.of({ ...base, id: "text", datacontenttype: "text/plain" }, Buffer.from('say "hi"\n'), "text"),
    Event.of({ ...base, id: "bytes", count: 5, flag: true }, Uint8Array.of(0, 255), "binary"),
  ])
  const { body } = await api.call("GET", "/v1/topics/kinds/events")
  expect(body[0]).not.toHaveProperty("data")
  expect(body[1].data).toBe('say "hi"\n')
  expect(body[2]).toMatchObject({ data_base64: "AP8=", count: 5, flag: true })
})

test("the attempts of an event are shown without their responses where these are too large together", async () => {
  const [cursor] = await api.append("tried", ["1"])
  const response = { status: 500, headers: {}, body: "x".repeat(1_000_000), bodyEncoding: "utf8", bodyTruncated: false }
  const outcome = { kind: "failed", detail: "500", permanent: false, response }
  const named = { delivery: "d", trigger: "t", destination: "x", startedAt: 0, durationMs: 1, outcome }
  for (let number = 1; number <= 10; number++) {
    const told = testEvent(`attempt-${number}`, Buffer.from(JSON.stringify({ ...named, number })))
    await api.engine.log.append({ tenant: "default", topic: attemptsTopic, key: cursor! }, [told])
  }
  const [{ attempts }] = (await api.call("GET", `/v1/events/${cursor}/deliveries`)).body.items
  const shown = attempts.map(({ outcome }: { outcome: { response?: unknown } }) => outcome.response !== undefined)
  expect(shown).toEqual([...Array(8).fill(true), false, false])
})
