import { randomBytes } from "node:crypto"
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { Engine } from "../core/engine.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock, type SimulatedClock } from "../testing/clock.ts"
import { type AdminKey, loadAdminKey } from "./admin-key.ts"
import { type Authorize, createAuthorizer } from "./authorize.ts"
import { formatKey, hashKey, isKey } from "./keys.ts"

let directory: string
let engine: Engine
let clock: SimulatedClock
let stop: AbortController
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "redcar-access-"))
  clock = createSimulatedClock(1_000_000)
  engine = await openEmbeddedDirectory(directory, { clock, segmentBytes: 4 << 20 })
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await engine.close()
  await rm(directory, { recursive: true })
})

const load = (): Promise<AdminKey> => loadAdminKey({ directory, catalog: engine.catalog, clock, random: randomBytes })
const path = () => join(directory, "admin.key")
const authorizer = (): Promise<Authorize> =>
  createAuthorizer({
    catalog: engine.catalog,
    clock,
    stop: stop.signal,
    failed: (error) => {
      throw error
    },
  })

async function ready(): Promise<string> {
  const admin = await load()
  if (admin.kind !== "ready") throw new Error(`the key is ${admin.kind}`)
  return admin.key
}

test("the first start makes a key that only its owner can read; later ones load it", async () => {
  const made = await load()
  expect(made).toMatchObject({ kind: "ready", created: true, path: path() })
  const key = (await readFile(path(), "utf8")).trim()
  expect(key).toMatch(/^rck_[A-Za-z0-9_-]{43}$/)
  expect((await stat(path())).mode & 0o777).toBe(0o600)
  expect(await load()).toEqual({ kind: "ready", created: false, path: path(), key })
})

test("the catalog holds the key's hash and not the key", async () => {
  const key = await ready()
  const item = await engine.catalog.get("key/default/admin")
  expect(item?.value).toEqual({
    id: "admin",
    tenant: "default",
    sha256: hashKey(key).toString("hex"),
    createdAt: 1_000_000,
  })
  expect(JSON.stringify(item)).not.toContain(key)
})

test.each([0o644, 0o640, 0o604])("a file of mode %o is refused with what to do", async (mode) => {
  await ready()
  await chmod(path(), mode)
  expect(await load()).toMatchObject({ kind: "refused", message: expect.stringContaining(`chmod 600 ${path()}`) })
})

test("a file that holds no key is refused, an empty one is a start that was cut off", async () => {
  await writeFile(path(), "hello\n", { mode: 0o600 })
  expect(await load()).toMatchObject({ kind: "refused", message: expect.stringContaining("holds no key") })
  await writeFile(path(), "", { mode: 0o600 })
  expect(await load()).toMatchObject({ kind: "ready", created: true })
  expect(isKey((await readFile(path(), "utf8")).trim())).toBe(true)
})

test("a new file replaces the key, and the old one is refused at once", async () => {
  const old = await ready()
  const authorize = await authorizer()
  expect(authorize(`Bearer ${old}`)).toEqual({ tenant: "default", key: "admin" })
  await rm(path())
  const key = await ready()
  expect(key).not.toBe(old)
  await expect.poll(() => authorize(`Bearer ${old}`)).toBeUndefined()
  expect(authorize(`Bearer ${key}`)).toEqual({ tenant: "default", key: "admin" })
})

test("only the key as a bearer opens", async () => {
  const key = await ready()
  const authorize = await authorizer()
  expect(authorize(`bearer  ${key}`)).toEqual({ tenant: "default", key: "admin" })
  for (const header of [
    undefined,
    "",
    key,
    `Basic ${key}`,
    `Bearer ${key}x`,
    `Bearer x${key}`,
    `Bearer ${key} `,
    "Bearer",
  ]) {
    expect([header, authorize(header)]).toEqual([header, undefined])
  }
  expect(authorize(`Bearer ${formatKey(randomBytes(32))}`)).toBeUndefined()
})

test("a key of another tenant opens that tenant, until it is deleted", async () => {
  const authorize = await authorizer()
  const key = formatKey(randomBytes(32))
  const value = { id: "ci", tenant: "acme", sha256: hashKey(key).toString("hex"), createdAt: 0 }
  await engine.catalog.put("key/acme/ci", value)
  await expect.poll(() => authorize(`Bearer ${key}`)).toEqual({ tenant: "acme", key: "ci" })
  await engine.catalog.delete("key/acme/ci")
  await expect.poll(() => authorize(`Bearer ${key}`)).toBeUndefined()
})

test("a flood of guesses is refused unhashed, and does not lock out who was let in before", async () => {
  const key = await ready()
  const authorize = await authorizer()
  const late = await authorizer()
  expect(authorize(`Bearer ${key}`)).toBeDefined()
  const guesses = Array.from({ length: 6_000 }, () => `Bearer ${formatKey(randomBytes(32))}`)
  for (const guess of guesses) {
    expect(authorize(guess) ?? late(guess)).toBeUndefined()
  }
  expect(authorize(`Bearer ${key}`)).toBeDefined()
  expect(late(`Bearer ${key}`)).toBeUndefined()
  clock.jump(1_000)
  expect(late(`Bearer ${key}`)).toBeDefined()
})
