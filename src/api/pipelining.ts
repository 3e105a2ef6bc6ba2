import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** Small answers of one connection that are made at once, so that publishes that come together are one write to disk. */
export const togetherMax = 256
/** Requests of one connection that wait for their turn before nothing more is read of it. */
export const waitingMax = 64
/** As many come in what was read already. A connection with more of them is cut. */
const queuedMax = 16_384

export interface PipeliningOptions {
  /** Whether a request may be answered while others of its connection are: its answer is small. Asked only where some are. */
  isSmall(request: IncomingMessage): boolean
}

/**
 * Bounds what one connection has in the works. Answers go out in the order of their requests, so whoever sends many and
 * reads none would have all of them made and held: what is not small is begun when every answer before it has gone to the
 * operating system, and meanwhile little more is read.
 */
export function pipelined(listener: RequestListener, options: PipeliningOptions): RequestListener {
  const connections = new WeakMap<Socket, Connection>()
  return (request, response) => {
    const { socket } = request
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = new Connection(socket, listener, options)
      connections.set(socket, connection)
    }
    connection.take(request, response)
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

class Connection {
  readonly #socket: Socket
  readonly #listener: RequestListener
  readonly #options: PipeliningOptions
  #waiting: Exchange[] = []
  #running = 0
  /** The last that was begun. */
  #last: IncomingMessage | undefined
  #paused = false

  constructor(socket: Socket, listener: RequestListener, options: PipeliningOptions) {
    this.#socket = socket
    this.#listener = listener
    this.#options = options
    socket.once("close", () => {
      this.#waiting = []
    })
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    const exchange = { request, response }
    if (this.#waiting.length === 0 && this.#mayBegin(exchange)) {
      this.#begin(exchange)
      return
    }
    this.#waiting.push(exchange)
    if (this.#waiting.length > queuedMax) this.#socket.destroy()
    else if (this.#waiting.length >= waitingMax && !this.#paused) this.#pauseSoon()
  }

  #mayBegin({ request }: Exchange): boolean {
    if (this.#running === 0) return true
    const { isSmall } = this.#options
    return this.#running < togetherMax && isSmall(this.#last!) && isSmall(request)
  }

  #begin({ request, response }: Exchange): void {
    this.#running++
    this.#last = request
    response.once("close", this.#over)
    this.#listener(request, response)
  }

  readonly #over = (): void => {
    this.#running--
    if (this.#socket.destroyed) return
    while (this.#waiting.length > 0 && this.#mayBegin(this.#waiting[0]!)) this.#begin(this.#waiting.shift()!)
    if (this.#paused && this.#waiting.length < waitingMax) this.#resume()
  }

  /** Not within the parsing of what was read: node:http resumes reading at the end of each message there. */
  #pauseSoon(): void {
    this.#paused = true
    setImmediate(() => {
      if (this.#paused) this.#socket.pause()
    })
  }

  #resume(): void {
    this.#paused = false
    this.#socket.resume()
  }
}
