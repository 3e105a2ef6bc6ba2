import { generateKeyPairSync } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import type { TLSSocket } from "node:tls"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Outcome } from "../../core/delivery.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { dispatch, sampleEvents } from "../conformance.ts"
import { checkWebhookConfig } from "./config.ts"
import { createAddressGuard } from "./guard.ts"
import { webhookKind } from "./kind.ts"
import type { TlsConfig } from "./tls.ts"

const pem = (name: string) => readFileSync(new URL(`./${name}.fixture.pem`, import.meta.url), "utf8")
const [certificate, key] = [pem("certificate"), pem("key")]
const guard = { allowLoopback: true, allowPrivate: false, allow: [] }

/** A receiver that lets in only whom the certificate vouches for, and answers whom it saw. */
const server = createServer(
  { key, cert: certificate, ca: certificate, requestCert: true, rejectUnauthorized: true },
  (request, response) => response.end((request.socket as TLSSocket).getPeerCertificate().fingerprint256),
)
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
afterAll(() => new Promise((resolve) => server.close(resolve)))

async function send(tls: TlsConfig | undefined, count = 1): Promise<readonly Outcome[]> {
  const resolve = async () => [{ address: "127.0.0.1", family: 4 }]
  const kind = webhookKind({ clock: createSimulatedClock(), guard, resolve })
  const url = `https://receiver.example:${(server.address() as AddressInfo).port}/`
  const config = { url, ...(tls && { tls }) }
  const sender = await kind.open(config, { tenant: "default", signingKeys: [], publish: async () => {} })
  const event = sampleEvents()["an event"]!
  const outcomes: Outcome[] = []
  for (let i = 0; i < count; i++) outcomes.push(await sender.send(dispatch(event), new AbortController().signal))
  await sender.close()
  return outcomes
}

test("a receiver that wants a client certificate gets it, and is known by a certificate of its own", async () => {
  for (const outcome of await send({ clientCertificate: certificate, clientKey: key, ca: certificate }, 2))
    expect(outcome).toMatchObject({ kind: "delivered", response: { body: expect.stringMatching(/^(..:){31}..$/) } })
})

test("without the client certificate the receiver refuses, without its issuer the hub does", async () => {
  expect(await send({ ca: certificate })).toMatchObject([{ kind: "failed", permanent: false }])
  expect(await send(undefined)).toMatchObject([{ kind: "failed", detail: expect.stringMatching(/self-signed/) }])
  expect(await send({ clientCertificate: certificate, clientKey: key })).toMatchObject([
    { kind: "failed", detail: expect.stringMatching(/self-signed/) },
  ])
})

describe("what is wrong with certificates is said", () => {
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
  const otherKey = other.export({ format: "pem", type: "pkcs8" }).toString()
  const encrypted = other.export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "x" }).toString()
  const faults = (tls: TlsConfig, url = "https://example.com/") =>
    checkWebhookConfig({ url, tls }, createAddressGuard(guard)).map(({ field }) => field)

  test.each<[string, TlsConfig, string[]]>([
    ["nothing", {}, []],
    ["all", { clientCertificate: certificate, clientKey: key, ca: certificate + certificate }, []],
    ["a key alone", { clientKey: key }, ["tls.clientCertificate"]],
    ["a certificate alone", { clientCertificate: certificate }, ["tls.clientKey"]],
    ["another key", { clientCertificate: certificate, clientKey: otherKey }, ["tls.clientKey"]],
    ["an encrypted key", { clientCertificate: certificate, clientKey: encrypted }, ["tls.clientKey"]],
    ["a key as certificate", { clientCertificate: key, clientKey: key }, ["tls.clientCertificate"]],
    ["no issuer", { ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }, ["tls.ca"]],
    ["no PEM", { ca: "x" }, ["tls.ca"]],
  ])("%s", (_, tls, fields) => {
    expect(faults(tls)).toEqual(fields)
  })

  test("a URL without TLS", () => {
    expect(faults({ ca: certificate }, "http://example.com/")).toEqual(["tls"])
  })
})
