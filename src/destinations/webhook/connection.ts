import type { Socket } from "node:net"
import type { Connect } from "./connect.ts"
import type { AnswerHead } from "./http1/head.ts"
import { AnswerReader, type AnswerSink } from "./http1/reader.ts"

/** How long an idle connection is kept where the receiver does not say. */
const keepAliveMs = 30_000
/** What a receiver says how long it keeps one is cut by this, for the way. */
const keepAliveMarginMs = 1_000

/** A request under way. Each of these may end it, and with it the connection. */
export interface Carried extends AnswerSink {
  /** The signal it is sent with. */
  readonly signal: AbortSignal
  /** The signal aborts. */
  abort(): void
  /** Its time is over. */
  expire(): void
  /** The connection could not be opened, or broke; `error` is undefined where the other side just closed it. */
  broken(error: Error | undefined): void
}

/** One keep-alive connection, opened when first used and again when it was closed; carries one request at a time. */
export class Connection {
  /** It has carried an answer, so the other side may have closed it since: an error may tell nothing of the request. */
  reused = false
  /** There is one to the other side, or was. */
  connected = false
  /** The tick in which its request began. */
  since = 0
  readonly #connect: Connect
  #carried: Carried | undefined
  #reader: AnswerReader | undefined
  #signal: AbortSignal | undefined
  #socket: Socket | undefined
  #keptMs = 0

  constructor(connect: Connect) {
    this.#connect = connect
  }

  get carried(): Carried | undefined {
    return this.#carried
  }

  /** The listener stays where the next request has the same signal, as most have: it would cost 2 us each time. */
  carry(carried: Carried, since: number): void {
    this.#carried = carried
    this.since = since
    if (carried.signal !== this.#signal) this.#listen(carried.signal)
  }

  /** Sends what it carries. */
  send(request: readonly Uint8Array[]): void {
    this.#reader = new AnswerReader(this.#carried!)
    if (this.#socket === undefined) this.#open(request)
    else write(this.#socket, request)
  }

  /** Its request is over: the connection waits for the next one, or is ended where it is good for no more. */
  unload(head: AnswerHead, reusable: boolean): void {
    this.#carried = undefined
    this.#reader = undefined
    const socket = this.#socket
    if (socket === undefined) return
    if (!reusable || socket.writableLength > 0) this.#close()
    else {
      this.reused = true
      this.#keep(socket, head.headers["keep-alive"])
    }
  }

  /** Ends it, whatever it does at the time. */
  destroy(): void {
    this.#carried = undefined
    this.#reader = undefined
    this.#listen(undefined)
    this.#close()
  }

  #open(request: readonly Uint8Array[]): void {
    this.reused = false
    this.connected = false
    const socket = this.#connect((error) => {
      if (this.#socket !== socket) return
      if (error !== undefined) this.#lost(error)
      else {
        this.connected = true
        write(socket, request)
      }
    })
    this.#socket = socket
    this.#keptMs = 0
    let broke: Error | undefined
    socket.on("data", (bytes: Buffer) => {
      if (this.#socket !== socket) return
      // Between requests nothing is to come.
      if (this.#reader === undefined) this.#close()
      else this.#reader.read(bytes)
    })
    socket.on("end", () => {
      if (this.#socket === socket) this.#reader?.close()
    })
    socket.on("error", (error) => {
      broke = error
    })
    socket.on("close", () => {
      if (this.#socket === socket) this.#lost(broke)
    })
    socket.on("timeout", () => {
      if (this.#socket === socket && this.#carried === undefined) this.#close()
    })
  }

  #lost(error: Error | undefined): void {
    this.#close()
    this.#carried?.broken(error)
  }

  #close(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  #keep(socket: Socket, hint: string | undefined): void {
    const seconds = hint === undefined ? undefined : /(?:^|[,;\s])timeout=(\d{1,6})(?:$|[,;\s])/i.exec(hint)?.[1]
    const ms = seconds === undefined ? keepAliveMs : Math.min(keepAliveMs, Number(seconds) * 1_000 - keepAliveMarginMs)
    if (ms <= 0) this.#close()
    else if (ms !== this.#keptMs) {
      this.#keptMs = ms
      socket.setTimeout(ms)
    }
  }

  #listen(signal: AbortSignal | undefined): void {
    this.#signal?.removeEventListener("abort", this.#onAbort)
    this.#signal = signal
    signal?.addEventListener("abort", this.#onAbort)
  }

  readonly #onAbort = () => this.#carried?.abort()
}

function write(socket: Socket, request: readonly Uint8Array[]): void {
  if (request.length === 1) {
    socket.write(request[0]!)
    return
  }
  socket.cork()
  for (const part of request) socket.write(part)
  socket.uncork()
}
