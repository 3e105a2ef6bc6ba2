import { isDnsName } from "../core/dns-name.ts"
import { serversIn, shownServer } from "../core/servers.ts"
import { isAddressRange } from "./addresses.ts"
import { formatBytes } from "./quantities.ts"
import type { Settings } from "./schema.ts"
import { parseTenants } from "./tenants.ts"

/** What two settings may not say together, and what to do about it. */
export interface Contradiction {
  /** The settings, by name. */
  readonly settings: readonly string[]
  readonly message: string
}

type Limit = keyof Settings["limits"]

/** The first may not be more than the second divided by `factor`; `why` completes the sentence. */
interface AtMost {
  readonly small: Limit
  readonly large: Limit
  readonly factor: number
  readonly why: string
}

const order: readonly AtMost[] = [
  { small: "eventBytesMax", large: "bodyBytesMax", factor: 1, why: "the largest event has to fit in a request" },
  { small: "bodyBytesMax", large: "bodiesInFlightBytesMax", factor: 1, why: "one request has to fit in memory" },
  {
    small: "bodyBytesMax",
    large: "pendingBytesMax",
    factor: 1,
    why: "one request has to fit in what waits for the disk",
  },
  { small: "eventBytesMax", large: "segmentBytes", factor: 4, why: "a file of the log has to hold a few events" },
]

/** Everything that these settings say against each other; none means that they agree. */
export function contradictions(settings: Settings): readonly Contradiction[] {
  return [
    ...limitsOutOfOrder(settings.limits),
    ...rangesThatAreNone(settings.destinations.allow),
    ...wrongOrigin(settings.destinations.origin),
    ...wrongPublicUrl(settings.publicUrl),
    ...wrongEngine(settings),
    ...wrongRoles(settings),
    ...wrongKey(settings),
    ...wrongTenants(settings),
  ]
}

/** What a process can do. */
export const roles = ["ingest", "route", "deliver", "api"] as const
export type Role = (typeof roles)[number]

/** The servers that `engine` names; undefined for the embedded engine. */
export function natsServers(engine: string): readonly string[] | undefined {
  return engine === "embedded" ? undefined : engine.split(",").map((server) => server.trim())
}

const serverPattern = /^(nats|tls):\/\/[^\s/,]+$/

function wrongEngine({ engine, nats }: Settings): readonly Contradiction[] {
  const isServer = (server: string) => natsServers(server)?.every((each) => serverPattern.test(each)) ?? true
  const found = serversIn(engine).flatMap((server) => (isServer(server) ? [] : [noServer(server)]))
  if (nats.replicas % 2 === 0) {
    const message = `${nats.replicas} is even, and survives no more than one less: say 1, 3 or 5`
    found.push({ settings: ["nats.replicas"], message })
  }
  if (!/^[a-z][a-z0-9]{0,19}$/.test(nats.prefix)) {
    const message = `${JSON.stringify(nats.prefix)} is no prefix: say a letter and up to 19 more of a-z and 0-9`
    found.push({ settings: ["nats.prefix"], message })
  }
  return found
}

function noServer(server: string): Contradiction {
  const forms = "say nats://host:4222 or tls://host:4222 (several with commas), or embedded"
  const escapes = server.includes("@") ? "; in a password / is written %2F, @ is %40, and a comma %2C" : ""
  return {
    settings: ["engine"],
    message: `${JSON.stringify(shownServer(server))} is no NATS server: ${forms}${escapes}`,
  }
}

function wrongRoles({ engine, roles: asked }: Settings): readonly Contradiction[] {
  const found: Contradiction[] = asked
    .filter((role) => !(roles as readonly string[]).includes(role))
    .map((role) => ({ settings: ["roles"], message: `there is no role ${role}: say some of ${roles.join(", ")}` }))
  if (asked.length === 0) found.push({ settings: ["roles"], message: `there is none: say some of ${roles.join(", ")}` })
  const missing = roles.filter((role) => !asked.includes(role))
  if (natsServers(engine) === undefined && missing.length > 0) {
    const message = `the embedded engine has one process, which has to do all: add ${missing.join(", ")} to roles`
    found.push({ settings: ["roles", "engine"], message })
  }
  return found
}

function wrongOrigin(origin: string): readonly Contradiction[] {
  if (origin === "" || isDnsName(origin)) return []
  return [
    { settings: ["destinations.origin"], message: `${JSON.stringify(origin)} is no DNS name: say hub.example.com` },
  ]
}

/** It is compared as text, so that there is one way to write it. */
function wrongPublicUrl(publicUrl: string): readonly Contradiction[] {
  if (publicUrl === "") return []
  const url = /\s/.test(publicUrl) ? null : URL.parse(publicUrl)
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username + url.password === ""
  const written = isPlain ? (url.origin + url.pathname).replace(/\/+$/, "") : undefined
  if (written === publicUrl) return []
  const message =
    written === undefined || written.length > 512
      ? "is no URL that others can call: say https://hub.example.com, without user name and password"
      : `is written ${written} here`
  return [{ settings: ["publicUrl"], message: `${JSON.stringify(publicUrl)} ${message}` }]
}

function wrongTenants({ delivery }: Settings): readonly Contradiction[] {
  const read = parseTenants(delivery.tenants)
  return typeof read === "string" ? [{ settings: ["delivery.tenants"], message: read }] : []
}

function wrongKey({ adminKey }: Settings): readonly Contradiction[] {
  if (adminKey === "" || /^rck_[\w-]{43}$/.test(adminKey)) return []
  return [{ settings: ["adminKey"], message: "it is no key: a key is rck_ and 43 of A-Z, a-z, 0-9, _ and -" }]
}

function limitsOutOfOrder(limits: Settings["limits"]): readonly Contradiction[] {
  return order
    .filter(({ small, large, factor }) => limits[small] * factor > limits[large])
    .map(({ small, large, factor, why }) => ({
      settings: [`limits.${small}`, `limits.${large}`],
      message:
        `limits.${small} is ${formatBytes(limits[small])} and limits.${large} ${formatBytes(limits[large])}, but ${why}: ` +
        `lower limits.${small} to ${formatBytes(Math.floor(limits[large] / factor))} or raise limits.${large} to ` +
        `${formatBytes(limits[small] * factor)}`,
    }))
}

function rangesThatAreNone(ranges: readonly string[]): readonly Contradiction[] {
  return ranges
    .filter((range) => !isAddressRange(range))
    .map((range) => ({
      settings: ["destinations.allow"],
      message: `${JSON.stringify(range)} is no address range: write "10.0.0.0/8" or "fd00::/8"`,
    }))
}
