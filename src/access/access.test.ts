import { randomBytes } from "node:crypto"
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { Engine } from "../core/engine.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock, type SimulatedClock } from "../testing/clock.ts"
import { type AdminKey, loadAdminKey } from "./admin-key.ts"
import { type Authorize, openKeys } from "./authorize.ts"
import { KeyRing } from "./key-ring.ts"
import { formatKey, hashKey, isKey, type StoredKey } from "./keys.ts"

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
const authorizer = async (): Promise<Authorize> =>
  (await openKeys({ catalog: engine.catalog, clock, stop: stop.signal })).authorize

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
    rights: ["operate"],
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
  expect(authorize(`Bearer ${old}`)).toEqual({ tenant: "default", key: "admin", rights: ["operate"] })
  await rm(path())
  const key = await ready()
  expect(key).not.toBe(old)
  await expect.poll(() => authorize(`Bearer ${old}`)).toBeUndefined()
  expect(authorize(`Bearer ${key}`)).toEqual({ tenant: "default", key: "admin", rights: ["operate"] })
})

test("only the key as a bearer opens", async () => {
  const key = await ready()
  const authorize = await authorizer()
  expect(authorize(`bearer  ${key}`)).toEqual({ tenant: "default", key: "admin", rights: ["operate"] })
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
  await expect.poll(() => authorize(`Bearer ${key}`)).toEqual({ tenant: "acme", key: "ci", rights: [] })
  await engine.catalog.delete("key/acme/ci")
  await expect.poll(() => authorize(`Bearer ${key}`)).toBeUndefined()
})

test("an admin key that was stored before there were rights has them from the next start on", async () => {
  const key = await ready()
  const item = (await engine.catalog.get<StoredKey>("key/default/admin"))!
  const { rights: _, ...old } = item.value
  await engine.catalog.put("key/default/admin", old)
  await ready()
  expect((await authorizer())(`Bearer ${key}`)).toEqual({ tenant: "default", key: "admin", rights: ["operate"] })
})

test("another key of the first tenant has no rights beyond it", async () => {
  const authorize = await authorizer()
  const key = formatKey(randomBytes(32))
  const value = { id: "ci", tenant: "default", sha256: hashKey(key).toString("hex"), createdAt: 0 }
  await engine.catalog.put("key/default/ci", value)
  await expect.poll(() => authorize(`Bearer ${key}`)).toEqual({ tenant: "default", key: "ci", rights: [] })
})

test("a key is found, or not, without a look at the others", () => {
  let looks = 0
  const ring = new KeyRing()
  const known = Array.from({ length: 1_000 }, (_, n) => {
    const sha256 = hashKey(`key ${n}`).toString("hex")
    ring.put(`key/default/${n}`, {
      id: String(n),
      tenant: "default",
      createdAt: 0,
      get sha256() {
        looks++
        return sha256
      },
    })
    return sha256
  })
  looks = 0
  expect(ring.find(hashKey("a guess").toString("hex"))).toBeUndefined()
  expect(ring.find(known[999]!)?.id).toBe("999")
  expect(looks).toBe(0)
})

test("a key that stands in two places is known until it is gone from both", () => {
  const ring = new KeyRing()
  const key = { id: "a", tenant: "default", sha256: "aa", createdAt: 0 }
  ring.put("key/default/a", key)
  ring.put("key/default/b", { ...key, id: "b" })
  ring.delete("key/default/a")
  expect(ring.find("aa")?.id).toBe("b")
  ring.put("key/default/b", { ...key, id: "b", sha256: "bb" })
  expect([ring.find("aa"), ring.find("bb")?.id]).toEqual([undefined, "b"])
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
