import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { leaveContinueTo } from "./ingest/expectation.ts"

/**
 * The hub's server. It listens before there is a hub, and says how far the start is: whoever watches the process would take it
 * for dead, and end it, while it makes its state anew.
 */
export interface Door {
  readonly server: Server
  /** Listens, and answers where: `http://127.0.0.1:9000`. */
  open(host: string, port: number): Promise<string>
  /** What the start is at, for people. */
  tell(step: string): void
  /** Gives all requests to the hub from now on. */
  lead(listener: RequestListener): void
  /** Cuts all connections. */
  close(): void
}

/** A client that neither sends nor takes anything for this long is cut off; what streams says something more often. */
const idleMs = 120_000

export function makeDoor(): Door {
  let step = "the hub is starting"
  let listener: RequestListener = (request, response) => {
    const { status, type, body } = answerOf(request.url ?? "", step)
    response
      .writeHead(status, { "content-type": type, connection: "close", ...(status === 503 && { "retry-after": "1" }) })
      .end(JSON.stringify(body))
  }
  const led: RequestListener = (request, response) => listener(request, response)
  const server = createServer({ keepAliveTimeout: 65_000, noDelay: true }, led).setTimeout(idleMs)
  leaveContinueTo(server, led)
  return {
    server,
    open: (host, port) => listen(server, host, port),
    tell(text) {
      step = text
    },
    lead(to) {
      listener = to
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** As the hub itself answers, in what there is to say yet. */
function answerOf(url: string, step: string) {
  const json = "application/json; charset=utf-8"
  const path = url.split("?", 1)[0]
  if (path === "/healthz") return { status: 200, type: json, body: { status: "ok" } }
  if (path === "/readyz")
    return { status: 503, type: json, body: { ready: false, reasons: [step], degraded: [], warnings: [], held: false } }
  const detail = `${step}; try again soon`
  const body = { type: "about:blank", title: "Service Unavailable", status: 503, code: "overloaded", detail }
  return { status: 503, type: "application/problem+json; charset=utf-8", body }
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off("error", reject)
      const { address, family, port } = server.address() as AddressInfo
      resolve(`http://${family === "IPv6" ? `[${address}]` : address}:${port}`)
    })
  })
}
