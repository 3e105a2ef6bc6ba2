import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createSimulatedClock } from "../../testing/clock.ts"
import { dispatch, sampleEvents } from "../conformance.ts"
import type { AuthConfig } from "./auth.ts"
import { checkWebhookConfig, type WebhookConfig } from "./config.ts"
import { createAddressGuard } from "./guard.ts"
import { webhookKind } from "./kind.ts"
import { openReceiver, type Receiver } from "./receiver.fixture.ts"

const guard = { allowLoopback: true, allowPrivate: false, allow: [] }
const url = "https://example.com/"
const oauth2 = { tokenUrl: "https://login.example.com/token", clientId: "hub", clientSecret: "s" }

let receiver: Receiver
beforeEach(async () => {
  receiver = await openReceiver()
})
afterEach(() => receiver.close())

test.each<[AuthConfig, string]>([
  [{ bearer: { token: "abc.def" } }, "Bearer abc.def"],
  [{ basic: { username: "Zoë", password: "a:b" } }, `Basic ${Buffer.from("Zoë:a:b").toString("base64")}`],
  [{ basic: { username: "", password: "" } }, "Basic Og=="],
])("%j is what the authorization header says, beside other headers", async (auth, authorization) => {
  const kind = webhookKind({ clock: createSimulatedClock(), guard })
  const config = { url: receiver.url, headers: { "x-shop": "1" }, auth }
  const sender = await kind.open(config, { tenant: "default", signingKeys: [], publish: async () => {} })
  for (const event of Object.values(sampleEvents())) await sender.send(dispatch(event), new AbortController().signal)
  await sender.close()
  for (const { headers } of receiver.arrivals) expect(headers).toMatchObject({ authorization, "x-shop": "1" })
})

describe("what is wrong with credentials is said", () => {
  const faults = (config: Partial<WebhookConfig>) =>
    checkWebhookConfig({ url, ...config }, createAddressGuard(guard)).map(({ field }) => field)

  test.each<[Partial<WebhookConfig>, string[]]>([
    [{ auth: { oauth2 } }, []],
    [{ auth: {} }, ["auth"]],
    [{ auth: { bearer: { token: "t" }, oauth2 } }, ["auth"]],
    [{ auth: { bearer: { token: "t" } }, headers: { Authorization: "x" } }, ["auth"]],
    [{ auth: { bearer: { token: "a b" } } }, ["auth.bearer.token"]],
    [{ auth: { bearer: { token: "a\r\nx: y" } } }, ["auth.bearer.token"]],
    [{ auth: { basic: { username: "a:b", password: "\n" } } }, ["auth.basic.username", "auth.basic.password"]],
    [{ auth: { oauth2: { ...oauth2, tokenUrl: "ftp://example.com" } } }, ["auth.oauth2.tokenUrl"]],
    [{ auth: { oauth2: { ...oauth2, tokenUrl: "http://169.254.169.254/token" } } }, ["auth.oauth2.tokenUrl"]],
  ])("%j", (config, fields) => {
    expect(faults(config)).toEqual(fields)
  })
})
