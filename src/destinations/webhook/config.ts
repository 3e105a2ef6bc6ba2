import Type, { type Static } from "typebox"
import type { SentTo } from "../../core/destination.ts"
import { authConfig, checkAuth } from "./auth.ts"
import { batchConfig } from "./batch.ts"
import type { Fault } from "./fault.ts"
import type { AddressGuard } from "./guard.ts"
import { checkTls, tlsConfig } from "./tls.ts"
import { faultOfUrl } from "./url.ts"

export const connectTimeoutDefaultMs = 5_000
export const timeoutDefaultMs = 20_000

/** How a webhook is reached. */
export const webhookConfig = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: 2048,
      description: "Where events are POSTed to: http or https, without user name, password and fragment.",
      examples: ["https://example.com/hook"],
    }),
    mode: Type.Optional(
      Type.Enum(["binary", "structured"], {
        type: "string",
        default: "binary",
        description:
          "The CloudEvents HTTP mode: binary (attributes as ce- headers, data as the body) or structured (the whole event as JSON).",
      }),
    ),
    largeAttributes: Type.Optional(
      Type.Enum(["structured", "refuse"], {
        type: "string",
        default: "structured",
        description:
          "What becomes in binary mode of an event whose attributes make more than 8 KiB of headers, which many servers refuse: it is sent in structured mode, or it is refused and becomes a dead letter.",
      }),
    ),
    batch: Type.Optional(batchConfig),
    signing: Type.Optional(
      Type.Enum(["v1", "v1a", "none"], {
        type: "string",
        default: "v1",
        description: "The Standard Webhooks signature: v1 (HMAC-SHA256), v1a (Ed25519) or none.",
      }),
    ),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 4096, writeOnly: true }), {
        maxProperties: 32,
        description: "Headers added to every delivery, but for those that the hub sets itself.",
      }),
    ),
    auth: Type.Optional(authConfig),
    tls: Type.Optional(tlsConfig),
    handshake: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Whether the receiver is asked, by OPTIONS, before the first event is sent to it (CloudEvents HTTP 1.1 Web Hooks, 4).",
      }),
    ),
    connectTimeoutMs: Type.Optional(
      Type.Integer({
        minimum: 100,
        maximum: 60_000,
        default: connectTimeoutDefaultMs,
        description: "Milliseconds until a connection must stand, name resolution and TLS included.",
      }),
    ),
    timeoutMs: Type.Optional(
      Type.Integer({
        minimum: 1_000,
        maximum: 60_000,
        default: timeoutDefaultMs,
        description: "Milliseconds until the answer must be complete, the connection included.",
      }),
    ),
  },
  { additionalProperties: false },
)

export type WebhookConfig = Static<typeof webhookConfig>

/** Headers that say how the request is framed, or that carry the event or its signature. */
const reservedHeaders = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])
const reservedPrefixes = ["ce-", "webhook-"]
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** What the schema cannot say of a config; a literal address that the guard refuses is said here already. */
export function checkWebhookConfig(config: WebhookConfig, guard: AddressGuard): readonly Fault[] {
  const faults: Fault[] = []
  const urlFault = faultOfUrl(config.url, guard)
  if (urlFault !== undefined) faults.push({ field: "url", message: urlFault })
  const seen = new Set<string>()
  for (const [name, value] of Object.entries(config.headers ?? {})) {
    const message = faultOfHeader(name, value, seen)
    if (message !== undefined) faults.push({ field: headerField(name), message })
  }
  if (config.auth) faults.push(...checkAuth(config.auth, Object.keys(config.headers ?? {}), guard))
  if (config.tls) faults.push(...checkTls(config.tls, /^https:/i.test(config.url)))
  if (config.connectTimeoutMs !== undefined && config.connectTimeoutMs > (config.timeoutMs ?? timeoutDefaultMs))
    faults.push({ field: "connectTimeoutMs", message: "must not be longer than timeoutMs, which includes it" })
  return faults
}

/** As DestinationKind.sentTo. The key of a certificate signs, and is not sent. */
export function secretSentTo({ url, auth }: WebhookConfig, [part, scheme]: readonly string[]): readonly SentTo[] {
  if (part !== "headers" && part !== "auth") return []
  const receiver = { field: "url", origin: URL.parse(url)?.origin }
  if (scheme !== "oauth2" || part !== "auth") return [receiver]
  return [receiver, { field: "auth.oauth2.tokenUrl", origin: URL.parse(auth?.oauth2?.tokenUrl ?? "")?.origin }]
}

function headerField(name: string): string {
  return /^[A-Za-z_$][\w$-]*$/.test(name) ? `headers.${name}` : `headers[${JSON.stringify(name)}]`
}

function faultOfHeader(name: string, value: string, seen: Set<string>): string | undefined {
  const lower = name.toLowerCase()
  if (!headerName.test(name)) return "is no header name"
  if (reservedHeaders.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix)))
    return "is set by the hub itself"
  if (seen.has(lower)) return "is given twice; case makes no difference in header names"
  seen.add(lower)
  return headerValue.test(value) ? undefined : "holds a character that no header value may hold"
}
