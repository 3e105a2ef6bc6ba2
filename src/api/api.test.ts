import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "./api.fixture.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi({
    metrics: { open: false, render: async () => ({ contentType: "text/plain", body: "up 1\n" }) },
  })
})
afterAll(() => api.close())

test.each(["/v1/topics", "/v1/status", "/metrics", "/v1/nothing", "/"])("%s wants a key", async (path) => {
  const answer = await api.call("GET", path, undefined, { authorization: "Bearer wrong" })
  expect(answer.status).toBe(401)
  expect(answer.headers.get("content-type")).toMatch(/^application\/problem\+json/)
  expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/)
  expect(answer.body).toMatchObject({
    type: "about:blank",
    title: "Unauthorized",
    status: 401,
    code: "unauthenticated",
  })
})

test.each([
  ["GET", "/v1/status"],
  ["GET", "/metrics"],
  ["HEAD", "/metrics"],
  ["POST", "/v1/audit"],
  ["POST", "/v1/tenants/acme/nats-credentials"],
  ["DELETE", "/v1/tenants/acme/nats-credentials"],
])("%s %s is about the whole hub, and its operator's alone", async (method, path) => {
  for (const key of ["other", "reader"]) {
    const answer = await api.call(method, path, undefined, { authorization: `Bearer ${key}` })
    expect([key, answer.status]).toEqual([key, 403])
    if (method !== "HEAD")
      expect(answer.body).toMatchObject({ code: "permission-denied", detail: expect.stringContaining("admin.key") })
  }
  expect((await api.call(method, path)).status).not.toBe(403)
})

test.each(["/healthz", "/readyz", "/v1/openapi.json", "/docs"])("%s wants none", async (path) => {
  expect((await api.call("GET", path, undefined, { authorization: "" })).status).toBe(200)
})

test("the probes answer HEAD too", async () => {
  for (const path of ["/healthz", "/readyz"]) {
    expect((await api.call("HEAD", path, undefined, { authorization: "" })).status).toBe(200)
  }
})

test("metrics may be open", async () => {
  const open = await openTestApi({
    metrics: { open: true, render: async () => ({ contentType: "text/plain", body: "up 1\n" }) },
  })
  try {
    const answer = await open.call("GET", "/metrics", undefined, { authorization: "" })
    expect([answer.status, answer.text]).toEqual([200, "up 1\n"])
  } finally {
    await open.close()
  }
})

test("an unknown path is 404, a wrong method 405 with Allow", async () => {
  expect((await api.call("GET", "/v1/nothing")).body).toMatchObject({ code: "not-found", status: 404 })
  const wrong = await api.call("PATCH", "/v1/topics")
  expect(wrong.body).toMatchObject({ code: "method-not-allowed", status: 405 })
  expect(wrong.headers.get("allow")).toBe("POST, GET, HEAD")
})

test("a process that takes no events does not say that it does", async () => {
  const reading = await openTestApi({ roles: ["route", "deliver", "api"] })
  try {
    const answer = await reading.call("PUT", "/v1/topics/orders/events", {})
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, HEAD"])
  } finally {
    await reading.close()
  }
})

test("a body that is no JSON is 400, no object is 400, another type is 415, too large is 413", async () => {
  const broken = await api.call("POST", "/v1/topics", '{"id":')
  expect([broken.status, broken.body.code]).toEqual([400, "invalid-argument"])
  expect(broken.body.detail).toMatch(/not JSON/)
  expect((await api.call("POST", "/v1/topics", "[]")).body.errors[0].message).toMatch(/JSON object/)
  const text = await api.call("POST", "/v1/topics", "id: x", { "content-type": "text/yaml" })
  expect([text.status, text.body.code]).toEqual([415, "unsupported-media-type"])
  const large = await api.call("POST", "/v1/topics", { id: "x", description: "x".repeat(2 << 20) })
  expect([large.status, large.body.code]).toEqual([413, "too-large"])
})

test("a body cannot reach the prototype", async () => {
  expect((await api.call("POST", "/v1/topics", '{"id":"p","__proto__":{"labels":{}}}')).status).toBe(400)
})

test("a malformed path is answered as a problem", async () => {
  const answer = await api.call("GET", "/v1/topics/%zz")
  expect(answer.body).toMatchObject({ code: "invalid-argument", status: 400 })
})

test("status tells version and figures; readiness tells why not", async () => {
  const status = await api.call("GET", "/v1/status")
  expect(status.body).toMatchObject({ version: "0.0.0-test", ready: true, reasons: [], health: [] })
  expect(status.body.figures).toEqual(JSON.parse(JSON.stringify(api.engine.figures())))
  const sick = await openTestApi({ readiness: () => ["router has stopped"] })
  try {
    const answer = await sick.call("GET", "/readyz")
    const body = { ready: false, reasons: ["router has stopped"], degraded: [], warnings: [], held: false }
    expect([answer.status, answer.body]).toEqual([503, body])
    expect((await sick.call("GET", "/healthz")).status).toBe(200)
  } finally {
    await sick.close()
  }
})

test("readiness tells what is wrong though the hub works", async () => {
  const degraded = await openTestApi()
  const line = "the NATS server n3 is away or behind"
  Object.assign(degraded.engine, { health: () => [line] })
  try {
    const answer = await degraded.call("GET", "/readyz")
    const body = { ready: true, reasons: [], degraded: [line], warnings: [], held: false }
    expect([answer.status, answer.body]).toEqual([200, body])
  } finally {
    await degraded.close()
  }
})

test("unknown and repeated query parameters are named", async () => {
  const answer = await api.call("GET", "/v1/topics?pagesize=5&pageSize=0&pageToken=a&pageToken=b")
  expect(answer.status).toBe(400)
  expect(answer.body.errors.map((each: { field: string }) => each.field).sort()).toEqual([
    "pageSize",
    "pageToken",
    "pagesize",
  ])
})

test("a failure that nobody expected says nothing of its cause, but its log does", async () => {
  const told: object[] = []
  const log = { info() {}, warn() {}, error: (fields: object) => void told.push(fields) }
  const broken = await openTestApi({
    log,
    metrics: { open: true, render: () => Promise.reject(new Error("the secret cause")) },
  })
  try {
    const answer = await broken.call("GET", "/metrics")
    expect([answer.status, answer.body.code]).toEqual([500, "internal"])
    expect(answer.text).not.toContain("secret")
    expect(told).toHaveLength(1)
  } finally {
    await broken.close()
  }
})
