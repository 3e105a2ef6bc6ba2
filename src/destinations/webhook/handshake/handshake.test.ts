import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Outcome } from "../../../core/delivery.ts"
import type { Sender } from "../../../core/destination.ts"
import { UnavailableError } from "../../../core/errors.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, type SimulatedClock } from "../../../testing/clock.ts"
import { dispatch, sampleEvents } from "../../conformance.ts"
import { issueSigningKey } from "../../signing.ts"
import type { WebhookConfig } from "../config.ts"
import { webhookKind } from "../kind.ts"
import { type Arrival, answering, openReceiver, type Receiver } from "../receiver.fixture.ts"
import { Consents } from "./consents.ts"
import { Handshake } from "./handshake.ts"

const event = sampleEvents()["an event"]!
const origin = "hub.example.com"

let receiver: Receiver
let clock: SimulatedClock
let senders: Sender[]
let kind: ReturnType<typeof webhookKind>
beforeEach(async () => {
  receiver = await openReceiver()
  clock = createSimulatedClock(1_772_366_400_000)
  kind = webhookKind({ clock, origin, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  senders = []
})
afterEach(async () => {
  await Promise.all(senders.map((sender) => sender.close()))
  await receiver.close()
})

/** Answers the handshake with this status and these headers, and takes what is delivered. */
function agreeing(headers: Record<string, string>, status = 200): void {
  receiver.answer = (response, arrival) =>
    arrival.method === "OPTIONS" ? answering(status, headers)(response, arrival) : answering(204)(response, arrival)
}

async function open(config: Partial<WebhookConfig> = {}, ratePerSecond?: number): Promise<Sender> {
  const signingKeys = [issueSigningKey("v1", 0, createSimulatedChance(1))]
  const sender = await kind.open(
    { url: receiver.url, handshake: true, ...config },
    { tenant: "default", signingKeys, publish: async () => {}, ratePerSecond },
  )
  senders.push(sender)
  return sender
}

const send = (sender: Sender, signal = new AbortController().signal): Promise<Outcome> =>
  sender.send({ ...dispatch(event), at: clock.now() }, signal)
const asked = (): readonly Arrival[] => receiver.arrivals.filter(({ method }) => method === "OPTIONS")
const delivered = (): readonly Arrival[] => receiver.arrivals.filter(({ method }) => method === "POST")

describe("a receiver that agrees", () => {
  test("is asked before the first event, with nothing that is secret, and not again", async () => {
    agreeing({ "webhook-allowed-origin": origin, "webhook-allowed-rate": "*" })
    const sender = await open({ auth: { bearer: { token: "s3cret" } }, headers: { "x-a": "s3cret" } })
    expect(await send(sender)).toMatchObject({ kind: "delivered" })
    expect(await send(sender)).toMatchObject({ kind: "delivered" })
    expect(receiver.arrivals.map(({ method }) => method)).toEqual(["OPTIONS", "POST", "POST"])
    expect(asked()[0]).toMatchObject({ path: "/hook", body: Buffer.alloc(0) })
    expect(asked()[0]!.headers).toEqual({
      host: `127.0.0.1:${receiver.port}`,
      connection: "keep-alive",
      "user-agent": "Redcar",
      "webhook-request-origin": origin,
      "content-length": "0",
    })
    for (const { headers } of delivered()) expect(headers["webhook-request-origin"]).toBe(origin)
    expect(sender.ratePerSecond).toBeUndefined()
  })

  test("is asked once however many wait: who asked goes on, the others wait for what was agreed", async () => {
    agreeing({ "webhook-allowed-origin": "*", "webhook-allowed-rate": "120" })
    const sender = await open()
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => send(sender)))
    expect(asked()).toHaveLength(1)
    expect(outcomes.filter(({ kind }) => kind === "delivered")).toHaveLength(1)
    expect(outcomes.slice(1)).toEqual(
      Array(9).fill(expect.objectContaining({ kind: "failed", unsent: true, retryAfterMs: 0 })),
    )
    expect(sender.ratePerSecond).toBe(2)
    expect(await send(sender)).toMatchObject({ kind: "delivered" })
  })

  test("whatever its status is", async () => {
    agreeing({ "webhook-allowed-origin": `other.example, ${origin.toUpperCase()}` }, 405)
    expect(await send(await open())).toMatchObject({ kind: "delivered" })
  })

  test("is asked for the destination's rate, and has what it says; where it says none, what was asked", async () => {
    for (const [asks, answers, perSecond] of [
      [10, "60", 1],
      [10, "*", undefined],
      [2, undefined, 2],
      [2, "many", 2],
      [0.001, undefined, 1 / 60],
    ] as const) {
      agreeing({ "webhook-allowed-origin": "*", ...(answers && { "webhook-allowed-rate": answers }) })
      const sender = await open({ url: `${receiver.url}?${asks}-${answers}` }, asks)
      await send(sender)
      expect(asked().at(-1)!.headers["webhook-request-rate"]).toBe(String(Math.max(1, asks * 60)))
      expect(sender.ratePerSecond).toBe(perSecond)
    }
  })

  test("is not asked again by a sender that is opened anew, but at another URL", async () => {
    agreeing({ "webhook-allowed-origin": "*", "webhook-allowed-rate": "60" })
    await send(await open())
    const again = await open({ timeoutMs: 1_000, connectTimeoutMs: 1_000 })
    expect(again.ratePerSecond).toBe(1)
    await send(again)
    expect(asked()).toHaveLength(1)
    await send(await open({ url: `${receiver.url}/other` }))
    expect(asked().map(({ path }) => path)).toEqual(["/hook", "/hook/other"])
  })
})

describe("a receiver that does not agree", () => {
  test.each<[string, Record<string, string>]>([
    ["200 without WebHook-Allowed-Origin", {}],
    ["200 without WebHook-Allowed-Origin", { "webhook-allowed-rate": "*" }],
    ["its WebHook-Allowed-Origin names somebody else", { "webhook-allowed-origin": "example.com" }],
  ])("is sent nothing, and that counts as no attempt: %s", async (why, headers) => {
    agreeing(headers)
    const sender = await open()
    const outcome = await send(sender)
    expect(outcome).toEqual({
      kind: "failed",
      detail: `held back: the receiver does not agree to be sent to (asked as ${origin}): ${why}`,
      permanent: false,
      awaits: "agreement",
      retryAfterMs: 10_000,
      unsent: true,
    })
    expect(delivered()).toEqual([])
  })

  test("is asked again with growing delays, and no sooner, until it does", async () => {
    agreeing({})
    const sender = await open()
    const delays: number[] = []
    for (let i = 0; i < 9; i++) {
      const { retryAfterMs } = (await send(sender)) as { retryAfterMs: number }
      delays.push(retryAfterMs / 1_000)
      await clock.advance(retryAfterMs - 1)
      expect(await send(sender)).toMatchObject({ unsent: true, retryAfterMs: 1 })
      await clock.advance(1)
    }
    expect(delays).toEqual([10, 20, 40, 80, 160, 320, 600, 600, 600])
    expect(asked()).toHaveLength(9)
    agreeing({ "webhook-allowed-origin": origin })
    expect(await send(sender)).toMatchObject({ kind: "delivered" })
  })

  test("because it does not answer says so", async () => {
    receiver.answer = (response) => void response.destroy()
    expect(await send(await open())).toMatchObject({
      unsent: true,
      detail: expect.stringMatching(/^held back: nobody says .*: the connection was closed before/),
    })
  })
})

test("who waits for the answer ends with its signal, and with the sender", async () => {
  receiver.answer = () => {}
  const sender = await open()
  const stop = new AbortController()
  const arrived = receiver.next()
  const [first, second] = [send(sender, stop.signal), send(sender)]
  await arrived
  stop.abort()
  expect(await first).toMatchObject({ kind: "failed" })
  await sender.close()
  expect(await second).toMatchObject({ kind: "failed", unsent: true })
  expect(delivered()).toEqual([])
})

test("a receiver is told where to call back, and is asked all the same where it cannot be told", async () => {
  receiver.answer = answering(200)
  const callback = "https://hub.example.com/v1/handshakes/x.y"
  const context = { tenant: "default", signingKeys: [], publish: async () => {} }
  const config = { url: receiver.url, handshake: true }
  const told = await kind.open(config, { ...context, callback: async () => callback })
  const failing = await kind.open(config, { ...context, callback: () => Promise.reject(new UnavailableError("away")) })
  senders.push(told, failing)
  for (const sender of [told, failing])
    expect(await send(sender)).toMatchObject({ unsent: true, awaits: "agreement", retryAfterMs: 10_000 })
  expect(asked().map(({ headers }) => headers["webhook-request-callback"])).toEqual([callback, undefined])
})

test("what a receiver agreed to by calling back counts for what it was asked, and for nothing else", async () => {
  receiver.answer = answering(200)
  const context = { tenant: "default", signingKeys: [], publish: async () => {}, ratePerSecond: 10 }
  const config = { url: receiver.url, handshake: true }
  const { what, perMinute } = kind.asks!(config, 10)!
  expect(perMinute).toBe(600)
  const agreement = { asked: what, at: 0, perMinute: 60 }
  const agreed = await kind.open(config, { ...context, agreement })
  const another = await kind.open({ ...config, url: `${receiver.url}/other` }, { ...context, agreement })
  senders.push(agreed, another)
  expect(await send(agreed)).toMatchObject({ kind: "delivered" })
  expect(agreed.ratePerSecond).toBe(1)
  expect(asked()).toHaveLength(0)
  expect(await send(another)).toMatchObject({ unsent: true })
  const others = [
    kind.asks!({ ...config, url: `${receiver.url}/other` }, 10),
    kind.asks!(config, 20),
    kind.asks!(config, undefined),
  ]
  expect(others.map((each) => each!.what)).not.toContain(what)
  expect(kind.asks!({ url: receiver.url }, 10)).toBeUndefined()
})

test("a question that cannot be asked fails for all who wait, and is asked anew", async () => {
  const asked: string[] = []
  const ask = async () => {
    asked.push(origin)
    throw new RangeError("the header holds a character that none may hold")
  }
  const consents = new Consents()
  const callback = async () => undefined
  const options = { tenant: "default", url: receiver.url, origin, perMinute: 1, agreed: undefined, callback }
  const handshake = new Handshake({ ...options, consents, clock, ask })
  const refusal = () => handshake.refusal(new AbortController().signal)
  const ends = await Promise.allSettled([refusal(), refusal()])
  expect(ends.map(({ status }) => status)).toEqual(["rejected", "rejected"])
  await expect(refusal()).rejects.toThrow("that none may hold")
  expect(asked).toHaveLength(2)
})

test.each(["my_host", "münchen", "a\r\nb", "-"])("nobody is asked in the name %j, which is none", async (name) => {
  const unnamed = webhookKind({ clock, origin: name, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const [config, context] = [
    { url: receiver.url, handshake: true },
    { tenant: "default", signingKeys: [] },
  ]
  const message = expect.stringMatching(/is no DNS name: give one in the setting destinations\.origin/)
  expect(unnamed.check(config)).toEqual([{ field: "handshake", message }])
  expect(unnamed.check({ url: receiver.url })).toEqual([])
  const opening = unnamed.open(config, { ...context, publish: async () => {} })
  await expect(opening).rejects.toThrow("is no DNS name")
})

test("a destination without a handshake asks nobody", async () => {
  await send(await open({ handshake: false }))
  expect(receiver.arrivals.map(({ method, headers }) => [method, headers["webhook-request-origin"]])).toEqual([
    ["POST", undefined],
  ])
})
