import type { Socket } from "node:net"
import { Client } from "undici"
import type { Connect } from "./connect.ts"

/** How long an idle connection is kept where the receiver does not say. */
const keepAliveMs = 30_000

/** One keep-alive connection, opened when first used and again when it was closed; carries one request at a time. */
export class Connection {
  readonly client: Client
  /** It has carried an answer, so the other side may have closed it since: an error may tell nothing of the request. */
  reused = false
  #socket: Socket | undefined

  constructor(origin: string, connect: Connect) {
    this.client = new Client(origin, {
      connect: (_options, callback) => {
        this.reused = false
        const socket = connect((error) => (error ? callback(error, null) : callback(null, socket)))
        this.#socket = socket
      },
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 16_384,
      keepAliveTimeout: keepAliveMs,
    })
  }

  /** Ends it, whatever it does at the time. */
  destroy(): void {
    void this.client.destroy()
    this.#socket?.destroy()
  }
}

/**
 * A destination's connections: as many as there were ever requests at once, the last used first. Kept here and not in
 * undici's Pool, which searches all of its clients for a free one and opens more than are needed.
 */
export class Connections {
  readonly #origin: string
  readonly #connect: Connect
  readonly #idle: Connection[] = []
  #closed = false

  constructor(origin: string, connect: Connect) {
    this.#origin = origin
    this.#connect = connect
  }

  take(): Connection {
    return this.#idle.pop() ?? this.fresh()
  }

  /** One that nobody has used. */
  fresh(): Connection {
    return new Connection(this.#origin, this.#connect)
  }

  giveBack(connection: Connection): void {
    connection.reused = true
    if (this.#closed) connection.destroy()
    else this.#idle.push(connection)
  }

  /** Ends the idle ones, and those given back from now on. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }
}
