import { generateKeyPairSync } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose"
import { afterAll, beforeAll, expect, test } from "vitest"
import { identityKey } from "../../core/catalog-keys.ts"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { noSecrets, SealedError } from "../../core/secrets.ts"
import { openEmbeddedDirectory } from "../../engines/embedded/engine.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { createSecrets } from "../secrets.ts"
import { HubIdentity } from "./identity.ts"
import { aheadMs, behindMs, type IdentityKeys, keyAgeMs, tokenMs } from "./schedule.ts"

const of = { tenant: "default", destination: "shop" }
const issuer = "https://hub.example.com"
/** Some that are there already, one after the other: they take long to make. */
const made = Array.from({ length: 12 }, () => generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey)
const makeKey = async () => {
  made.push(made.shift()!)
  return made[0]!
}

let directory: string
let engine: Engine
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "redcar-identity-"))
  engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes: 4 << 20 })
})
afterAll(async () => {
  await engine.close()
  await rm(directory, { recursive: true })
})

/** A hub that has no keys yet, at a time that stands still. */
async function open(secrets = noSecrets) {
  const { catalog } = engine
  await catalog.delete(identityKey)
  const time = { now: 1_772_366_400_000 }
  const clock: Clock = { ...systemClock, now: () => time.now, steady: () => time.now }
  const identity = (its = secrets) => new HubIdentity({ issuer, catalog, clock, secrets: its, makeKey })
  const stored = async () => (await catalog.get<IdentityKeys>(identityKey))!.value.keys
  const pass = (ms: number) => {
    time.now += ms
  }
  return { identity, stored, pass, clock }
}

const kidOf = ({ token }: { readonly token: string }) => decodeProtectedHeader(token).kid

test("of many that want a key at once one makes it, the first and the next one", async () => {
  const { clock, pass } = await open()
  let count = 0
  const counted = async () => {
    count++
    return makeKey()
  }
  const hub = new HubIdentity({ issuer, catalog: engine.catalog, clock, secrets: noSecrets, makeKey: counted })
  const issueMany = () => Promise.all(Array.from({ length: 20 }, () => hub.issue(of, "https://shop.example.com")))
  expect(new Set((await issueMany()).map(kidOf)).size).toBe(1)
  expect(count).toBe(1)
  pass(keyAgeMs)
  await issueMany()
  expect(count).toBe(2)
})

test("a token says who signed it, of which destination, for whom, and until when", async () => {
  const { identity, clock } = await open()
  const { token, lifetimeMs } = await identity().issue(of, "https://shop.example.com")
  const iat = Math.floor(clock.now() / 1_000)
  expect(decodeProtectedHeader(token)).toEqual({ alg: "RS256", typ: "JWT", kid: expect.stringMatching(/^[\w-]{43}$/) })
  expect(decodeJwt(token)).toEqual({
    ...{ iss: issuer, sub: "default/shop", aud: "https://shop.example.com" },
    ...{ iat, exp: iat + 3_600 },
  })
  expect(lifetimeMs).toBe(3_600_000)
  const keys = await identity().published()
  expect(keys).toEqual([
    { kty: "RSA", n: expect.any(String), e: "AQAB", kid: kidOf({ token }), use: "sig", alg: "RS256" },
  ])
})

test("whoever is first makes the key, and all sign with it", async () => {
  const { identity, stored } = await open()
  const all = Array.from({ length: 8 }, () => identity())
  const tokens = await Promise.all(all.map((each) => each.issue(of, "a")))
  expect(await stored()).toHaveLength(1)
  expect(new Set(tokens.map(kidOf)).size).toBe(1)
})

test("the next key is published for a day before it signs, and the old one until its last token is over", async () => {
  const { identity, pass } = await open()
  const hub = identity()
  const [first, published] = [
    kidOf(await hub.issue(of, "a")),
    async () => (await identity().published()).map(({ kid }) => kid),
  ]
  pass(keyAgeMs - aheadMs - 1)
  expect(kidOf(await hub.issue(of, "a"))).toBe(first)
  expect(await published()).toEqual([first])
  pass(1)
  expect(kidOf(await hub.issue(of, "a"))).toBe(first)
  const [, second] = await published()
  expect(await published()).toEqual([first, second])
  pass(aheadMs - 1)
  expect(kidOf(await hub.issue(of, "a"))).toBe(first)
  pass(1)
  expect(kidOf(await hub.issue(of, "a"))).toBe(second)
  pass(behindMs - 1)
  expect(await published()).toEqual([first, second])
  pass(1)
  expect(await published()).toEqual([second])
})

test("a key that has leaked is published no more, and signs nothing", async () => {
  const { identity } = await open()
  const [one, other] = [identity(), identity()]
  const leaked = kidOf(await one.issue(of, "a"))
  expect((await one.rotate({ revoke: false }))!.map(({ kid }) => kid)).toContain(leaked)
  expect(await other.rotate({ revoke: false })).toBeUndefined()
  const [made, ...others] = (await other.rotate({ revoke: true }))!
  expect(others).toEqual([])
  expect((await other.published()).map(({ kid }) => kid)).toEqual([made!.kid])
  expect(kidOf(await one.issue(of, "a"))).toBe(made!.kid)
})

test("what a receiver has read within a day checks every token that is not over, whoever signs and rotates when", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("issue" as const), by: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("rotate" as const), by: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("read" as const), by: fc.nat(1) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("wait" as const),
        ms: fc.constantFrom(1, 600_000, 3_540_000, 36_000_000, 7_000_000_000),
      }),
    },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const { identity, clock, pass } = await open()
      const hubs = [identity(), identity()]
      const read = async () => ({ at: clock.now(), keys: await hubs[0]!.published() })
      let last = await read()
      let tokens: { readonly token: string; readonly until: number }[] = []
      for (const each of steps) {
        if (each.do === "wait") pass(each.ms)
        else if (each.do === "rotate") await hubs[each.by]!.rotate({ revoke: false })
        else if (each.do === "issue") {
          tokens.push({ token: (await hubs[each.by]!.issue(of, "a")).token, until: clock.now() + tokenMs - 1_000 })
        }
        if (each.do === "read" || clock.now() - last.at >= aheadMs) last = await read()
        tokens = tokens.filter(({ until }) => until > clock.now())
        const keys = createLocalJWKSet({ keys: [...last.keys] })
        for (const { token } of tokens) await jwtVerify(token, keys, { issuer, currentDate: new Date(clock.now()) })
      }
    }),
    { numRuns: 30 },
  )
})

test("keys are encrypted as other secrets are, by the first key of the setting from the next start on", async () => {
  const [old, next] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const { identity, stored } = await open(createSecrets([old]))
  const kid = kidOf(await identity().issue(of, "a"))
  expect(JSON.stringify(await stored())).not.toContain("PRIVATE KEY")
  await identity(createSecrets([next, old])).reseal()
  expect(kidOf(await identity(createSecrets([next])).issue(of, "a"))).toBe(kid)
  await expect(identity(createSecrets([old])).issue(of, "a")).rejects.toThrow(SealedError)
  await expect(identity().reseal()).rejects.toThrow("the keys that sign identity tokens cannot be read")
})

test("keys that were stored plain are encrypted once there is a key", async () => {
  const { identity, stored } = await open()
  const kid = kidOf(await identity().issue(of, "a"))
  expect(JSON.stringify(await stored())).toContain("PRIVATE KEY")
  const secrets = createSecrets([Buffer.alloc(32, 1)])
  await identity(secrets).reseal()
  expect(JSON.stringify(await stored())).not.toContain("PRIVATE KEY")
  expect(kidOf(await identity(secrets).issue(of, "a"))).toBe(kid)
})
