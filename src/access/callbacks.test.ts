import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { destinationKeys, handshakeKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import type { Asked } from "../core/destination.ts"
import type { Engine } from "../core/engine.ts"
import { OverloadError } from "../core/errors.ts"
import type { Destination } from "../core/resources.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { systemClock } from "../telemetry/clock.ts"
import { createDestination } from "../testing/samples.ts"
import { callbackMs, HandshakeCallbacks } from "./callbacks.ts"

const publicUrl = "https://hub.example.com"
const of = { tenant: "default", destination: "shop" }

let directory: string
let engine: Engine
let time: number
let clock: Clock
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "redcar-callbacks-"))
  engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes: 4 << 20 })
  time = 1_772_366_400_000
  clock = { ...systemClock, now: () => time, steady: () => time }
  for (const id of ["shop", "bank"]) {
    await engine.catalog.put(destinationKeys.of({ tenant: "default", id }), createDestination(id))
  }
})
afterEach(async () => {
  await engine.close()
  await rm(directory, { recursive: true })
})

const open = () => new HandshakeCallbacks({ catalog: engine.catalog, clock, publicUrl })
const asks =
  (what: string): (() => Asked) =>
  () => ({ what, perMinute: 600 })
const agree = (callbacks: HandshakeCallbacks, url: string, what = "first") =>
  callbacks.agree(tokenOf(url), asks(what), ({ perMinute }) => perMinute)
const tokenOf = (url: string) => url.slice(`${publicUrl}/v1/handshakes/`.length)
const agreement = async (id = "shop") =>
  (await engine.catalog.get<Destination>(destinationKeys.of({ tenant: "default", id })))!.value.agreement

test("a URL is good once, for the destination that it was given out for, in whatever process", async () => {
  const url = await open().url(of, "first")
  expect(tokenOf(url)).toMatch(/^[\w-]+\.[\w-]{43}$/)
  const stored = JSON.stringify((await engine.catalog.get(handshakeKeys.at("default/shop")))!.value)
  expect(stored).not.toContain(tokenOf(url).split(".")[1])
  expect(await agree(open(), url)).toBe(true)
  expect(await agreement()).toEqual({ asked: "first", at: time, perMinute: 600 })
  expect(await agreement("bank")).toBeUndefined()
  expect(await agree(open(), url)).toBe(false)
  expect(await engine.catalog.get(handshakeKeys.at("default/shop"))).toBeUndefined()
})

test("of two that call at once one has called", async () => {
  const url = await open().url(of, "first")
  const all = await Promise.all(Array.from({ length: 8 }, () => agree(open(), url)))
  expect(all.filter(Boolean)).toHaveLength(1)
})

test("what is no token, another's, over, or of what is asked no more, agrees to nothing", async () => {
  const callbacks = open()
  const url = await callbacks.url(of, "first")
  const [path, secret] = tokenOf(url).split(".") as [string, string]
  const encoded = (text: string) => Buffer.from(text).toString("base64url")
  for (const token of [
    "",
    ".",
    path,
    `${path}.`,
    `${path}.${secret.slice(1)}`,
    `${path}.${secret}.`,
    `${path}.${secret}.x`,
    `${path}.${"A".repeat(43)}`,
    `${encoded("default/bank")}.${secret}`,
    `${encoded("other/shop")}.${secret}`,
    `${encoded("default/shop/..")}.${secret}`,
    `${encoded("default/none")}.${secret}`,
  ])
    expect([token, await callbacks.agree(token, asks("first"), () => undefined)]).toEqual([token, false])
  expect(await agree(callbacks, url, "second")).toBe(false)
  expect(
    await callbacks.agree(
      tokenOf(url),
      () => undefined,
      () => undefined,
    ),
  ).toBe(false)
  time += callbackMs
  expect(await agree(callbacks, url)).toBe(false)
  expect(await agreement()).toBeUndefined()
})

test("one process gives out the same URL for half its time; others' are good beside it, the newest of many", async () => {
  const callbacks = open()
  const url = await callbacks.url(of, "first")
  time += callbackMs / 2 - 1
  expect(await callbacks.url(of, "first")).toBe(url)
  expect(await callbacks.url(of, "second")).not.toBe(url)
  time += 1
  const next = await callbacks.url(of, "first")
  expect(next).not.toBe(url)
  const others: string[] = []
  for (let n = 0; n < 15; n++) others.push(await open().url(of, "first"))
  expect(await agree(callbacks, url)).toBe(false)
  expect(await agree(callbacks, next)).toBe(true)
  expect(await agree(callbacks, others[0]!)).toBe(true)
  expect(await callbacks.url(of, "first")).not.toBe(next)
})

test("guesses are looked up so often a second, and no more", async () => {
  const callbacks = open()
  const guess = `${tokenOf(await callbacks.url(of, "first")).split(".")[0]}.${"A".repeat(43)}`
  for (let n = 0; n < 100; n++) expect(await callbacks.agree(guess, asks("first"), () => undefined)).toBe(false)
  await expect(callbacks.agree(guess, asks("first"), () => undefined)).rejects.toThrow(OverloadError)
  time += 10
  expect(await callbacks.agree(guess, asks("first"), () => undefined)).toBe(false)
})

test("of guesses that come at once no more are looked up either", async () => {
  const callbacks = open()
  const guess = `${tokenOf(await callbacks.url(of, "first")).split(".")[0]}.${"A".repeat(43)}`
  const guessing = Array.from({ length: 150 }, () => callbacks.agree(guess, asks("first"), () => undefined))
  const ends = await Promise.allSettled(guessing)
  expect(ends.filter(({ status }) => status === "rejected")).toHaveLength(50)
})
