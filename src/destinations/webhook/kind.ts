import { createHash } from "node:crypto"
import { lookup } from "node:dns/promises"
import { hostname } from "node:os"
import { Budget } from "../../core/budget.ts"
import type { Clock } from "../../core/clock.ts"
import type { Asked, DestinationKind, SenderContext } from "../../core/destination.ts"
import { isDnsName } from "../../core/dns-name.ts"
import { batchLimits } from "./batch.ts"
import {
  checkWebhookConfig,
  connectTimeoutDefaultMs,
  secretSentTo,
  timeoutDefaultMs,
  type WebhookConfig,
  webhookConfig,
} from "./config.ts"
import { type ConnectOptions, createConnect, type Resolve } from "./connect.ts"
import type { Fault } from "./fault.ts"
import { createAddressGuard, type GuardSettings } from "./guard.ts"
import { Consents } from "./handshake/consents.ts"
import type { ClientCredentialsConfig } from "./oauth2/config.ts"
import { openEndpoint } from "./oauth2/endpoint.ts"
import { Tokens } from "./oauth2/tokens.ts"
import type { IdentityTokenConfig } from "./oidc/config.ts"
import { identityEndpoint } from "./oidc/endpoint.ts"
import { repliesInFlightBytesMax } from "./reply.ts"
import { WebhookSender } from "./sender.ts"
import { endpointContext, receiverContext } from "./tls.ts"

export interface WebhookOptions {
  readonly clock: Clock
  readonly guard: GuardSettings
  /** The DNS name in which receivers are asked whether they agree; default: that of the public URL, or else the machine's. */
  readonly origin?: string | undefined
  /** The hub's public URL, the issuer of the tokens that it signs; default: it has none. */
  readonly publicUrl?: string | undefined
  /** Default: the system's resolver. */
  readonly resolve?: Resolve
}

/** POSTs events over HTTP in CloudEvents' binary or structured mode or in batches, signed as Standard Webhooks says. */
export function webhookKind(options: WebhookOptions): DestinationKind<WebhookConfig> {
  const guard = createAddressGuard(options.guard)
  const consents = new Consents()
  const replies = new Budget(repliesInFlightBytesMax)
  const origin = options.origin || (options.publicUrl && new URL(options.publicUrl).hostname) || hostname()
  const faultsOfOrigin = ({ handshake = false }: WebhookConfig): readonly Fault[] =>
    handshake && !isDnsName(origin) ? [{ field: "handshake", message: noOrigin(origin) }] : []
  const faultsOfIssuer = ({ auth }: WebhookConfig): readonly Fault[] =>
    auth?.oidc && options.publicUrl === undefined ? [{ field: "auth.oidc", message: noIssuer }] : []
  const asks = ({ url, handshake }: WebhookConfig, ratePerSecond: number | undefined): Asked | undefined => {
    if (handshake !== true) return undefined
    const perMinute = ratePerSecond && Math.max(1, Math.floor(ratePerSecond * 60))
    const text = JSON.stringify([url, origin, perMinute])
    return { what: createHash("sha256").update(text).digest("base64url"), perMinute }
  }
  const resolve = options.resolve ?? ((hostname) => lookup(hostname, { all: true }))
  return {
    kind: "webhook",
    description: "POSTs events to a URL as CloudEvents over HTTP, signed by Standard Webhooks.",
    config: webhookConfig,
    check: (config) => [...checkWebhookConfig(config, guard), ...faultsOfOrigin(config), ...faultsOfIssuer(config)],
    sentTo: secretSentTo,
    signing: (config) => (config.signing === "none" ? undefined : (config.signing ?? "v1")),
    asks,
    batching: ({ batch }) => batch && batchLimits(batch),
    async open(config, context) {
      for (const { field, message } of [...faultsOfOrigin(config), ...faultsOfIssuer(config)])
        throw new Error(`${field} ${message}`)
      const timeoutMs = config.timeoutMs ?? timeoutDefaultMs
      const connectTimeoutMs = Math.min(config.connectTimeoutMs ?? connectTimeoutDefaultMs, timeoutMs)
      const { clock } = options
      const ways = { connectTimeoutMs, guard, resolve, clock }
      const { tls = {}, auth } = config
      const connect = createConnect({ ...ways, url: new URL(config.url), secureContext: receiverContext(tls) })
      const tokens = auth?.oauth2
        ? openTokens(auth.oauth2, { ...ways, secureContext: endpointContext(tls) }, timeoutMs)
        : auth?.oidc && identityTokens(config, auth.oidc, context, clock)
      const asked = askingOf(asks(config, context.ratePerSecond), context)
      const asking = asked && { ...asked, origin, consents }
      return new WebhookSender({ config, context, connect, clock, tokens, asking, replies })
    },
  }
}

function noOrigin(name: string): string {
  return `needs a name to ask in, and this machine's, ${JSON.stringify(name)}, is no DNS name: give one in the setting destinations.origin`
}

/** What a sender asks of its receiver, and what that has said already. */
function askingOf(asked: Asked | undefined, { agreement, callback }: SenderContext) {
  if (asked === undefined) return undefined
  return {
    perMinute: asked.perMinute,
    agreed: agreement?.asked === asked.what ? { perMinute: agreement.perMinute } : undefined,
    // Where none can be noted now, the receiver is asked all the same.
    callback: async () => callback?.(asked).catch(() => undefined),
  }
}

const noIssuer = "needs the setting publicUrl, which says who has signed the tokens: https://hub.example.com"

/** The tokens that the hub signs itself; who opens it without a signer has none. */
function identityTokens({ url }: WebhookConfig, oidc: IdentityTokenConfig, { identify }: SenderContext, clock: Clock) {
  if (identify === undefined) throw new Error(`auth.oidc ${noIssuer}`)
  return new Tokens({ endpoint: identityEndpoint(identify, oidc.audience ?? new URL(url).origin), clock })
}

/** A token is to be there within this, or within the time for a delivery where that is shorter. */
const tokenTimeoutMs = 10_000

function openTokens(config: ClientCredentialsConfig, ways: Omit<ConnectOptions, "url">, timeoutMs: number): Tokens {
  const { clock } = ways
  const connect = createConnect({ ...ways, url: new URL(config.tokenUrl) })
  const endpoint = openEndpoint({ config, connect, clock, timeoutMs: Math.min(timeoutMs, tokenTimeoutMs) })
  return new Tokens({ endpoint, clock })
}
