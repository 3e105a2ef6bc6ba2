import { Ajv2020 } from "ajv/dist/2020.js"
import addFormats from "ajv-formats"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "./api.fixture.ts"

let api: TestApi
let ajv: Ajv2020
beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/topics", { id: "orders", labels: { team: "a" }, retention: { ageMax: "60d" } })
  await api.call("POST", "/v1/destinations", {
    id: "warehouse",
    kind: "webhook",
    config: { url: "http://127.0.0.1:9/", headers: { authorization: "x" } },
  })
  await api.call("POST", "/v1/triggers", { id: "ship", topic: "orders", destination: "warehouse" })
  ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  ajv.addSchema((await api.call("GET", "/v1/openapi.json")).body, "hub")
})
afterAll(() => api.close())

const of = {
  Topic: "/v1/topics/orders",
  Trigger: "/v1/triggers/ship",
  Destination: "/v1/destinations/warehouse",
}

const cases: readonly [keyof typeof of, object, boolean][] = [
  ["Topic", {}, true],
  ["Topic", { id: "orders" }, true],
  ["Topic", { id: null }, false],
  ["Topic", { description: null, labels: null, retention: null, dedupeWindow: null, wrap: null }, true],
  ["Topic", { retention: { ageMax: null } }, true],
  ["Topic", { retention: { ageMax: "soon" } }, false],
  ["Topic", { retention: { age: null } }, false],
  ["Topic", { retention: { eventsMax: 0 } }, false],
  ["Topic", { labels: { team: null, more: "x" } }, true],
  ["Topic", { labels: { "-": "x" } }, false],
  ["Topic", { labels: { team: "a,b" } }, false],
  ["Topic", { labels: { team: "a\u0085b" } }, false],
  ["Topic", { labels: { team: 5 } }, false],
  ["Topic", { wrap: { source: null } }, true],
  ["Topic", { stranger: 1 }, false],
  ["Topic", { etag: '"1"' }, false],
  ["Topic", [], false],
  ["Trigger", { topic: null }, false],
  ["Trigger", { destination: null }, false],
  ["Trigger", { filters: null, retry: null, start: null, paused: null, labels: null, description: null }, true],
  ["Trigger", { retry: { attemptsMax: 3 } }, true],
  ["Trigger", { retry: { attemptsMax: 0 } }, false],
  ["Trigger", { retry: { attempts: 3 } }, false],
  ["Trigger", { filters: [{ exact: { type: "a" } }] }, true],
  ["Trigger", { filters: [{ exactly: { type: "a" } }] }, false],
  ["Trigger", { paused: "yes" }, false],
  ["Trigger", { pausedSince: null }, false],
  ["Destination", { kind: null }, false],
  ["Destination", { config: null }, false],
  ["Destination", { config: { url: null } }, false],
  ["Destination", { config: { headers: { authorization: null }, timeoutMs: null } }, true],
  ["Destination", { config: { headers: { authorization: 5 } } }, false],
  ["Destination", { config: { timeoutMs: 5 } }, false],
  ["Destination", { config: { stranger: null } }, false],
  ["Destination", { concurrency: null, ratePerSecond: null }, true],
  ["Destination", { concurrency: 0 }, false],
  ["Destination", { ratePerSecond: 0 }, false],
  ["Destination", { signingKeys: [] }, false],
]

test.each(cases)("a patch of a %s, %j: the reference and the hub say %s", async (name, patch, taken) => {
  const answer = await api.call("PATCH", `${of[name]}?validate_only=true`, patch)
  expect(answer.status).toBe(taken ? 200 : 400)
  expect(ajv.validate({ $ref: `hub#/components/schemas/${name}Patch` }, patch)).toBe(taken)
  if (taken) {
    const schema = { $ref: `hub#/components/schemas/${name}` }
    expect([ajv.validate(schema, answer.body), ajv.errors]).toEqual([true, null])
  }
})
