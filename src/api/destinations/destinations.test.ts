import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Destination } from "../../core/resources.ts"
import { type Answer, openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let receiver: Server
let url: string
const received: { type: string | undefined; signature: string | undefined; authorization: string | undefined }[] = []
beforeAll(async () => {
  api = await openTestApi()
  receiver = createServer((request, response) => {
    const { "ce-type": type, "webhook-signature": signature, authorization } = request.headers as Record<string, string>
    received.push({ type, signature, authorization })
    response.writeHead(request.url === "/broken" ? 500 : 204).end()
  })
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
})
afterAll(async () => {
  await api.close()
  receiver.closeAllConnections()
  receiver.close()
})

const fields = (answer: Answer): string[] => answer.body.errors.map((each: { field: string }) => each.field).sort()
const create = (id: string, config: object = {}, more: object = {}) =>
  api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url, ...config }, ...more })
const stored = async (id: string) => (await api.engine.catalog.get<Destination>(`destination/default/${id}`))!.value

test("the secret is shown once, and never again", async () => {
  const made = await create("once")
  expect(made.status).toBe(201)
  const [key] = made.body.signingKeys
  expect(key).toMatchObject({ scheme: "v1", secret: expect.stringMatching(/^whsec_/) })
  const { secret: _, ...shown } = key
  for (const [method, path, body] of [
    ["GET", "/v1/destinations/once", undefined],
    ["PATCH", "/v1/destinations/once", { description: "x" }],
    ["PUT", "/v1/destinations/once", { kind: "webhook", config: { url } }],
  ] as const) {
    expect((await api.call(method, path, body)).body.signingKeys).toEqual([shown])
  }
  expect((await api.call("GET", "/v1/destinations")).text).not.toContain("whsec_")
  expect((await stored("once")).signingKeys[0]!.secret).toBe(key.secret)
})

test("v1a shows its public key and keeps its private one", async () => {
  const made = await create("asymmetric", { signing: "v1a" })
  expect(made.body.signingKeys[0]).toMatchObject({ scheme: "v1a", publicKey: expect.stringMatching(/^whpk_/) })
  expect(made.text).not.toContain("whsk_")
  expect((await api.call("GET", "/v1/destinations/asymmetric")).body.signingKeys[0].publicKey).toMatch(/^whpk_/)
})

test("another scheme gets a new key, shown in that answer", async () => {
  await create("changing", { signing: "none" })
  expect((await api.call("GET", "/v1/destinations/changing")).body.signingKeys).toEqual([])
  const changed = await api.call("PATCH", "/v1/destinations/changing", { config: { signing: "v1" } })
  expect(changed.body.signingKeys[0].secret).toMatch(/^whsec_/)
})

test("rotation answers the new key once, and both sign for the overlap", async () => {
  const [first] = (await create("rotated")).body.signingKeys
  const rotated = await api.call("POST", "/v1/destinations/rotated/rotate-secret", { overlap: "1h" })
  expect(rotated.status).toBe(200)
  expect(rotated.body).toMatchObject({ scheme: "v1", secret: expect.stringMatching(/^whsec_/) })
  const keys = (await api.call("GET", "/v1/destinations/rotated")).body.signingKeys
  expect(keys.map((key: { id: string }) => key.id)).toEqual([rotated.body.id, first.id])
  const leftMs = Date.parse(keys[1].expiresAt) - Date.now()
  expect(leftMs).toBeGreaterThan(3_500_000)
  expect(leftMs).toBeLessThanOrEqual(3_600_000)
  await api.call("POST", "/v1/destinations/rotated/rotate-secret", { overlap: 0 })
  expect((await api.call("GET", "/v1/destinations/rotated")).body.signingKeys).toHaveLength(1)
  expect(fields(await api.call("POST", "/v1/destinations/rotated/rotate-secret", { overlap: "later", x: 1 }))).toEqual([
    "overlap",
    "x",
  ])
  await create("unsigned", { signing: "none" })
  expect((await api.call("POST", "/v1/destinations/unsigned/rotate-secret")).status).toBe(409)
  expect((await api.call("POST", "/v1/destinations/unknown/rotate-secret")).status).toBe(404)
})

test("secrets in config read as ***, and *** sent back keeps them", async () => {
  const made = await create("secretive", { headers: { authorization: "Bearer s3cret", "x-a": "1" } })
  expect(made.text).not.toContain("s3cret")
  expect(made.body.config.headers).toEqual({ authorization: "***", "x-a": "***" })
  const { body } = await api.call("GET", "/v1/destinations/secretive")
  await api.call("PUT", "/v1/destinations/secretive", {
    ...body,
    config: { ...body.config, headers: { ...body.config.headers, "x-a": "2" } },
  })
  expect((await stored("secretive")).config).toEqual({ url, headers: { authorization: "Bearer s3cret", "x-a": "2" } })
  await api.call("PATCH", "/v1/destinations/secretive", { config: { headers: { "x-a": null } } })
  expect((await stored("secretive")).config).toEqual({ url, headers: { authorization: "Bearer s3cret" } })
  expect(fields(await create("copied", { headers: { authorization: "***" } }))).toEqual([
    "config.headers.authorization",
  ])
})

test("credentials are kept by what was read, whichever part of them changes, and one kind of them takes another's place", async () => {
  const oauth2 = { tokenUrl: `${url}token`, clientId: "hub", clientSecret: "s3cret" }
  const made = await create("oauth", { auth: { oauth2 } })
  expect(made.body.config.auth).toEqual({ oauth2: { ...oauth2, clientSecret: "***" } })
  const { body } = await api.call("GET", "/v1/destinations/oauth")
  await api.call("PUT", "/v1/destinations/oauth", body)
  await api.call("PATCH", "/v1/destinations/oauth", { config: { auth: { oauth2: { scope: "events" } } } })
  expect((await stored("oauth")).config).toEqual({ url, auth: { oauth2: { ...oauth2, scope: "events" } } })
  const both = { config: { auth: { bearer: { token: "t0ken" } } } }
  expect(fields(await api.call("PATCH", "/v1/destinations/oauth", both))).toEqual(["config.auth"])
  const instead = { config: { auth: { oauth2: null, bearer: { token: "t0ken" } } } }
  const changed = await api.call("PATCH", "/v1/destinations/oauth", instead)
  expect(changed.body.config.auth).toEqual({ bearer: { token: "***" } })
  expect((await stored("oauth")).config).toEqual({ url, auth: { bearer: { token: "t0ken" } } })
  const basic = await create("basic", { auth: { basic: { username: "hub", password: "s3cret" } } })
  expect(basic.body.config.auth).toEqual({ basic: { username: "hub", password: "***" } })
  const tls = { clientCertificate: "x", clientKey: "s3cret" }
  const wrong = await create("mtls", { url: "https://example.com/", tls })
  expect(fields(wrong)).toEqual(["config.tls.clientCertificate", "config.tls.clientKey"])
  for (const answer of [made, changed, basic, wrong]) expect(answer.text).not.toMatch(/s3cret|t0ken/)
})

test("a secret is not kept for another host: it has to be given again", async () => {
  const at = (origin: string) => `${origin}/hook`
  const oauth2 = { tokenUrl: at("https://login.example"), clientId: "hub", clientSecret: "s3cret" }
  const [first, headers] = [at("https://a.example"), { "x-key": "s3cret" }]
  await create("moving", { url: first, headers, auth: { oauth2 } })
  const patch = (config: object) => api.call("PATCH", "/v1/destinations/moving", { config })
  const [header, clientSecret] = ["config.headers.x-key", "config.auth.oauth2.clientSecret"]
  for (const origin of ["https://b.example", "http://a.example", "https://a.example:8443"]) {
    const refused = await patch({ url: at(origin) })
    expect(fields(refused).sort()).toEqual([clientSecret, header])
    expect(refused.text).toContain(
      `must be given again: config.url goes to another host now, ${origin} instead of https://a.example`,
    )
    const { body } = await api.call("GET", "/v1/destinations/moving")
    const put = await api.call("PUT", "/v1/destinations/moving", {
      ...body,
      config: { ...body.config, url: at(origin) },
    })
    expect(fields(put).sort()).toEqual([clientSecret, header])
    expect(fields(await patch({ auth: { oauth2: { tokenUrl: at(origin) } } }))).toEqual([clientSecret])
  }
  expect((await stored("moving")).config).toEqual({ url: first, headers, auth: { oauth2 } })
  const id = (await stored("moving")).signingKeys[0]!.id

  expect((await patch({ url: "https://A.example:443/other" })).status).toBe(200)
  const again = { url: at("https://b.example"), headers: { "x-key": null }, auth: { oauth2: { clientSecret: "new" } } }
  expect((await patch(again)).status).toBe(200)
  expect(await stored("moving")).toMatchObject({
    config: { url: at("https://b.example"), headers: {}, auth: { oauth2: { ...oauth2, clientSecret: "new" } } },
    signingKeys: [{ id }],
  })
  await patch({ auth: { oauth2: null, basic: { username: "hub", password: "s3cret" } } })
  expect(fields(await patch({ url: first }))).toEqual(["config.auth.basic.password"])
  expect(fields(await patch({ url: "nowhere" }))).toEqual(["config.url"])
})

test("a test of a destination that cannot be opened says why", async () => {
  await create("closed")
  const { value, revision } = (await api.engine.catalog.get<Destination>("destination/default/closed"))!
  await api.engine.catalog.put("destination/default/closed", { ...value, config: { url: "nowhere" } }, revision)
  const answer = await api.call("POST", "/v1/destinations/closed/test")
  expect(answer).toMatchObject({
    status: 409,
    body: { detail: expect.stringMatching(/^destination closed cannot be opened: /) },
  })
})

test("config is checked by its kind, with its paths", async () => {
  const wrong = await create(
    "wrong",
    { url: "ftp://example.com", mode: "loud", nope: 1 },
    { concurrency: 0, ratePerSecond: -1 },
  )
  expect(fields(wrong)).toEqual(["concurrency", "config.mode", "config.nope", "ratePerSecond"])
  expect(fields(await create("ftp", { url: "ftp://example.com" }))).toEqual(["config.url"])
  expect(fields(await create("private", { url: "http://10.0.0.1/" }))).toEqual(["config.url"])
  const unknown = await api.call("POST", "/v1/destinations", { kind: "pigeon", config: {} })
  expect(unknown.body.errors).toEqual([{ field: "kind", message: expect.stringContaining('"webhook"') }])
  expect(fields(await api.call("POST", "/v1/destinations", { kind: "topic", config: { topic: "NO" } }))).toEqual([
    "config.topic",
  ])
})

test("its kind cannot be changed", async () => {
  await create("fixed")
  const changed = await api.call("PUT", "/v1/destinations/fixed", { kind: "topic", config: { topic: "orders" } })
  expect(fields(changed)).toEqual(["kind"])
})

test("a test sends one signed event and answers the outcome; nothing is stored", async () => {
  await create("tested", { headers: { authorization: "Bearer s3cret" } })
  const head = await api.engine.log.head()
  const answer = await api.call("POST", "/v1/destinations/tested/test", {})
  expect(answer.body).toMatchObject({ kind: "delivered", detail: "204 No Content", response: { status: 204 } })
  expect(received.at(-1)).toMatchObject({
    type: "redcar.test",
    authorization: "Bearer s3cret",
    signature: expect.stringMatching(/^v1,/),
  })
  await create("broken", { url: `${url}broken` })
  expect((await api.call("POST", "/v1/destinations/broken/test")).body).toMatchObject({
    kind: "failed",
    permanent: false,
  })
  await create("asking", { handshake: true })
  expect((await api.call("POST", "/v1/destinations/asking/test")).body).toMatchObject({
    kind: "failed",
    unsent: true,
    detail: expect.stringMatching(/^held back: the receiver does not agree to be sent to \(asked as .+\): 204 without/),
  })
  await api.call("POST", "/v1/destinations", { id: "forward", kind: "topic", config: { topic: "orders" } })
  expect((await api.call("POST", "/v1/destinations/forward/test")).body.kind).toBe("delivered")
  expect(await api.engine.log.head()).toBe(head)
  expect((await api.call("POST", "/v1/destinations/unknown/test")).status).toBe(404)
})

test("kinds are listed with their schemas", async () => {
  const { items } = (await api.call("GET", "/v1/destination-kinds?pageSize=200")).body
  expect(items.map((each: { kind: string }) => each.kind)).toEqual(["queue", "topic", "webhook"])
  expect(items[2].config.properties.url.type).toBe("string")
  const first = (await api.call("GET", "/v1/destination-kinds?pageSize=1")).body
  const second = (await api.call("GET", `/v1/destination-kinds?pageSize=1&pageToken=${first.nextPageToken}`)).body
  expect([first.items[0].kind, second.items[0].kind, second.nextPageToken]).toEqual([
    "queue",
    "topic",
    expect.any(String),
  ])
})
