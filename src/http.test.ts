import { afterAll, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "./hub.fixture.ts"

let hub: TestHub
beforeAll(async () => {
  hub = await startTestHub()
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/topics/orders/events", { raw: 1 })
})
afterAll(() => hub.stop())

test.each([
  "/healthz",
  "/readyz",
  "/metrics",
  "/docs",
  "/docs/scalar.js",
  "/v1/openapi.json",
  "/v1/status",
  "/v1/topics",
  "/v1/topics/orders",
  "/v1/topics/orders/events",
  "/v1/triggers",
  "/v1/filters/editor",
])("HEAD %s is answered as GET is, without its body", async (path) => {
  const get = await hub.call("GET", path)
  const head = await hub.call("HEAD", path)
  expect([head.status, head.text]).toEqual([200, ""])
  expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"))
  expect(head.headers.get("etag")).toBe(get.headers.get("etag"))
})

test.each(["/v1/topics/orders/stream?from=oldest", "/v1/topics/orders/events?limit=all"])(
  "HEAD %s ends at once",
  async (path) => {
    const head = await hub.call("HEAD", path)
    expect([head.status, head.text]).toEqual([200, ""])
    expect(head.headers.get("content-type")).toMatch(/^(text\/event-stream|application\/x-ndjson)/)
  },
)

test("HEAD of what is not there is refused as GET is", async () => {
  for (const path of ["/v1/topics/nothing", "/v1/nothing", "/v1/topics/nothing/stream"]) {
    expect((await hub.call("HEAD", path)).status).toBe(404)
  }
  expect((await hub.call("HEAD", "/v1/topics", undefined, { authorization: "" })).status).toBe(401)
})

test.each([
  ["/v1/topics/orders/events", ["GET", "HEAD", "POST"]],
  ["/v1/topics/orders", ["DELETE", "GET", "HEAD", "PATCH", "PUT"]],
  ["/v1/triggers:match", ["POST"]],
  ["/v1/status", ["GET", "HEAD"]],
])("Allow of %s is complete", async (path, methods) => {
  const answer = await hub.call("OPTIONS", path)
  expect(answer.status).toBe(405)
  expect(answer.headers.get("allow")!.split(", ").sort()).toEqual(methods)
})

function head(path: string, more: readonly string[], key = hub.key): readonly string[] {
  return [`POST ${path} HTTP/1.1`, "host: hub", `authorization: Bearer ${key}`, ...more, "expect: 100-continue", "", ""]
}

const json = "content-type: application/json"
const anonymous = `rck_${"x".repeat(43)}`

test.each([
  ["/v1/topics", [json, "content-length: 2000000"], 413],
  ["/v1/topics", ["content-type: text/yaml", "content-length: 10"], 415],
  ["/v1/nothing", [json, "content-length: 10"], 404],
  ["/v1/status", [json, "content-length: 10"], 405],
  ["/v1/topics/orders/events", ["content-type: text/plain", "content-length: 2000000"], 413],
  ["/v1/topics/orders/events", ["content-type: application/cloudevents-batch+json", "content-length: 20000000"], 413],
  ["/v1/topics/orders/events", ["content-type: application/x-ndjson", "content-length: 100000000"], 413],
  ["/v1/topics/orders/events", ["content-type: application/cloudevents+xml", "content-length: 10"], 415],
  ["/v1/topics/no%20topic/events", ["content-type: text/plain", "content-length: 10"], 400],
])("what the head of a POST to %s decides (%j) comes before a body is asked for", async (path, lines, status) => {
  // It ends by itself: whether the body still comes, nobody knows.
  const answered = await hub.exchange(head(path, lines), /$^/)
  expect(answered).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  expect(answered).toMatch(/^connection: close\r$/im)
})

test.each(["/v1/topics", "/v1/topics/orders/events"])(
  "nobody is asked for a body to %s without a key",
  async (path) => {
    const answered = await hub.exchange(head(path, [json, "content-length: 10"], anonymous), /$^/)
    expect(answered).toMatch(/^HTTP\/1.1 401 /)
    expect(answered).not.toContain("100 Continue")
  },
)

test.each([
  ["/v1/topics", json, '{"id":"asked"}', "201 Created"],
  ["/v1/topics/orders/events", "content-type: text/plain", "hello", "202 Accepted"],
  ["/v1/topics/orders/events", "content-type: application/x-ndjson", "{}\n", "400 Bad Request"],
])("a body to %s (%s) that is asked about may come, and the connection lives", async (path, type, body, status) => {
  const lines = head(path, [type, `content-length: ${body.length}`])
  const waiting = await hub.exchange(lines, "100 Continue")
  expect(waiting).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\n$/)
  const answered = await hub.exchange([...lines.slice(0, -1), body], status)
  expect(answered).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 /)
  expect(answered).toContain(status)
  expect(answered).not.toMatch(/^connection: close\r$/im)
})
