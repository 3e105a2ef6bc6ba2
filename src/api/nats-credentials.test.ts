import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { CredentialsOptions, IssuedCredentials, TenantCredentials } from "../core/credentials.ts"
import { OverloadError } from "../core/errors.ts"
import { openTestApi, type TestApi } from "./api.fixture.ts"

const path = "/v1/tenants/acme/nats-credentials"
const dayMs = 86_400_000

describe("a hub whose engine issues none", () => {
  let api: TestApi
  beforeAll(async () => {
    api = await openTestApi()
  })
  afterAll(() => api.close())

  test("says what is needed", async () => {
    const { status, body } = await api.call("POST", path)
    expect([status, body.code]).toEqual([409, "conflict"])
    expect(body.detail).toMatch(/--engine nats:.*--nats-issuer.*redcar nats init/)
  })

  test("refuses whoever is not its admin before anything else", async () => {
    const { status, body } = await api.call("POST", path, {}, { authorization: "Bearer other" })
    expect([status, body.code]).toEqual([403, "permission-denied"])
    expect((await api.call("POST", path, {}, { authorization: "Bearer nobody" })).status).toBe(401)
  })
})

describe("a hub whose engine issues them", () => {
  let api: TestApi
  let asked: readonly [tenant: string, options: CredentialsOptions][] = []
  let answer: IssuedCredentials | Error
  const issued: IssuedCredentials = {
    kind: "issued",
    text: "secret",
    expiresAt: Date.UTC(2050, 0, 1),
    subject: "redcar.acme.>",
    consumer: "tenant_acme",
    streams: ["REDCAR_LOG_0"],
  }
  // The real issuer needs NATS servers; what it does is tested beside it.
  const credentials: TenantCredentials = {
    async issue(tenant, options) {
      asked = [...asked, [tenant, options]]
      if (answer instanceof Error) throw answer
      return answer
    },
    async revoke(tenant) {
      if (tenant === "nobody") return { kind: "unknown" }
      return tenant === "acme" ? { kind: "revoked" } : { kind: "refused", reason: "the servers do not" }
    },
  }
  beforeAll(async () => {
    api = await openTestApi({ credentials })
  })
  afterAll(() => api.close())

  test("answers them once, and nothing keeps the answer", async () => {
    asked = []
    answer = issued
    const { status, body, headers } = await api.call("POST", path, { consumer: "reports", expiresIn: "1d" })
    expect(status).toBe(201)
    expect(headers.get("cache-control")).toBe("no-store")
    expect(body).toEqual({
      tenant: "acme",
      credentials: "secret",
      expiresAt: "2050-01-01T00:00:00.000Z",
      subject: "redcar.acme.>",
      consumer: "tenant_acme",
      streams: ["REDCAR_LOG_0"],
      warnings: [expect.stringMatching(/^tenant acme has no key and no topic yet: if that is not the name/)],
    })
    await api.append("orders", ["1"])
    expect((await api.call("POST", "/v1/tenants/default/nats-credentials")).body).not.toHaveProperty("warnings")
    asked = asked.filter(([tenant]) => tenant === "acme")
    await api.call("POST", path)
    expect(asked).toEqual([
      ["acme", { consumer: "reports", expiresInMs: dayMs }],
      ["acme", { expiresInMs: 90 * dayMs }],
    ])
  })

  test("names every wrong field", async () => {
    const { status, body } = await api.call("POST", path, { consumer: "a_b", expiresIn: "10s", scope: "all" })
    expect(status).toBe(400)
    expect(body.errors.map(({ field }: { field: string }) => field).sort()).toEqual(["consumer", "expiresIn", "scope"])
    for (const tenant of ["a.b", "a_b", "A", "%2A", "%3E", "a%20b"]) {
      const answer = await api.call("POST", `/v1/tenants/${tenant}/nats-credentials`)
      expect([tenant, answer.status, answer.body.errors[0].field]).toEqual([tenant, 400, "tenant"])
    }
  })

  test("ends all of a tenant's", async () => {
    const statuses = ["acme", "nobody", "other"].map(async (tenant) => {
      const { status } = await api.call("DELETE", `/v1/tenants/${tenant}/nats-credentials`)
      return status
    })
    expect(await Promise.all(statuses)).toEqual([204, 404, 409])
    expect((await api.call("DELETE", path, undefined, { authorization: "Bearer other" })).status).toBe(403)
  })

  test("passes on why there are none", async () => {
    answer = { kind: "refused", reason: "acme has 32 consumers already" }
    const refused = await api.call("POST", path)
    expect([refused.status, refused.body.detail]).toEqual([409, "acme has 32 consumers already"])
    answer = new OverloadError(1_000, "the NATS servers do not answer")
    const busy = await api.call("POST", path)
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([503, "1"])
  })
})
