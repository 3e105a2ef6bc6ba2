import { type Server, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import type { Clock } from "../core/clock.ts"
import { json, problemHeaders, problemJsonOf, type Reply } from "./answer.ts"
import { type DirectRequest, DirectRequests } from "./direct-request.ts"
import type { Refusal } from "./refusal.ts"

/** Publishes of one connection that are under way before nothing more is read of it. */
export const togetherMax = 256
/** How long the rest of a request is waited for here; after that node:http waits, and says if it takes too long. */
export const restMs = 100

export interface DirectOptions {
  readonly clock: Clock
  /** Answers a request; false where it is not one of these, and nothing was done. */
  take(request: DirectRequest, reply: Reply): boolean
  /** Serves a connection from here on, what was read of it already included. */
  serve(socket: Socket): void
  /** A connection that is idle for longer is ended. */
  readonly keepAliveMs: number
}

/**
 * Publishes of single events straight from their connection: a publish takes 29 us of the processor, through node:http 43. A
 * connection whose next request is anything else is given to node:http for good.
 */
export class DirectConnections {
  readonly #options: DirectOptions
  readonly #connections = new Set<DirectConnection>()
  readonly #shared: Shared

  constructor(options: DirectOptions) {
    this.#options = options
    this.#shared = { requests: new DirectRequests(), tail: new AnswerTail(options) }
  }

  accept(socket: Socket): void {
    const leave = () => this.#connections.delete(connection)
    const connection = new DirectConnection(socket, this.#options, this.#shared, leave)
    this.#connections.add(connection)
  }

  /** Ends each as soon as nothing is under way on it. */
  closeIdle(): void {
    for (const connection of this.#connections) connection.close()
  }

  /** Cuts all of them. */
  closeAll(): void {
    for (const connection of this.#connections) connection.destroy()
  }
}

/** Puts direct publishing before the server's own listener, which serves what is not for it. */
export function takeConnections(server: Server, options: Omit<DirectOptions, "serve">): DirectConnections {
  const listeners = server.listeners("connection") as ((socket: Socket) => void)[]
  const connections = new DirectConnections({
    ...options,
    serve(socket) {
      for (const listener of listeners) listener.call(server, socket)
    },
  })
  server.removeAllListeners("connection").on("connection", (socket: Socket) => connections.accept(socket))
  return connections
}

/** What all connections share. */
interface Shared {
  readonly requests: DirectRequests
  readonly tail: AnswerTail
}

class DirectConnection {
  readonly #socket: Socket
  readonly #options: DirectOptions
  readonly #shared: Shared
  readonly #leave: () => void
  /** What is under way, in the order of the requests, which is that of the answers. */
  readonly #exchanges: Exchange[] = []
  /** What was read and is not begun yet. */
  #rest: Buffer | undefined
  /** Ends the waiting for the rest of what was read. */
  #cancel: (() => void) | undefined
  /** What is next is node:http's. */
  #leaving = false
  #going = false
  #closing = false
  #over = false

  constructor(socket: Socket, options: DirectOptions, shared: Shared, leave: () => void) {
    this.#socket = socket
    this.#options = options
    this.#shared = shared
    this.#leave = leave
    socket.setTimeout(options.keepAliveMs)
    socket.on("data", this.#onData)
    socket.on("end", this.#onEnd)
    socket.on("drain", this.#onDrain)
    socket.on("timeout", this.#onTimeout)
    socket.on("error", this.#onError)
    socket.on("close", this.#onClose)
  }

  close(): void {
    this.#closing = true
    this.#closeSoon()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#over) return
    this.#rest = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes])
    this.#go()
  }

  /** Nothing more will come: of a request that is not whole nothing is done, and what is under way is answered. */
  readonly #onEnd = (): void => {
    this.#stopWaiting()
    this.#rest = undefined
    this.close()
  }

  readonly #onDrain = (): void => this.#go()

  readonly #onTimeout = (): void => {
    if (this.#exchanges.length === 0 || this.#socket.writableNeedDrain) this.#socket.destroy()
  }

  readonly #onError = (): void => {
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#over = true
    this.#rest = undefined
    this.#stopWaiting()
    this.#leave()
  }

  /** Begins what was read, as far as there is room for it. */
  #go(): void {
    // A request that is refused is answered at once, and whoever writes answers calls again.
    if (this.#going || this.#leaving || this.#over) return
    this.#going = true
    const state = this.#beginAll()
    this.#going = false
    if (state === "full") this.#putBack()
    else if (state === "leave") this.#leaveToNode()
    else {
      if (this.#socket.isPaused()) this.#socket.resume()
      this.#closeSoon()
    }
  }

  /** Reads no more. What is not begun goes back into the stream, which else would end before that was read. */
  #putBack(): void {
    const rest = this.#rest
    this.#rest = undefined
    this.#socket.pause()
    if (rest !== undefined) this.#socket.unshift(rest)
  }

  /** `full`: there is no room for more; `open`: the rest of what was read, or something new, is waited for. */
  #beginAll(): "open" | "full" | "leave" {
    // Ends: each turn begins a request of what was read.
    while (this.#rest !== undefined) {
      if (this.#exchanges.length >= togetherMax || this.#socket.writableNeedDrain) return "full"
      const rest = this.#rest
      const request = this.#shared.requests.read(rest)
      if (request === "more") {
        this.#wait()
        return "open"
      }
      this.#stopWaiting()
      if (request === undefined || !this.#begin(request)) return "leave"
      this.#rest = request.end === rest.length ? undefined : rest.subarray(request.end)
    }
    return "open"
  }

  #wait(): void {
    this.#cancel ??= this.#options.clock.after(restMs, () => this.#leaveToNode())
  }

  #stopWaiting(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #begin(request: DirectRequest): boolean {
    const exchange = new Exchange(this.#shared.tail, this.#flush)
    this.#exchanges.push(exchange)
    if (this.#options.take(request, exchange)) return true
    this.#exchanges.pop()
    return false
  }

  /** Writes the answers that are next. */
  readonly #flush = (): void => {
    let text = ""
    let ascii = true
    while (this.#exchanges[0]?.answer !== undefined) {
      const { answer, isAscii } = this.#exchanges.shift()!
      text += answer
      ascii &&= isAscii
    }
    if (this.#over || text === "") return
    // What is answered in the same turn goes out in one write.
    if (this.#exchanges.length > 0 && this.#socket.writableCorked === 0) {
      this.#socket.cork()
      process.nextTick(() => this.#socket.uncork())
    }
    this.#socket.write(text, ascii ? "latin1" : "utf8")
    if (this.#leaving) this.#handOver()
    else if (this.#socket.isPaused()) this.#go()
    else this.#closeSoon()
  }

  /** Ends a connection that is to be ended, once all that was read of it is answered. */
  #closeSoon(): void {
    if (!this.#closing || this.#exchanges.length > 0 || this.#leaving || this.#going) return
    this.#over = true
    this.#socket.destroySoon()
  }

  /** The next request is node:http's, once everything before it is answered. */
  #leaveToNode(): void {
    this.#leaving = true
    this.#stopWaiting()
    this.#socket.off("data", this.#onData)
    this.#putBack()
    this.#handOver()
  }

  #handOver(): void {
    const socket = this.#socket
    if (this.#over || this.#exchanges.length > 0) return
    this.#over = true
    this.#leave()
    socket.off("end", this.#onEnd)
    socket.off("drain", this.#onDrain)
    socket.off("timeout", this.#onTimeout)
    socket.off("error", this.#onError)
    socket.off("close", this.#onClose)
    socket.setTimeout(0)
    this.#options.serve(socket)
    socket.resume()
  }
}

const acceptedHead = `HTTP/1.1 202 ${STATUS_CODES[202]}\r\ncontent-type: ${json}\r\n`

class Exchange implements Reply {
  readonly #tail: AnswerTail
  readonly #answered: () => void
  /** Head and body, once they are there. */
  answer: string | undefined
  isAscii = true

  constructor(tail: AnswerTail, answered: () => void) {
    this.#tail = tail
    this.#answered = answered
  }

  accepted(body: string): void {
    this.#write(acceptedHead, body)
  }

  problem(refusal: Refusal): void {
    const headers = problemHeaders(refusal)
    let begin = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n`
    for (let i = 0; i < headers.length; i += 2) begin += `${headers[i]}: ${headers[i + 1]}\r\n`
    this.#write(begin, problemJsonOf(refusal))
  }

  #write(begin: string, body: string): void {
    const length = Buffer.byteLength(body)
    this.isAscii = length === body.length
    this.answer = `${begin}content-length: ${length}${this.#tail.text}${body}`
    this.#answered()
  }
}

/** The rest of every answer's head, made once a second, with the time as HTTP says it. */
class AnswerTail {
  readonly #clock: Clock
  readonly #keepAliveMs: number
  #second = Number.NaN
  #text = ""

  constructor({ clock, keepAliveMs }: Pick<DirectOptions, "clock" | "keepAliveMs">) {
    this.#clock = clock
    this.#keepAliveMs = keepAliveMs
  }

  get text(): string {
    const second = Math.floor(this.#clock.now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      const date = new Date(second * 1_000).toUTCString()
      const keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${this.#keepAliveMs / 1_000}`
      this.#text = `\r\nDate: ${date}\r\n${keepAlive}\r\n\r\n`
    }
    return this.#text
  }
}
