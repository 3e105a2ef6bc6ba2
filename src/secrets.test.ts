import { randomBytes } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { openTestApi } from "./api/api.fixture.ts"
import type { Logger } from "./core/logger.ts"
import type { Destination } from "./core/resources.ts"
import { openDestination } from "./core/secrets.ts"
import { destinationKinds } from "./destinations/index.ts"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"
import { openSecrets, tellSecrets } from "./secrets.ts"
import { systemClock as clock } from "./telemetry/clock.ts"

const [key, other] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")]
/** What is written to a log, at which level, and of which destinations. */
class Entries implements Logger {
  readonly entries: (readonly [level: string, destinations: unknown])[] = []
  info = this.#at("info")
  warn = this.#at("warn")
  error = this.#at("error")

  #at(level: string): Logger["info"] {
    return (fields) => void this.entries.push([level, (fields as { destinations?: unknown }).destinations])
  }
}

let data: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "redcar-secrets-"))
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  rmSync(data, { recursive: true, force: true })
})

async function start(...keys: readonly string[]): Promise<RestartableHub> {
  const hub = await startHubOn(data, keys.length > 0 ? { secretsKey: keys.join(",") } : {})
  closing.push(() => hub.stop())
  return hub
}

/** A receiver that takes what bears the token. */
async function startGuarded(token: string): Promise<{ readonly url: string; readonly taken: string[] }> {
  const taken: string[] = []
  const server = createServer((request, response) => {
    const isKnown = request.headers.authorization === `Bearer ${token}`
    if (isKnown) taken.push(String(request.headers["ce-id"]))
    response.writeHead(isKnown ? 204 : 403).end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  closing.push(async () => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, taken }
}

/** Whether any file of the data directory holds the text. */
function isStored(text: string): boolean {
  const paths = readdirSync(data, { recursive: true, encoding: "utf8" }).map((path) => join(data, path))
  return paths.some((path) => statSync(path).isFile() && readFileSync(path).includes(text))
}

test("without a key secrets are stored as they are", async () => {
  const hub = await start()
  const config = { url: "https://example.com/", auth: { bearer: { token: "t0ken-in-the-files" } } }
  await hub.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config })
  await hub.stop()
  expect(isStored("t0ken-in-the-files")).toBe(true)
})

const event = (id: string) => ({ specversion: "1.0", id, source: "/shop", type: "order.paid" })

test("with a key no file holds a secret, deliveries show it, and without the key the destination says what is wrong", async () => {
  const token = randomBytes(20).toString("hex")
  const receiver = await startGuarded(token)
  const first = await start(key)
  const config = { url: receiver.url, auth: { bearer: { token } } }
  const made = await first.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config })
  const secret = made.body.signingKeys[0].secret as string
  expect(secret).toMatch(/^whsec_/)
  const retry = { delays: ["1s"], attemptsMax: 100, ageMax: "1d" }
  await first.call("POST", "/v1/triggers", { id: "paid", topic: "orders", destination: "shop", retry })
  await first.call("POST", "/v1/topics/orders/events", event("e1"))
  await until(() => receiver.taken.includes("e1"))
  await first.stop()
  expect([isStored(token), isStored(secret)]).toEqual([false, false])

  const keyless = await start()
  const shown = await keyless.call("GET", "/v1/destinations/shop")
  expect(shown.body.config).toEqual({ url: receiver.url, auth: { bearer: { token: "***" } } })
  const detail = expect.stringMatching(/secrets of destination shop cannot be read: .* setting secretsKey/)
  for (const [method, path] of [
    ["PATCH", "/v1/destinations/shop"],
    ["POST", "/v1/destinations/shop/test"],
    ["POST", "/v1/destinations/shop/rotate-secret"],
  ] as const)
    expect(await keyless.call(method, path, {})).toMatchObject({ status: 409, body: { code: "conflict", detail } })
  const { cursor } = (await keyless.call("POST", "/v1/topics/orders/events", event("e2"))).body
  await until(async () => {
    const { items } = (await keyless.call("GET", `/v1/events/${cursor}/deliveries`)).body
    return JSON.stringify(items).includes("secrets of destination shop cannot be read")
  })
  await keyless.stop()

  const again = await start(other, key)
  await until(() => receiver.taken.includes("e2"))
  expect(await again.call("PATCH", "/v1/destinations/shop", {})).toMatchObject({ status: 200 })
  await again.stop()
  const rotated = await start(other)
  expect(await rotated.call("POST", "/v1/destinations/shop/test", {})).toMatchObject({ body: { kind: "delivered" } })
}, 60_000)

test("what was stored plain is read with a key, and encrypted when it is written next; the log tells which wait", async () => {
  const secrets = openSecrets({ secretsKey: [key] })
  const api = await openTestApi({ secrets })
  closing.push(() => api.close())
  const kinds = destinationKinds({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const stored = async (id: string) => (await api.engine.catalog.get<Destination>(`destination/default/${id}`))!.value
  const told = async (keys: readonly string[]) => {
    const log = new Entries()
    await tellSecrets({ engine: api.engine, clock, kinds, secrets: openSecrets({ secretsKey: [...keys] }), log })
    return log.entries
  }
  const config = { url: "https://example.com/", headers: { authorization: "s3cret" } }
  await api.call("POST", "/v1/destinations", { id: "a", kind: "webhook", config })
  await api.call("POST", "/v1/destinations", { id: "forward", kind: "topic", config: { topic: "orders" } })
  const sealed = await stored("a")
  expect(JSON.stringify(sealed)).not.toMatch(/s3cret|whsec_/)
  expect(await stored("forward")).not.toHaveProperty("sealed")
  const plain = { ...openDestination(secrets, sealed), id: "b" }
  await api.engine.catalog.put("destination/default/b", plain)
  expect(await told([])).toEqual([["error", ["default/a"]]])
  expect(await told([key])).toEqual([["info", ["default/b"]]])
  expect(await told([other, key])).toEqual([["info", ["default/a", "default/b"]]])

  const changed = await api.call("PATCH", "/v1/destinations/b", { config: { headers: { "x-a": "1" } } })
  expect(changed.body.signingKeys).toEqual([expect.not.objectContaining({ secret: expect.anything() })])
  const after = await stored("b")
  expect(JSON.stringify(after)).not.toMatch(/s3cret|whsec_/)
  expect(openDestination(secrets, after)).toMatchObject({
    config: { headers: { authorization: "s3cret", "x-a": "1" } },
    signingKeys: plain.signingKeys,
  })
  expect(await told([key])).toEqual([])
  await api.call("PATCH", "/v1/destinations/b", { description: "changed" })
  expect((await stored("b")).sealed).toBe(after.sealed)
})

test("where the key is lost, a destination is replaced whole: with secrets given anew, and signing keys issued anew", async () => {
  const before = await start(key)
  const config = { url: "https://example.com/", headers: { "x-key": "s3cret" }, auth: { bearer: { token: "t0ken" } } }
  const made = await before.call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config })
  await before.stop()
  const hub = await start(other)
  const path = "/v1/destinations/shop"
  const { body } = await hub.call("GET", path)
  const kept = { ...config, headers: { "x-key": "***" } }
  for (const [wanted, names] of [
    [body.config, ["config.auth.bearer.token", "config.headers.x-key"]],
    [kept, ["config.headers.x-key"]],
  ]) {
    const refused = await hub.call("PUT", path, { ...body, config: wanted })
    expect(refused.status).toBe(400)
    expect((refused.body.errors as { field: string }[]).map(({ field }) => field).sort()).toEqual(names)
  }
  expect(await hub.call("PATCH", path, { config })).toMatchObject({ status: 409 })

  const replaced = await hub.call("PUT", path, { ...body, config })
  expect(replaced).toMatchObject({ status: 200, body: { createdAt: made.body.createdAt } })
  const [issued, ...more] = replaced.body.signingKeys
  expect(more).toEqual([])
  expect(issued.secret).toMatch(/^whsec_/)
  expect(issued.id).not.toBe(made.body.signingKeys[0].id)
  const again = await hub.call("PUT", path, { ...body, config: { ...body.config, mode: "structured" } })
  expect(again).toMatchObject({ status: 200, body: { signingKeys: [{ id: issued.id }] } })
  expect(again.body.signingKeys[0]).not.toHaveProperty("secret")
  await hub.stop()
  expect(["s3cret", "t0ken", issued.secret].filter(isStored)).toEqual([])

  const keyless = await start()
  expect(await keyless.call("PUT", path, { ...body, config })).toMatchObject({ status: 200 })
}, 60_000)

test("without keys nothing is told of plain secrets", async () => {
  const api = await openTestApi()
  closing.push(() => api.close())
  await api.call("POST", "/v1/destinations", { id: "a", kind: "webhook", config: { url: "https://example.com/" } })
  const log = new Entries()
  const kinds = destinationKinds({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  await tellSecrets({ engine: api.engine, clock, kinds, secrets: openSecrets({ secretsKey: [] }), log })
  expect(log.entries).toEqual([])
})

test("a key that is none refuses the start", async () => {
  await expect(startHubOn(data, { secretsKey: "/nowhere/key" })).rejects.toThrow(
    /^secretsKey: an entry is neither 32 bytes in base64 nor the name of a file/,
  )
})
