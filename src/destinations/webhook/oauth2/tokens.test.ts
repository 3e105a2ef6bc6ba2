import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Outcome } from "../../../core/delivery.ts"
import type { Sender } from "../../../core/destination.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "../../../testing/clock.ts"
import { dispatch, sampleEvents } from "../../conformance.ts"
import type { GuardSettings } from "../guard.ts"
import { webhookKind } from "../kind.ts"
import { type Answerer, answering, openReceiver, type Receiver } from "../receiver.fixture.ts"
import type { ClientCredentialsConfig } from "./config.ts"
import { Tokens } from "./tokens.ts"

const loopback: GuardSettings = { allowLoopback: true, allowPrivate: false, allow: [] }
const event = sampleEvents()["an event"]!

let receiver: Receiver
let login: Receiver
let clock: SimulatedClock
let senders: Sender[]
let issued: number
beforeEach(async () => {
  receiver = await openReceiver()
  login = await openReceiver()
  login.answer = granting({ expires_in: 3_600 })
  clock = createSimulatedClock(1_772_366_400_000)
  senders = []
  issued = 0
})
afterEach(async () => {
  await Promise.all(senders.map((sender) => sender.close()))
  await receiver.close()
  await login.close()
})

/** Issues `token-1`, `token-2`, …, with more in the answer. */
function granting(more: object): Answerer {
  return (response) => {
    response.writeHead(200, { "content-type": "application/json" })
    response.end(JSON.stringify({ access_token: `token-${++issued}`, token_type: "bearer", ...more }))
  }
}

async function open(config: Partial<ClientCredentialsConfig> = {}, guard = loopback): Promise<Sender> {
  const oauth2 = { tokenUrl: `${login.url}?v=2`, clientId: "hub", clientSecret: "s3cret", ...config }
  const sender = await webhookKind({ clock, guard }).open(
    { url: receiver.url, auth: { oauth2 } },
    { tenant: "default", signingKeys: [], publish: async () => {} },
  )
  senders.push(sender)
  return sender
}

const send = (sender: Sender, signal = new AbortController().signal): Promise<Outcome> =>
  sender.send({ ...dispatch(event), at: clock.now() }, signal)
const tokens = () => receiver.arrivals.map(({ headers }) => headers.authorization?.replace("Bearer ", ""))

describe("a token", () => {
  test("is asked for as a form, with id and secret in the authorization header", async () => {
    await send(await open({ clientId: "hub:1", clientSecret: "a b+%é", scope: "a b", audience: "https://shop" }))
    const [{ method, path, headers, body }] = login.arrivals as [Receiver["arrivals"][number]]
    expect({ method, path }).toEqual({ method: "POST", path: "/hook?v=2" })
    expect(headers).toMatchObject({
      accept: "application/json",
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Basic ${Buffer.from("hub%3A1:a+b%2B%25%C3%A9").toString("base64")}`,
    })
    expect(body.toString()).toBe("grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fshop")
    expect(tokens()).toEqual(["token-1"])
  })

  test("is asked for with id and secret in the body where the endpoint wants that", async () => {
    await send(await open({ clientAuth: "post" }))
    const [{ headers, body }] = login.arrivals as [Receiver["arrivals"][number]]
    expect(headers).not.toHaveProperty("authorization")
    expect(Object.fromEntries(new URLSearchParams(body.toString()))).toEqual({
      grant_type: "client_credentials",
      client_id: "hub",
      client_secret: "s3cret",
    })
  })

  test("is got once however many deliveries wait for it, and kept until shortly before it expires", async () => {
    const sender = await open()
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => send(sender)))
    expect(outcomes.every(({ kind }) => kind === "delivered")).toBe(true)
    await clock.advance(3_539_000)
    await send(sender)
    expect(login.arrivals).toHaveLength(1)
    await clock.advance(1_000)
    await Promise.all([send(sender), send(sender)])
    expect(login.arrivals).toHaveLength(2)
    expect(tokens().slice(20)).toEqual(["token-1", "token-2", "token-2"])
  })

  test.each([
    [{ expires_in: "100" }, 90_000],
    [{}, 270_000],
    [{ expires_in: 1e9 }, 86_340_000],
  ])("that says %j of its end is kept for %d ms", async (more, keptMs) => {
    login.answer = granting(more)
    const sender = await open()
    await send(sender)
    await clock.advance(keptMs - 1)
    await send(sender)
    expect(login.arrivals).toHaveLength(1)
    await clock.advance(1)
    await send(sender)
    expect(login.arrivals).toHaveLength(2)
  })

  test("that could not be asked for fails for who waits, and is asked for anew", async () => {
    let asked = 0
    const fetch = (): Promise<never> => {
      throw new RangeError(`${++asked}`)
    }
    const held = new Tokens({ clock, endpoint: { fetch, close: async () => {} } })
    for (const message of ["1", "2"])
      await expect(held.token(new AbortController().signal)).rejects.toThrow(new RangeError(message))
  })

  test("that is over at once is used by who waited for it", async () => {
    login.answer = granting({ expires_in: 0 })
    expect(await send(await open())).toMatchObject({ kind: "delivered" })
  })
})

describe("a 401", () => {
  const only = (token: string): Answerer => {
    return (response, { headers }) =>
      answering(headers.authorization === `Bearer ${token}` ? 204 : 401)(response, null!)
  }

  test("gets one other token for all that were refused, and the event is sent once more", async () => {
    const sender = await open()
    await send(sender)
    receiver.answer = only("token-2")
    const outcomes = await Promise.all([send(sender), send(sender), send(sender)])
    expect(outcomes.map(({ detail }) => detail)).toEqual(["204 No Content", "204 No Content", "204 No Content"])
    expect(login.arrivals).toHaveLength(2)
    expect(receiver.arrivals).toHaveLength(7)
  })

  test("of a receiver that refuses every token gets another one once a minute", async () => {
    const sender = await open()
    receiver.answer = only("none")
    for (let i = 0; i < 3; i++) expect(await send(sender)).toMatchObject({ kind: "failed", response: { status: 401 } })
    expect(tokens()).toEqual(["token-1", "token-2", "token-2", "token-2"])
    await clock.advance(60_000)
    await send(sender)
    expect(tokens().slice(4)).toEqual(["token-2", "token-3"])
  })

  test("after which no token is to be had says both", async () => {
    const sender = await open()
    await send(sender)
    receiver.answer = only("none")
    login.answer = answering(500)
    expect(await send(sender)).toMatchObject({
      kind: "failed",
      permanent: false,
      detail: `401 Unauthorized, and no token from ${login.url}: 500 Internal Server Error`,
    })
  })
})

describe("an endpoint that fails is a failed attempt that says so, and nothing is sent", () => {
  const body = (value: unknown, status = 200) =>
    answering(status, {}, typeof value === "string" ? value : JSON.stringify(value))

  test.each<[string, Answerer]>([
    ["401 Unauthorized, invalid_client", body({ error: "invalid_client", error_description: "s3cret" }, 401)],
    ["503 Service Unavailable", body("<h1>s3cret</h1>", 503)],
    ["307 Temporary Redirect", body("", 307)],
    ["its answer is no JSON object", body("access_token=s3cret")],
    ["its answer is no JSON object", body("null")],
    ["its answer holds no access_token that a header can hold", body({ token: "s3cret" })],
    ["its answer holds no access_token that a header can hold", body({ access_token: "a\nb" })],
    ["its answer holds no access_token that a header can hold", body({ access_token: "a".repeat(16_385) })],
    ["its token is not of type Bearer", body({ access_token: "a", token_type: "mac" })],
    ["its answer broke off, or is larger than 64 KiB", body(" ".repeat(65_537))],
    ["the connection was closed before an answer came", (response) => void response.destroy()],
  ])("%s", async (why, answer) => {
    login.answer = answer
    const outcome = await send(await open())
    expect(outcome).toEqual({ kind: "failed", permanent: false, detail: expect.any(String) })
    expect(outcome.detail).toContain(why)
    expect(outcome.detail).toMatch(/^no token from http/)
    expect(outcome.detail).not.toContain("s3cret")
    expect(receiver.arrivals).toEqual([])
    login.answer = granting({})
    expect(await send(senders.at(-1)!)).toMatchObject({ kind: "delivered" })
  })

  test("no answer in time", async () => {
    login.answer = () => {}
    const sender = await open()
    const arrived = login.next()
    const sending = [send(sender), send(sender)]
    await arrived
    await clock.advance(11_000)
    for (const outcome of await Promise.all(sending))
      expect(outcome).toMatchObject({ detail: `no token from ${login.url}: no answer within 10 s` })
  })

  test("an address that may not be reached", async () => {
    const resolve = async () => [{ address: "169.254.169.254", family: 4 }]
    const config = { tokenUrl: "http://login.example/", clientId: "hub", clientSecret: "s" }
    const sender = await webhookKind({ clock, guard: loopback, resolve }).open(
      { url: receiver.url, auth: { oauth2: config } },
      { tenant: "default", signingKeys: [], publish: async () => {} },
    )
    senders.push(sender)
    expect(await send(sender)).toMatchObject({
      kind: "failed",
      detail: expect.stringMatching(/^no token from http:\/\/login\.example\/: .*169\.254\.169\.254 is refused/),
    })
  })
})

describe("a delivery that waits for a token", () => {
  test("ends with its signal; others wait on", async () => {
    let grant = () => {}
    login.answer = (response, arrival) => {
      grant = () => granting({})(response, arrival)
    }
    const sender = await open()
    const stop = new AbortController()
    const arrived = login.next()
    const [stopped, waiting] = [send(sender, stop.signal), send(sender)]
    await arrived
    stop.abort()
    expect(await stopped).toMatchObject({ kind: "failed", detail: "stopped before it was sent" })
    grant()
    expect(await waiting).toMatchObject({ kind: "delivered" })
    expect(receiver.arrivals).toHaveLength(1)
  })

  test("is waited for by closing, and nothing is sent from then on", async () => {
    const sender = await open()
    const sending = send(sender)
    await quiesce()
    const closing = sender.close()
    expect(await sending).toMatchObject({ kind: "delivered" })
    await closing
    expect(await send(sender)).toMatchObject({ kind: "failed" })
    expect(receiver.arrivals).toHaveLength(1)
  })
})
