import { STATUS_CODES } from "node:http"
import type { Clock } from "../../../core/clock.ts"
import { type Answer, oneLine } from "../answer.ts"
import type { Connect } from "../connect.ts"
import { Connections } from "../connections.ts"
import { Flight, type NoAnswer } from "../flight.ts"
import { createFrame } from "../request.ts"
import type { ClientCredentialsConfig } from "./config.ts"

/** An answer that is larger is no token. */
const answerBytesMax = 65_536
/** Tokens are headers: longer ones nobody takes. */
const tokenCharactersMax = 16_384
/** How long a token holds whose answer does not say. */
const lifetimeDefaultMs = 300_000
const lifetimeMaxMs = 86_400_000

/** A token, and for how long it holds. */
export interface Token {
  readonly token: string
  readonly lifetimeMs: number
}

/** No token was got; `detail` says why, and holds no secret. */
export interface NoToken {
  readonly detail: string
}

export interface EndpointOptions {
  readonly config: ClientCredentialsConfig
  readonly connect: Connect
  readonly clock: Clock
  readonly timeoutMs: number
}

/** Where tokens are got (RFC 6749, 4.4). */
export interface TokenEndpoint {
  /** Never throws for what the endpoint does; ends within its time, and soon after `signal` aborts. */
  fetch(signal: AbortSignal): Promise<Token | NoToken>
  close(): Promise<void>
}

export function openEndpoint({ config, connect, clock, timeoutMs }: EndpointOptions): TokenEndpoint {
  const url = new URL(config.tokenUrl)
  const connections = new Connections({ connect, clock, timeoutMs })
  const request = createFrame(url)(requestOf(config))
  const failed = (why: string): NoToken => ({ detail: `no token from ${url.origin}${url.pathname}: ${why}` })
  const read = (end: Answer | NoAnswer): Token | NoToken => {
    if ("detail" in end) return failed(end.detail)
    const token = tokenOf(end)
    return typeof token === "string" ? failed(token) : token
  }
  return {
    fetch: (signal) =>
      new Promise((resolve) => {
        const context = { connections, timeoutMs, bodyKeptBytes: answerBytesMax }
        new Flight(context, request, signal, (end) => resolve(read(end)))
      }),
    close: () => connections.close(),
  }
}

function requestOf({ clientId, clientSecret, scope, audience, clientAuth = "basic" }: ClientCredentialsConfig) {
  const form = new URLSearchParams({ grant_type: "client_credentials" })
  if (scope !== undefined) form.set("scope", scope)
  if (audience !== undefined) form.set("audience", audience)
  const headers = ["user-agent", "Redcar", "accept", "application/json"]
  headers.push("content-type", "application/x-www-form-urlencoded")
  if (clientAuth === "post") {
    form.set("client_id", clientId)
    form.set("client_secret", clientSecret)
  } else {
    const pair = `${formEncoded(clientId)}:${formEncoded(clientSecret)}`
    headers.push("authorization", `Basic ${Buffer.from(pair).toString("base64")}`)
  }
  return { headers, body: Buffer.from(form.toString()) }
}

/** RFC 6749, 2.3.1: both are encoded as in a form before they are joined. */
function formEncoded(text: string): string {
  return new URLSearchParams({ _: text }).toString().slice(2)
}

/** The token of an answer, or why there is none in it. */
function tokenOf({ status, reason, body, bodyTruncated }: Answer): Token | string {
  const said = parse(body)
  if (status !== 200) {
    const phrase = oneLine(reason, 60) || STATUS_CODES[status]
    const code = typeof said?.error === "string" && /^[\w.:/ -]{1,60}$/.test(said.error) ? said.error : undefined
    return [phrase === undefined ? `${status}` : `${status} ${phrase}`, code].filter(Boolean).join(", ")
  }
  if (bodyTruncated) return `its answer broke off, or is larger than ${answerBytesMax / 1024} KiB`
  if (said === undefined) return "its answer is no JSON object"
  const { access_token: token, token_type: type = "Bearer", expires_in: seconds } = said
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token) || token.length > tokenCharactersMax)
    return "its answer holds no access_token that a header can hold"
  if (typeof type !== "string" || type.toLowerCase() !== "bearer") return "its token is not of type Bearer"
  return { token, lifetimeMs: lifetimeOf(seconds) }
}

function lifetimeOf(seconds: unknown): number {
  const ms = seconds === undefined || seconds === null || seconds === "" ? Number.NaN : Number(seconds) * 1_000
  return Number.isNaN(ms) ? lifetimeDefaultMs : Math.min(Math.max(0, ms), lifetimeMaxMs)
}

function parse(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
