import { X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import {
  AuthorizationError,
  type NatsConnection,
  TimeoutError,
  UserAuthenticationExpiredError,
} from "@nats-io/nats-core"
import { connect, credsAuthenticator, type NodeConnectionOptions } from "@nats-io/transport-node"
import { StartRefusedError } from "../../core/errors.ts"
import type { Logger } from "../../core/logger.ts"
import { shownServers } from "../../core/servers.ts"

export interface ConnectionOptions {
  /** `nats://host:4222`, `tls://…` */
  readonly servers: readonly string[]
  /** A file of credentials, as `nsc` and `redcar nats init` make them. */
  readonly credentialsFile?: string
  /** Certificates of who signed the servers' own; default: whom Node trusts. */
  readonly caFile?: string
  /** The largest message that will be sent; servers that take less are refused. */
  readonly messageBytesMax?: number
  readonly log: Logger
}

/** The servers cannot be used; `message` says why, and what to do. */
export class NatsRefusedError extends StartRefusedError {
  override readonly name = "NatsRefusedError"
}

/** The oldest that has all the engine needs: batches that are stored whole or not at all. */
const serverMin = [2, 12] as const

/** How often a server that takes a connection is given its time to greet, in all: some 20 s. */
const greetingsMax = 4

/** A server that has just been started, or stands still for a moment, may take its time. */
async function greeted(options: NodeConnectionOptions & { readonly servers: readonly string[] }) {
  // Ends: after so many tries at the latest.
  for (let tries = options.servers.length; ; tries += options.servers.length) {
    try {
      return await connect({ ...options, servers: [...options.servers] })
    } catch (error) {
      if (!(error instanceof TimeoutError) || tries >= greetingsMax) throw error
    }
  }
}

/** Connects, and stays connected until it is closed: to another server when one is gone. Throws NatsRefusedError. */
export async function connectNats({
  servers,
  credentialsFile,
  caFile,
  messageBytesMax = 0,
  log,
}: ConnectionOptions): Promise<NatsConnection> {
  const nats = await greeted({
    servers: [...servers],
    name: `redcar ${process.pid}`,
    // Each request would make two errors beforehand, for their stacks.
    noAsyncTraces: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    // A server that hangs is left within three seconds.
    pingInterval: 1_000,
    maxPingOut: 2,
    timeout: 5_000,
    ignoreClusterUpdates: false,
    ...(credentialsFile !== undefined && { authenticator: credsAuthenticator(await credentialsOf(credentialsFile)) }),
    ...(await tlsOf(servers, caFile)),
  }).catch((error: unknown) => {
    const { message, next } = notConnected(error, servers, credentialsFile)
    throw new NatsRefusedError(message, next, { cause: error })
  })
  const refusal = refusalOf(nats, messageBytesMax)
  if (refusal !== undefined) {
    await nats.close()
    throw new NatsRefusedError(refusal.message, [refusal.next])
  }
  void tellChanges(nats, log)
  return nats
}

/** How servers are spoken to: `tls://` never without TLS. Throws NatsRefusedError where the file holds no certificate. */
export async function tlsOf(
  servers: readonly string[],
  caFile: string | undefined,
): Promise<{ readonly tls?: { readonly ca?: string } }> {
  if (caFile === undefined) return servers.some((server) => server.startsWith("tls://")) ? { tls: {} } : {}
  const ca = (await readNatsFile(caFile, "--nats-ca")).toString("utf8")
  try {
    new X509Certificate(ca)
  } catch (error) {
    throw new NatsRefusedError(`${caFile} holds no certificate`, [nextCa], { cause: error })
  }
  return { tls: { ca } }
}

const nextCa = "Name the certificates, as PEM, of who signed the servers' own: --nats-ca <file>"

async function credentialsOf(path: string): Promise<Uint8Array> {
  const bytes = await readNatsFile(path, "--nats-credentials")
  if (/-{3,}BEGIN NATS USER JWT-{3,}.*-{3,}BEGIN USER NKEY SEED-{3,}/s.test(bytes.toString("latin1"))) return bytes
  throw new NatsRefusedError(`${path} holds no NATS credentials`, [
    "Name the hub.creds that `redcar nats init` made, or a file of nsc's: --nats-credentials <file>",
  ])
}

/** A file that a setting names by its flag. Throws NatsRefusedError. */
export async function readNatsFile(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "there is no such file" : code
    throw new NatsRefusedError(`${path} cannot be read: ${why}`, [`Check ${flag}, and who may read the file.`], {
      cause: error,
    })
  }
}

interface Refused {
  readonly message: string
  readonly next: readonly string[]
}

/** Why no server can be had, and what to do. */
function notConnected(error: unknown, servers: readonly string[], credentialsFile: string | undefined): Refused {
  const where = shownServers(servers)
  const { code = "", message = "" } = (error instanceof Error ? error : {}) as NodeJS.ErrnoException
  if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError) {
    return notAuthorized(where, servers, credentialsFile)
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const next = ["Name the server by a host name that its certificate holds: --engine tls://<name>:4222"]
    return { message: `the certificate of ${where} is of another name: ${reasonOf(error)}`, next }
  }
  if (/CERT|_CA$|ISSUER|SELF_SIGNED|VERIFY_LEAF/.test(code)) {
    return { message: `the certificate of ${where} is not trusted: ${reasonOf(error)}`, next: [nextCa] }
  }
  if (message.includes("does not support 'tls'")) {
    const next = [`Leave TLS out: --engine ${where.replaceAll("tls://", "nats://")}, or set it up in the server.`]
    return { message: `the NATS server at ${where} has no TLS`, next }
  }
  const next = ["Start one: nats-server -js", "Or say where it is: --engine nats://host:4222"]
  return { message: `no NATS server answers at ${where}: ${reasonOf(error)}`, next }
}

function notAuthorized(where: string, servers: readonly string[], credentialsFile: string | undefined): Refused {
  if (credentialsFile !== undefined) {
    return {
      message: `the NATS server at ${where} refuses the credentials in ${credentialsFile}`,
      next: ["Name those of the hub's own account there (hub.creds of `redcar nats init`): --nats-credentials <file>"],
    }
  }
  if (servers.some((server) => server.includes("@"))) {
    return {
      message: `the NATS server at ${where} refuses the user and the password, or the token`,
      next: ["Check them in --engine: nats://<user>:<password>@host:4222"],
    }
  }
  return {
    message: `the NATS server at ${where} lets nobody in without credentials, and none were given`,
    next: ["Give some: --nats-credentials <file>, or --engine nats://<user>:<password>@host:4222"],
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && error.cause.message !== error.message
    ? `${error.message} (${error.cause.message})`
    : error.message
}

function refusalOf(
  { info }: NatsConnection,
  messageBytesMax: number,
): { readonly message: string; readonly next: string } | undefined {
  const version = info?.version ?? "0"
  if (!isRecent(version)) {
    const message = `the NATS server is version ${version}; Redcar needs ${serverMin.join(".")} or newer`
    return { message, next: "Upgrade nats-server." }
  }
  if (!info?.jetstream)
    return { message: "the NATS server runs without JetStream", next: "Start it with -js, or with a jetstream block." }
  if (!info.headers)
    return { message: "the NATS server takes no headers", next: "Let it: no_header_support must not be set." }
  if (info.max_payload < messageBytesMax) {
    const message = `the NATS server takes messages of ${info.max_payload} bytes, and an event can come to ${messageBytesMax}`
    return { message, next: `Set max_payload: ${messageBytesMax} there, or a smaller limits.eventBytesMax here.` }
  }
  return undefined
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10))
  return major > serverMin[0] || (major === serverMin[0] && minor >= serverMin[1])
}

const cut = new WeakSet<NatsConnection>()

/** Whether there is no connection at present. */
export function isCut(nats: NatsConnection): boolean {
  return cut.has(nats) || nats.isClosed()
}

async function tellChanges(nats: NatsConnection, log: Logger): Promise<void> {
  let lastError: string | undefined
  for await (const status of nats.status()) {
    switch (status.type) {
      case "disconnect":
        if (!cut.has(nats)) log.warn({ server: status.server }, "the connection to NATS is cut")
        cut.add(nats)
        break
      case "reconnect":
        cut.delete(nats)
        lastError = undefined
        log.info({ server: status.server }, "connected to NATS again")
        break
      case "error":
        if (lastError !== status.error.message) log.warn({ why: String(status.error) }, "NATS reports an error")
        lastError = status.error.message
        break
      default:
        break
    }
  }
}

/** Where a server tells about itself, what it says of its disk. */
interface Varz {
  readonly jetstream?: { readonly config?: { readonly sync_always?: boolean } }
}

export interface DurabilityOptions {
  readonly replicas: number
  /** Where one of the servers tells about itself: `http://host:8222`. */
  readonly monitor?: string
}

/** What could be lost that was acknowledged, and what to do about it; nothing where three servers or a flushed disk keep it. */
export async function durabilityWarnings({ replicas, monitor }: DurabilityOptions): Promise<readonly string[]> {
  if (replicas >= 3) return []
  const risk = "a power cut can lose events that were acknowledged"
  const remedy = "keep three replicas (nats.replicas: 3), or set sync_interval: always in the server's jetstream block"
  if (monitor === undefined) {
    return [
      `NATS keeps ${copies(replicas)}, and whether it flushes its disk is not known here: if not, ${risk}; ${remedy}, and tell the hub where the server's monitor is (nats.monitor)`,
    ]
  }
  try {
    const answer = await fetch(new URL("/varz", monitor), { signal: AbortSignal.timeout(5_000) })
    const { jetstream } = (await answer.json()) as Varz
    if (jetstream?.config?.sync_always) return []
    return [`NATS keeps ${copies(replicas)} and flushes its disk only now and then: ${risk}; ${remedy}`]
  } catch (error) {
    return [`the monitor of NATS at ${monitor} does not answer (${reasonOf(error)}): whether ${risk} is not known`]
  }
}

function copies(replicas: number): string {
  return replicas === 1 ? "one copy of each event" : `${replicas} copies of each event`
}
