import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from "node:tls"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Outcome } from "../../core/delivery.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "../../testing/clock.ts"
import { dispatch, sampleEvents } from "../conformance.ts"
import type { WebhookConfig } from "./config.ts"
import type { Resolve, ResolvedAddress } from "./connect.ts"
import type { GuardSettings } from "./guard.ts"
import { webhookKind } from "./kind.ts"
import { openReceiver, type Receiver } from "./receiver.fixture.ts"

const closed: GuardSettings = { allowLoopback: false, allowPrivate: false, allow: [] }
const loopback: GuardSettings = { ...closed, allowLoopback: true }
const event = sampleEvents()["an event"]!

let receiver: Receiver
let clock: SimulatedClock
beforeEach(async () => {
  receiver = await openReceiver()
  clock = createSimulatedClock()
})
afterEach(() => receiver.close())

interface Case {
  readonly guard: GuardSettings
  readonly config: WebhookConfig
  readonly resolve?: Resolve
}

async function attempts({ guard, config, resolve }: Case, count = 1): Promise<readonly Outcome[]> {
  const kind = webhookKind({ clock, guard, ...(resolve && { resolve }) })
  const sender = await kind.open(config, { tenant: "default", signingKeys: [], publish: async () => {} })
  const outcomes = await Promise.all(
    Array.from({ length: count }, () => sender.send(dispatch(event), new AbortController().signal)),
  )
  await sender.close()
  return outcomes
}

const attempt = async (one: Case): Promise<Outcome> => (await attempts(one))[0]!
const names =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address): ResolvedAddress => ({ address, family: address.includes(":") ? 6 : 4 }))
const named = () => ({ url: `http://receiver.example:${receiver.port}/` })

describe("names", () => {
  test("are resolved, and the checked address is what is connected to", async () => {
    const outcome = await attempt({ guard: loopback, config: named(), resolve: names("127.0.0.1") })
    expect(outcome).toHaveProperty("kind", "delivered")
    expect(receiver.arrivals[0]!.headers.host).toBe(`receiver.example:${receiver.port}`)
  })

  test.each(["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0"])(
    "that lead to %s are refused",
    async (address) => {
      expect(await attempt({ guard: closed, config: named(), resolve: names(address) })).toEqual({
        kind: "failed",
        permanent: false,
        cause: "connect",
        detail: expect.stringMatching(
          /^receiver\.example: .* is refused: .* in the setting destinations\.allow, would allow it$/,
        ),
      })
      expect(receiver.arrivals).toEqual([])
    },
  )

  test("that lead to several addresses are reached at one that is allowed", async () => {
    const resolve = names("10.0.0.1", "169.254.169.254", "127.0.0.1")
    expect(await attempt({ guard: loopback, config: named(), resolve })).toHaveProperty("kind", "delivered")
  })

  test("that change between check and connection change nothing: there is one lookup a connection", async () => {
    let lookups = 0
    const resolve: Resolve = async () => [{ address: lookups++ === 0 ? "127.0.0.1" : "10.0.0.1", family: 4 }]
    expect(await attempt({ guard: loopback, config: named(), resolve })).toHaveProperty("kind", "delivered")
    expect(lookups).toBe(1)
  })

  test("are looked up once for connections that open together", async () => {
    let lookups = 0
    const resolve: Resolve = async () => {
      lookups++
      await quiesce()
      return [{ address: "127.0.0.1", family: 4 }]
    }
    const outcomes = await attempts({ guard: loopback, config: named(), resolve }, 20)
    expect(outcomes.every(({ kind }) => kind === "delivered")).toBe(true)
    expect(lookups).toBe(1)
  })

  test("that cannot be resolved, or to nothing, are failures", async () => {
    const unknown: Resolve = () => Promise.reject(new Error("getaddrinfo ENOTFOUND receiver.example"))
    expect(await attempt({ guard: closed, config: named(), resolve: unknown })).toMatchObject({
      kind: "failed",
      detail: "getaddrinfo ENOTFOUND receiver.example",
    })
    expect(await attempt({ guard: closed, config: named(), resolve: names() })).toMatchObject({
      kind: "failed",
      detail: "receiver.example has no address",
    })
  })

  test("that take too long to resolve are failures after the time for a connection", async () => {
    const config = { ...named(), connectTimeoutMs: 3_000 }
    const sending = attempt({ guard: loopback, config, resolve: () => new Promise(() => {}) })
    await quiesce()
    await clock.advance(3_000)
    expect(await sending).toEqual({
      kind: "failed",
      permanent: false,
      cause: "connect",
      detail: `no connection to receiver.example:${receiver.port} within 3 s`,
    })
  })

  test("whose delivery is aborted are waited for no more", async () => {
    const kind = webhookKind({ clock, guard: loopback, resolve: () => new Promise(() => {}) })
    const sender = await kind.open(named(), { tenant: "default", signingKeys: [], publish: async () => {} })
    const stop = new AbortController()
    const sending = sender.send(dispatch(event), stop.signal)
    await quiesce()
    stop.abort()
    expect(await sending).toHaveProperty("kind", "failed")
    await clock.advance(1_000)
    expect(clock.waiting).toBe(0)
    await sender.close()
  })

  test("of this machine are found by the system", async () => {
    const config = { url: `http://localhost:${receiver.port}/` }
    expect(await attempt({ guard: loopback, config })).toHaveProperty("kind", "delivered")
    expect(await attempt({ guard: closed, config })).toMatchObject({ detail: expect.stringContaining("allowLoopback") })
  })
})

describe("addresses in the URL", () => {
  test.each([
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0177.1",
    "2130706433",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::1]",
    "0",
  ])("are refused without a lookup: %s", async (host) => {
    const resolve: Resolve = () => Promise.reject(new Error("looked up"))
    const config = { url: `http://${host}:${receiver.port}/` }
    const outcome = await attempt({ guard: closed, config, resolve })
    expect(outcome).toMatchObject({
      kind: "failed",
      permanent: false,
      cause: "connect",
      detail: expect.stringContaining("is refused"),
    })
    expect(receiver.arrivals).toEqual([])
  })

  test.each(["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"])(
    "are reached where they are allowed: %s",
    async (host) => {
      const config = { url: `http://${host}:${receiver.port}/` }
      for (const guard of [loopback, { ...closed, allow: ["127.0.0.0/8"] }])
        expect(await attempt({ guard, config })).toHaveProperty("kind", "delivered")
    },
  )
})

describe("over TLS", () => {
  const pem = (name: string) => readFileSync(new URL(`./${name}.fixture.pem`, import.meta.url), "utf8")
  const certificate = pem("certificate")
  const server = createServer({ key: pem("key"), cert: certificate }, (request, response) => {
    response.end((request.socket as TLSSocket).servername)
  })
  const trusted = getCACertificates("default")
  beforeEach(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
  afterEach(async () => {
    setDefaultCACertificates(trusted)
    await new Promise((resolve) => server.close(resolve))
  })
  const secure = (host: string) => ({ url: `https://${host}:${(server.address() as AddressInfo).port}/` })
  const resolve = names("127.0.0.1")

  test("a certificate that nobody vouches for is refused", async () => {
    expect(await attempt({ guard: loopback, config: secure("receiver.example"), resolve })).toEqual({
      kind: "failed",
      permanent: false,
      cause: "connect",
      detail: expect.stringMatching(/self-signed certificate/),
    })
  })

  test("a certificate must be the name's", async () => {
    setDefaultCACertificates([certificate])
    expect(await attempt({ guard: loopback, config: secure("receiver.example"), resolve })).toMatchObject({
      kind: "delivered",
      response: { body: "receiver.example" },
    })
    expect(await attempt({ guard: loopback, config: secure("other.example"), resolve })).toMatchObject({
      kind: "failed",
      detail: expect.stringMatching(/does not match certificate/),
    })
  })
})
