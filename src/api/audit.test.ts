import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "./api.fixture.ts"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.append("orders", ["a", "b"])
})
afterAll(() => api.close())

test("an audit reads all that is stored, tells how far it is, and says what it found", async () => {
  const answer = await api.call("POST", "/v1/audit")
  expect(answer.status).toBe(200)
  const lines = answer.text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(lines[0]).toMatchObject({ kind: "progress", partition: 0, partitions: 1 })
  expect(lines.at(-1)).toMatchObject({ kind: "report", events: 2, complete: true, findings: [], findingsCount: 0 })
})

test("what is damaged or missing is in the report", async () => {
  const findings = [{ kind: "missing" as const, detail: "messages 3 to 5 (3)" }]
  const sick = await openTestApi({
    engine: {
      ...api.engine,
      audit: async () => ({ name: "log", complete: true, events: 2, bytes: 9, findings, findingsCount: 1 }),
    },
  })
  try {
    const { text } = await sick.call("POST", "/v1/audit")
    expect(JSON.parse(text.trim().split("\n").at(-1)!)).toMatchObject({ findings, findingsCount: 1 })
  } finally {
    await sick.close()
  }
})

test("it is the operator's: other tenants are refused", async () => {
  const answer = await api.call("POST", "/v1/audit", undefined, { authorization: "Bearer other" })
  expect([answer.status, answer.body.code]).toEqual([403, "permission-denied"])
})
