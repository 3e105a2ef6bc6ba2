import { connect as connectTcp, isIP, type LookupFunction, Socket } from "node:net"
import { connect as connectTls, type SecureContext } from "node:tls"
import type { Clock } from "../../core/clock.ts"
import type { AddressGuard } from "./guard.ts"

/** An address that a name has. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

/** Finds all addresses of a name; rejects where there are none. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>

/** The guard refused every address of the destination. */
export class AddressRefusedError extends Error {
  override readonly name = "AddressRefusedError"
}

/** The connection, name resolution and TLS included, took too long. */
export class ConnectTimeoutError extends Error {
  override readonly name = "ConnectTimeoutError"
}

/** Opens a connection; `done` is called once, later. Destroying the socket before then ends the attempt. */
export type Connect = (done: (error: Error | undefined) => void) => Socket

export interface ConnectOptions {
  readonly url: URL
  readonly connectTimeoutMs: number
  readonly guard: AddressGuard
  readonly resolve: Resolve
  readonly clock: Clock
  /** Certificates of its own; undefined: none, and whom Node.js trusts. */
  readonly secureContext?: SecureContext | undefined
}

/**
 * Opens connections to the origin of `url`, each only to an address that the guard has seen: a name is resolved once and
 * the checked addresses are what is connected to. The URL's own parsing has brought `127.1` and the like to one form.
 */
export function createConnect(options: ConnectOptions): Connect {
  const { url, clock, connectTimeoutMs, secureContext } = options
  const secure = url.protocol === "https:"
  const host = url.hostname.replace(/^\[|\]$/g, "")
  const literal = isIP(host) !== 0
  const refusal = literal ? options.guard.refusal(host) : undefined
  const target = { host, port: Number(url.port || (secure ? 443 : 80)), lookup: guardedLookup(options) }
  const servername = literal ? "" : host.replace(/\.$/, "")
  const sessions: { last?: Buffer } = {}
  const open = (): Socket => {
    if (refusal !== undefined) return new Socket().destroy(new AddressRefusedError(refusal))
    if (!secure) return connectTcp(target)
    const session = sessions.last && { session: sessions.last }
    const socket = connectTls({ ...target, servername, ALPNProtocols: ["http/1.1"], secureContext, ...session })
    return socket.on("session", (last: Buffer) => {
      sessions.last = last
    })
  }
  return (done) => {
    const socket = open()
    let settled = false
    const settle = (error: Error | undefined) => {
      if (settled) return
      settled = true
      cancel()
      done(error)
    }
    const cancel = clock.after(connectTimeoutMs, () => {
      socket.destroy(new ConnectTimeoutError(`no connection to ${url.host} within ${connectTimeoutMs / 1000} s`))
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    socket.once(secure ? "secureConnect" : "connect", () => settle(undefined))
    socket.on("error", settle)
    socket.once("close", () => settle(new Error(`the connection to ${url.host} was closed`)))
    return socket
  }
}

/** Resolves a name and keeps the addresses that the guard lets through; lookups that overlap are one. */
function guardedLookup({ guard, resolve }: ConnectOptions): LookupFunction {
  let pending: Promise<readonly ResolvedAddress[]> | undefined
  const lookup = async (hostname: string): Promise<readonly ResolvedAddress[]> => {
    const addresses = await resolve(hostname)
    const open = addresses.filter(({ address }) => guard.refusal(address) === undefined)
    if (open.length > 0) return open
    const first = addresses[0]
    if (first === undefined) throw new Error(`${hostname} has no address`)
    throw new AddressRefusedError(`${hostname}: ${guard.refusal(first.address)}`)
  }
  return (hostname, options, callback) => {
    pending ??= lookup(hostname).finally(() => {
      pending = undefined
    })
    pending.then(
      (addresses) => {
        if (options.all)
          callback(
            null,
            addresses.map(({ address, family }) => ({ address, family })),
          )
        else callback(null, addresses[0]!.address, addresses[0]!.family)
      },
      (error) => callback(error, ""),
    )
  }
}
