import { describe, expect, test } from "vitest"
import { checkWebhookConfig, type WebhookConfig } from "./config.ts"
import { createAddressGuard } from "./guard.ts"

const guard = createAddressGuard({ allowLoopback: false, allowPrivate: false, allow: [] })
const faults = (config: WebhookConfig) => checkWebhookConfig(config, guard)
const url = "https://example.com/hook"

describe("a webhook's URL", () => {
  test.each([
    "http://example.com",
    "https://example.com:8443/a/b?c=d",
    "https://bücher.example/",
    "http://8.8.8.8/",
    "http://[2606:4700::1111]/",
    "http://localhost:3000/", // a name: judged when it is resolved
  ])("may be %s", (text) => {
    expect(faults({ url: text })).toEqual([])
  })

  test.each([
    ["example.com/hook", /no absolute URL/],
    ["", /no absolute URL/],
    ["ftp://example.com/", /http:\/\/ or https:\/\//],
    ["file:///etc/passwd", /http:\/\/ or https:\/\//],
    ["https://user@example.com/", /user name or password/],
    ["https://:secret@example.com/", /user name or password/],
    ["https://example.com/#part", /fragment/],
    ["https://example.com/#", /fragment/],
    ["http://127.1/", /^127\.0\.0\.1 is refused: a loopback address/],
    ["http://0x7f.1/", /^127\.0\.0\.1 is refused/],
    ["http://0177.0.0.1/", /^127\.0\.0\.1 is refused/],
    ["http://2130706433/", /^127\.0\.0\.1 is refused/],
    ["http://127.0.0.1./", /^127\.0\.0\.1 is refused/],
    ["http://１２７.0.0.1/", /^127\.0\.0\.1 is refused/],
    ["http://[::1]/", /^::1 is refused/],
    ["http://[::ffff:127.0.0.1]/", /it leads to 127\.0\.0\.1/],
    ["http://10.0.0.1/", /private/],
    ["http://169.254.169.254/latest/meta-data", /link-local/],
    ["http://0/", /unspecified/],
    [` ${url}`, /begin or end with a space/],
    [`${url} `, /begin or end with a space/],
  ])("may not be %s", (text, message) => {
    expect(faults({ url: text })).toEqual([{ field: "url", message: expect.stringMatching(message) }])
  })

  test.each(["\r", "\n", "\t", "\0", "\x1f", "\x7f", "\x85"])("may not hold %j, wherever", (odd) => {
    const message = expect.stringMatching(/control characters/)
    for (const text of [`${odd}${url}`, `${url}${odd}`, `https://example.com/ho${odd}ok`]) {
      expect(faults({ url: text })).toEqual([{ field: "url", message }])
    }
  })
})

describe("a webhook's headers", () => {
  test("may be what the hub does not set itself", () => {
    const headers = { authorization: "Bearer abc", "X-Shop": "Grüße", "user-agent": "shop", cookie: "a=b", empty: "" }
    expect(faults({ url, headers })).toEqual([])
  })

  test.each([
    ["host", "headers.host", /set by the hub/],
    ["Content-Length", "headers.Content-Length", /set by the hub/],
    ["transfer-encoding", "headers.transfer-encoding", /set by the hub/],
    ["connection", "headers.connection", /set by the hub/],
    ["content-type", "headers.content-type", /set by the hub/],
    ["Webhook-Signature", "headers.Webhook-Signature", /set by the hub/],
    ["ce-id", "headers.ce-id", /set by the hub/],
    ["a b", 'headers["a b"]', /no header name/],
    ["", 'headers[""]', /no header name/],
    ["x\r\ny", 'headers["x\\r\\ny"]', /no header name/],
  ])("may not be %j", (name, field, message) => {
    expect(faults({ url, headers: { [name]: "x" } })).toEqual([{ field, message: expect.stringMatching(message) }])
  })

  test.each(["a\r\nb", "a\nhost: x", "\u0000", "€"])("may not hold %j", (value) => {
    expect(faults({ url, headers: { "x-a": value } })).toMatchObject([{ field: "headers.x-a" }])
  })
})

test("every wrong field is named at once", () => {
  const wrong: WebhookConfig = {
    url: "nowhere",
    headers: { host: "a", "x-a": "1", "X-A": "2" },
    timeoutMs: 1_000,
    connectTimeoutMs: 2_000,
  }
  expect(faults(wrong).map((fault) => fault.field)).toEqual(["url", "headers.host", "headers.X-A", "connectTimeoutMs"])
})

test("the connection's time is part of the whole, also of the default one", () => {
  expect(faults({ url, connectTimeoutMs: 30_000 })).toMatchObject([{ field: "connectTimeoutMs" }])
  expect(faults({ url, connectTimeoutMs: 30_000, timeoutMs: 30_000 })).toEqual([])
})
