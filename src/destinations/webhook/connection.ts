import type { Socket } from "node:net"
import { Client } from "undici"
import type { Connect } from "./connect.ts"

/** How long an idle connection is kept where the receiver does not say. */
const keepAliveMs = 30_000

/**
 * What a connection may bring for one request: heads, interim answers, how a body is cut into chunks and what is said about
 * the chunks included, which nobody is told of otherwise.
 */
export const answerBytesMax = 256 * 1024

/** A request under way. Each of these may end it, and with it the connection. */
export interface Carried {
  /** The signal it was sent with. */
  readonly signal: AbortSignal
  /** The signal aborts. */
  abort(): void
  /** Its time is over. */
  expire(): void
  /** More has come than {@link answerBytesMax}. */
  overflow(): void
}

/** One keep-alive connection, opened when first used and again when it was closed; carries one request at a time. */
export class Connection {
  readonly client: Client
  /** It has carried an answer, so the other side may have closed it since: an error may tell nothing of the request. */
  reused = false
  /** The tick in which its request began. */
  since = 0
  #carried: Carried | undefined
  #signal: AbortSignal | undefined
  #socket: Socket | undefined
  /** What the socket had read when its request began. */
  #readBefore = 0

  constructor(origin: string, connect: Connect) {
    this.client = new Client(origin, {
      connect: (_options, callback) => {
        this.reused = false
        const socket = connect((error) => {
          if (error) return callback(error, null)
          this.#watch(socket)
          callback(null, socket)
        })
        this.#socket = socket
      },
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 16_384,
      keepAliveTimeout: keepAliveMs,
    })
  }

  get carried(): Carried | undefined {
    return this.#carried
  }

  /** The listener stays where the next request has the same signal, as most have: it would cost 2 us each time. */
  carry(carried: Carried, since: number): void {
    this.#carried = carried
    this.since = since
    this.#readBefore = this.#socket?.bytesRead ?? 0
    if (carried.signal !== this.#signal) this.#listen(carried.signal)
  }

  unload(): void {
    this.#carried = undefined
  }

  /** Ends it, whatever it does at the time. */
  destroy(): void {
    this.#carried = undefined
    this.#listen(undefined)
    void this.client.destroy()
    this.#socket?.destroy()
  }

  #watch(socket: Socket): void {
    this.#readBefore = socket.bytesRead
    socket.on("readable", () => {
      if (socket.bytesRead - this.#readBefore > answerBytesMax) this.#carried?.overflow()
    })
  }

  #listen(signal: AbortSignal | undefined): void {
    this.#signal?.removeEventListener("abort", this.#onAbort)
    this.#signal = signal
    signal?.addEventListener("abort", this.#onAbort)
  }

  readonly #onAbort = () => this.#carried?.abort()
}
