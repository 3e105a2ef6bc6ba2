import { once } from "node:events"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from "jose"
import { afterEach, describe, expect, test } from "vitest"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

const hubs = testHubs("identity")
const issuer = "https://hub.example.com"
const path = "/.well-known/jwks.json"

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

interface Taken {
  readonly id: string
  readonly token: string
  readonly claims: JWTPayload
  /** Requests with this event that were refused before. */
  readonly refused: number
}

/** A receiver that takes what a hub at `hubUrl` sends, checked as any of them would, with the keys that it reads there. */
async function startChecking(hubUrl: () => string) {
  const taken: Taken[] = []
  const refused = new Map<string, number>()
  const read = () => createRemoteJWKSet(new URL(path, hubUrl()), { cooldownDuration: 0 })
  const keys: { set?: ReturnType<typeof read> } = {}
  const check = async (id: string, token: string) => {
    keys.set ??= read()
    const { payload: claims } = await jwtVerify(token, keys.set, { issuer, audience: url, algorithms: ["RS256"] })
    taken.push({ id, token, claims, refused: refused.get(id) ?? 0 })
  }
  const server = createServer((request, response) => {
    const [id, token] = [String(request.headers["ce-id"]), request.headers.authorization?.slice("Bearer ".length) ?? ""]
    check(id, token).then(
      () => response.writeHead(204).end(),
      () => {
        refused.set(id, (refused.get(id) ?? 0) + 1)
        response.writeHead(401).end()
      },
    )
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  /** Reads the keys anew with the next request. */
  const forget = () => delete keys.set
  return { url, taken, forget }
}

async function sendTo(hub: RestartableHub, url: string, id = "shop"): Promise<void> {
  const config = { url: `${url}/hook`, auth: { oidc: {} } }
  expect((await hub.call("POST", "/v1/destinations", { id, kind: "webhook", config })).status).toBe(201)
  expect((await hub.call("POST", "/v1/triggers", { id, topic: "orders", destination: id })).status).toBe(201)
}

const publish = (hub: RestartableHub, id: string) =>
  hub.call("POST", "/v1/topics/orders/events", { specversion: "1.0", id, source: "/shop", type: "order.paid" })

const kidsOf = async (hub: RestartableHub): Promise<readonly string[]> => {
  const { keys } = (await (await fetch(hub.address + path)).json()) as { readonly keys: readonly { kid: string }[] }
  return keys.map(({ kid }) => kid)
}
const kidOf = ({ token }: Pick<Taken, "token">) => decodeProtectedHeader(token).kid

test("a receiver knows the hub and the destination by a token, with keys that anyone may read; they outlive a restart", async () => {
  const data = hubs.directory()
  let hub = await hubs.start(data, { publicUrl: issuer })
  const receiver = await startChecking(() => hub.address)
  await sendTo(hub, receiver.url)
  await publish(hub, "1")
  await until(() => receiver.taken.length === 1)
  const [first] = receiver.taken
  expect(first!.claims).toMatchObject({ iss: issuer, sub: "default/shop", aud: receiver.url })
  expect(first!.claims.exp! - first!.claims.iat!).toBe(3_600)

  const found = await fetch(`${hub.address}/.well-known/openid-configuration`)
  expect(found.headers.get("cache-control")).toBe("public, max-age=300")
  expect(await found.json()).toEqual({
    issuer,
    jwks_uri: `${issuer}${path}`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
    claims_supported: ["iss", "sub", "aud", "iat", "exp"],
  })
  const published = await fetch(hub.address + path)
  expect(published.headers.get("cache-control")).toBe("public, max-age=300")
  const { keys } = (await published.json()) as { readonly keys: unknown }
  expect(keys).toEqual([{ kty: "RSA", n: expect.any(String), e: "AQAB", kid: kidOf(first!), use: "sig", alg: "RS256" }])

  await hub.stop()
  hub = await hubs.start(data, { publicUrl: issuer })
  await publish(hub, "2")
  await until(() => receiver.taken.length === 2)
  expect(await kidsOf(hub)).toEqual([kidOf(first!)])
  expect(kidOf(receiver.taken[1]!)).toBe(kidOf(first!))
})

test("keys are rotated while events are sent: each is taken, one whose key was revoked in the same attempt", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl: issuer })
  const receiver = await startChecking(() => hub.address)
  await sendTo(hub, receiver.url)
  const rotate = (body: object) => hub.call("POST", "/v1/identity/rotate-key", body)
  let published = 0
  const more = async (count: number) => {
    for (let i = 0; i < count; i++) await publish(hub, String(++published))
    await until(() => receiver.taken.length === published)
  }
  await more(10)
  const old = kidOf(receiver.taken[0]!)
  const next = await rotate({})
  expect(next.body).toMatchObject({ published: [old, next.body.kid] })
  expect(Date.parse(next.body.signsFrom) - Date.now()).toBeGreaterThan(86_000_000)
  expect((await rotate({})).status).toBe(409)
  await more(10)
  expect(await kidsOf(hub)).toEqual([old, next.body.kid])
  expect(new Set(receiver.taken.map(kidOf))).toEqual(new Set([old]))

  const revoked = await rotate({ revoke: true })
  expect(revoked.body.published).toEqual([revoked.body.kid])
  receiver.forget()
  await more(20)
  expect(new Set(receiver.taken.slice(20).map(kidOf))).toEqual(new Set([revoked.body.kid]))
  expect(Math.max(...receiver.taken.map(({ refused }) => refused))).toBe(1)
  const attempts = () => hub.call("GET", "/v1/topics/redcar.attempts/events?limit=100")
  // An attempt is told once its answer is there.
  await until(async () => (await attempts()).body.length === published)
  const { body } = await attempts()
  expect(body.map(({ data }: { readonly data: { readonly number: number } }) => data.number)).toEqual(Array(40).fill(1))
})

test("a token is of its destination and its tenant, whatever the config says; without a public URL there is none", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl: issuer })
  for (const oidc of [
    { sub: "other/shop" },
    { iss: "https://other.example" },
    { audience: "" },
    { audience: "a\nb" },
  ]) {
    const config = { url: "https://shop.example.com/", auth: { oidc } }
    const { status, body } = await hub.call("POST", "/v1/destinations", { kind: "webhook", config })
    expect([status, body.errors[0].field]).toEqual([400, `config.auth.oidc.${Object.keys(oidc)[0]}`])
  }
  const both = { url: "https://shop.example.com/", auth: { oidc: {}, bearer: { token: "t" } } }
  expect((await hub.call("POST", "/v1/destinations", { kind: "webhook", config: both })).body.errors[0].field).toBe(
    "config.auth",
  )
  await hub.stop()

  const unnamed = await hubs.start(hubs.directory())
  const config = { url: "https://shop.example.com/", auth: { oidc: {} } }
  const { body } = await unnamed.call("POST", "/v1/destinations", { kind: "webhook", config })
  expect(body.errors).toEqual([
    { field: "config.auth.oidc", message: expect.stringMatching(/^needs the setting publicUrl/) },
  ])
  for (const open of [path, "/.well-known/openid-configuration"])
    expect((await fetch(unnamed.address + open)).status).toBe(404)
  expect((await unnamed.call("POST", "/v1/identity/rotate-key")).status).toBe(409)
})

test("a destination says for whom its tokens are; a test of it sends one", async () => {
  const hub = await hubs.start(hubs.directory(), { publicUrl: issuer })
  const got: string[] = []
  const server = createServer((request, response) => {
    got.push(request.headers.authorization!.slice("Bearer ".length))
    response.writeHead(204).end()
  }).listen(0, "127.0.0.1")
  closing.push(() => server.close())
  await once(server, "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const config = { url, auth: { oidc: { audience: "shop-api" } } }
  await hub.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config })
  expect((await hub.call("POST", "/v1/destinations/shop/test", {})).body.kind).toBe("delivered")
  expect(decodeJwt(got[0]!)).toMatchObject({ aud: "shop-api", sub: "default/shop" })
  expect((await hub.call("GET", "/v1/destinations/shop")).body.config).toEqual(config)
})

test("the private key is on the disk encrypted alone, where there is a key for that", async () => {
  const data = hubs.directory()
  const secretsKey = join(hubs.directory(), "secrets.key")
  writeFileSync(secretsKey, `${Buffer.alloc(32, 7).toString("base64")}\n`)
  const hub = await hubs.start(data, { publicUrl: issuer, secretsKey })
  expect(await kidsOf(hub)).toHaveLength(1)
  await hub.stop()
  const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
  expect(files.length).toBeGreaterThan(2)
  for (const { parentPath, name } of files) {
    const bytes = readFileSync(join(parentPath, name))
    expect([name, bytes.includes("PRIVATE KEY"), bytes.includes("MIIEv")]).toEqual([name, false, false])
  }
})

describe.skipIf(natsAvailable() === undefined)("on NATS", () => {
  test("two hubs that are asked at once make one key, and each checks what the other signs", async () => {
    const engine = await hubs.nats()
    const start = () => {
      const data = hubs.directory()
      writeFileSync(join(data, "admin.key"), `rck_${"k".repeat(43)}\n`, { mode: 0o600 })
      return hubs.start(data, { engine, publicUrl: issuer })
    }
    const [a, b] = await Promise.all([start(), start()])
    const [ofA, ofB] = await Promise.all([kidsOf(a), kidsOf(b)])
    expect(ofA).toHaveLength(1)
    expect(ofB).toEqual(ofA)
    const receiver = await startChecking(() => b.address)
    await sendTo(a, receiver.url)
    await publish(b, "1")
    await until(() => receiver.taken.length === 1)
    const revoked = await a.call("POST", "/v1/identity/rotate-key", { revoke: true })
    await until(async () => (await kidsOf(b))[0] === revoked.body.kid)
    receiver.forget()
    await publish(b, "2")
    await until(() => receiver.taken.length === 2)
    expect(kidOf(receiver.taken[1]!)).toBe(revoked.body.kid)
  })
})
