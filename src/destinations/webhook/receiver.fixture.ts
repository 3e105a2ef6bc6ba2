import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"

/** A request as it arrived. */
export interface Arrival {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** Equal for requests on one connection. */
  readonly connection: number
}

/** Answers a request that has arrived whole, or does not. */
export type Answerer = (response: ServerResponse, arrival: Arrival) => void

/** A webhook receiver on loopback, for tests. */
export interface Receiver {
  readonly url: string
  readonly port: number
  readonly arrivals: Arrival[]
  /** How it answers from now on; at first with 204. */
  answer: Answerer
  /** Resolves with the next request that arrives. */
  next(): Promise<Arrival>
  /** Connections that are open now. */
  connections(): ReadonlySet<Socket>
  close(): Promise<void>
}

/** A status, headers and a body as an answer. */
export function answering(status: number, headers: Record<string, string> = {}, body = ""): Answerer {
  return (response) => {
    response.writeHead(status, headers)
    response.end(body)
  }
}

export async function openReceiver(): Promise<Receiver> {
  const sockets = new Map<Socket, number>()
  const waiting: ((arrival: Arrival) => void)[] = []
  let connected = 0
  const server = createServer(async (request, response) => {
    const arrival = await read(request, sockets.get(request.socket)!)
    receiver.arrivals.push(arrival)
    receiver.answer(response, arrival)
    for (const tell of waiting.splice(0)) tell(arrival)
  })
  server.keepAliveTimeout = 0
  server.on("connection", (socket) => {
    sockets.set(socket, connected++)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    arrivals: [],
    answer: answering(204),
    next: () => new Promise((resolve) => waiting.push(resolve)),
    connections: () => new Set(sockets.keys()),
    async close() {
      for (const socket of sockets.keys()) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return receiver
}

async function read(request: IncomingMessage, connection: number): Promise<Arrival> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { method = "", url: path = "", headers, rawHeaders } = request
  return { method, path, headers, rawHeaders, body: Buffer.concat(chunks), connection }
}
